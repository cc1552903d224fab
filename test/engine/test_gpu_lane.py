"""The engine's loop on a GPU lane: whoever starts a job, every result is that of its own frame."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis_ros.backends.testing import networks
from aegis_ros.engine import ChannelSpec
from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.engine.page import EnginePage
from aegis_ros.engine.server.loaded import LoadedTask
from aegis_ros.engine.server.loop import EngineLoop
from aegis_ros.engine.slots import OutputSlots
from aegis_ros.engine.wire import (
    DONE,
    MAX_RECORD_BYTES,
    OUTPUT_FREE,
    SKIPPED,
    Kind,
    pack_place,
    pack_submit,
)
from aegis_ros.spec import FrameFormat, LaneSpec, Wait
from test.backends import fake_ort, fake_tensorrt
from test.backends.fake_cuda import FakeDriver
from test.engine.bench import MS, SHAPE, TIMEOUT_S

_SLOTS = 64
_JOBS = 150
_MOST_IN_FLIGHT = 6
_FAKES: dict[str, Any] = {"onnxruntime_cuda": fake_ort, "tensorrt": fake_tensorrt}


class Node:
    """A loop on one GPU lane over fakes, with two tasks of one network each."""

    def __init__(self, fakes: Any, folder: Path, wait: Wait) -> None:
        self.driver = FakeDriver()
        self._backend = fakes.fake_backend(fakes.fake_toolkit(self.driver))
        self._socket, frames = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(TIMEOUT_S)
        frames.setblocking(False)
        self._theirs = frames
        self.loop = EngineLoop(self._backend, frames, EnginePage(1), 1)
        self._backend.open([LaneSpec("main", wait=wait)], self.loop.ended, 0)
        spec = ChannelSpec("camera", FrameFormat.RGB8, SHAPE, _SLOTS)
        memory = SharedMemory(aligned(spec.slot_bytes) * _SLOTS)
        self._backend.pin(memory.bytes)
        self._memory = memory
        self._stride = aligned(spec.slot_bytes)
        self.loop.add_channel(1, spec, memory)
        prepared = networks.make_network(folder)
        self.slots: dict[int, OutputSlots] = {}
        for task in (1, 2):
            compiled = self._backend.compile(prepared, folder)
            self.slots[task] = OutputSlots(compiled, _JOBS)
            network = self._backend.load(compiled, 0)
            self.loop.add_task(LoadedTask(task, network, 0, self.slots[task]), 4)
        self._thread = threading.Thread(target=self.loop.run, name="loop", daemon=True)
        self._thread.start()
        self.results: dict[int, np.ndarray] = {}
        self.skipped: list[str] = []
        self.times: list[tuple[int, int, int]] = []

    def feed(self, task: int, seq: int, slot: int, value: int) -> None:
        """Send a frame that is all of one value."""
        self._memory.bytes[slot * self._stride :][: int(np.prod(SHAPE))] = value
        now = time.monotonic_ns()
        times_ns = (now, now, now + 1000 * MS)
        self._socket.send(pack_submit(task, seq, times_ns, pack_place(1, slot, SHAPE)))

    def hear(self) -> int:
        """Read one record, keep its result and give the slot back; return its job."""
        buffer = bytearray(MAX_RECORD_BYTES)
        size = self._socket.recv_into(buffer)
        if buffer[0] == Kind.SKIPPED:
            _, _, _, _, seq = SKIPPED.unpack_from(buffer)
            self.skipped.append(bytes(buffer[SKIPPED.size : size]).decode())
            return int(seq)
        assert buffer[0] == Kind.DONE
        _, _, task, seq, slot, released, started, finished, _ = DONE.unpack_from(buffer)
        self.results[seq] = self.slots[task].arrays(slot)[0].copy()
        self.times.append((released, started, finished))
        self._socket.send(OUTPUT_FREE.pack(Kind.OUTPUT_FREE, task, slot))
        return int(seq)

    def close(self) -> None:
        self.loop.stop()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        self._backend.close()
        for each in (self._socket, self._theirs):
            each.close()
        assert not any(self.driver.held.values()), self.driver.held


@pytest.mark.parametrize("wait", list(Wait))
@pytest.mark.parametrize("backend", sorted(_FAKES))
@pytest.mark.parametrize("seed", [0, 1])
def test_jobs_far_apart_and_in_bursts_get_the_result_of_their_own_frame(
    tmp_path: Path, backend: str, wait: Wait, seed: int
) -> None:
    node = Node(_FAKES[backend], tmp_path, wait)
    chance = random.Random(seed)
    values: dict[int, int] = {}
    open_jobs: set[int] = set()
    hear: Callable[[], None] = partial(lambda: open_jobs.discard(node.hear()))
    try:
        while len(values) < _JOBS:
            for _ in range(chance.randint(1, _MOST_IN_FLIGHT)):
                while len(open_jobs) >= _MOST_IN_FLIGHT:
                    hear()
                seq = len(values) + 1
                values[seq] = chance.randrange(256)
                open_jobs.add(seq)
                node.feed(chance.randint(1, 2), seq, seq % _SLOTS, values[seq])
            while chance.random() < 0.5 and open_jobs:
                hear()
        while open_jobs:
            hear()
        for task in (1, 2, 1, 2):  # the lane is free now
            seq = len(values) + 1
            values[seq] = seq % 256
            node.feed(task, seq, seq % _SLOTS, values[seq])
            node.hear()
    finally:
        node.close()
    assert len(node.results) + len(node.skipped) == len(values)
    for seq, found in node.results.items():
        np.testing.assert_allclose(found, values[seq], rtol=1e-5)
    assert all(released <= started <= finished for released, started, finished in node.times)
    ended = 0
    for _, started, finished in sorted(node.times, key=lambda each: each[1]):
        assert started >= ended, "two jobs were on the lane at once"
        ended = finished
    threads = {where for name, where in node.driver.calls if name == "launch"}
    assert {"loop", "lane-main"} <= threads
