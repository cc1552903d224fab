"""Where frames lie: the loop keeps the arrays of places that it has seen."""

from __future__ import annotations

import threading

import numpy as np

from aegis_ros.backends.base import Work
from aegis_ros.engine import ChannelSpec
from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.engine.wire import pack_place, pack_submit
from aegis_ros.spec import FrameFormat
from test.engine.bench import SHAPE, TIMEOUT_S
from test.engine.inside import Inside


def _nothing() -> None:
    return


def test_a_channel_that_is_opened_again_is_read_anew() -> None:
    spec = ChannelSpec("camera", FrameFormat.RGB8, SHAPE, 4)
    memory = SharedMemory(aligned(spec.slot_bytes) * spec.slots)
    memory.bytes[:] = 200
    place = pack_place(1, 3, SHAPE)
    opened = threading.Event()

    def open_again() -> None:
        inside.loop.remove_channel(1)
        inside.loop.add_channel(1, spec, memory)
        opened.set()

    with Inside() as inside:
        inside.load(1, _nothing)
        inside.send(pack_submit(1, 1, (0, 0, 0), place))
        inside.until(lambda: len(inside.device.begun) == 1)
        inside.loop.call(open_again)
        assert opened.wait(TIMEOUT_S)
        inside.send(pack_submit(1, 2, (0, 0, 0), place))
        inside.until(lambda: len(inside.device.begun) == 2)
        assert [value for value, _ in inside.device.begun] == [3, 200]


def test_frames_of_ever_new_sizes_take_no_memory_without_bound() -> None:
    points = np.prod(SHAPE)
    with Inside() as inside:
        inside.load(1, _nothing, queue=1000)
        for count in range(1, 501):
            assert count <= points
            inside.send(pack_submit(1, count, (0, 0, 0), pack_place(1, 0, (count,))))
        inside.until(lambda: len(inside.device.begun) == 500)
        assert len(inside.loop._inputs) <= 256


def test_jobs_of_one_frame_have_outputs_of_their_own() -> None:
    place = pack_place(1, 3, SHAPE)
    addresses: list[int] = []
    with Inside() as inside:
        start = inside.device.start

        def note(lane: int, work: Work) -> None:
            addresses.append(work.parts[0].outputs[0].ctypes.data)
            start(lane, work)

        inside.device.start = note  # type: ignore[method-assign]
        inside.load(1, _nothing)
        for job in (1, 2):  # nobody gives an output back
            inside.send(pack_submit(1, job, (0, 0, 0), place))
            inside.until(lambda job=job: len(addresses) == job)
    assert len(set(addresses)) == 2
