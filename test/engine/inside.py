"""The engine's loop in this very process, on a device that does whatever a test tells it to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork, Completion, Ended, Work
from aegis_ros.backends.worker import CpuLane, open_lanes
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
    SKIP_RULES,
    SKIPPED,
    Kind,
    pack_place,
    pack_submit,
)
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import ExecutionPlan, Scheduler
from aegis_ros.spec import Criticality, FrameFormat, LaneSpec, OverrunPolicy
from test.engine.bench import MS, SHAPE, TIMEOUT_S, plan, simulated

_SLOTS = 64
_OUTPUTS = 512  # a node that reads only at the end holds them all


@dataclass
class Network:
    """What runs: one function a segment."""

    parts: Sequence[Callable[[], None]]

    @property
    def segments(self) -> int:
        return len(self.parts)

    @property
    def note(self) -> str:
        return ""


class Device:
    """Lanes that call the functions of a network.

    Attributes:
        refuse: raised by every start.
        fetches: whether frames are brought ahead.
        brought: first byte of every frame that was.
        begun: of every job that began: first byte of its frame, and whether that was there already.
    """

    def __init__(self) -> None:
        self.lanes: list[CpuLane] = []
        self.refuse: Exception | None = None
        self.fetches = False
        self.brought: list[int] = []
        self.begun: list[tuple[int, bool]] = []

    def open(self, lanes: Sequence[LaneSpec], ended: Ended) -> None:
        self.lanes = open_lanes(lanes, _run, ended, 0)

    def prefetch(self, network: Network, inputs: Sequence[npt.NDArray[np.uint8]]) -> bool:
        if self.fetches:
            self.brought.append(int(inputs[0].flat[0]))
        return self.fetches

    def start(self, lane: int, work: Work) -> None:
        if self.refuse is not None:
            raise self.refuse
        (part,) = work.parts
        if work.step == 0:
            self.begun.append((int(part.inputs[0].flat[0]), part.prefetched))
        self.lanes[lane].start(work)


def _run(work: Work, completion: Completion) -> None:
    network = work.parts[0].network
    assert isinstance(network, Network)
    network.parts[work.step]()


@dataclass
class Reported:
    """What the loop said of its jobs: (task, sequence number) and why."""

    done: list[tuple[int, int]] = field(default_factory=list)
    skipped: list[tuple[int, int, Rule, str]] = field(default_factory=list)


class Inside:
    """One loop in a thread, and the node's end of its socket."""

    def __init__(self, scheduler: Scheduler | None = None, lanes: int = 1) -> None:
        self.device = Device()
        self.reported = Reported()
        self._node, frames = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._node.settimeout(TIMEOUT_S)
        frames.setblocking(False)
        self._frames = frames
        self.page = EnginePage(lanes)
        self.loop = EngineLoop(
            self.device,  # type: ignore[arg-type]
            frames,
            self.page,
            lanes,
            scheduler=scheduler,
        )
        self.device.open([LaneSpec(f"lane{index}") for index in range(lanes)], self.loop.ended)
        spec = ChannelSpec("camera", FrameFormat.RGB8, SHAPE, _SLOTS)
        memory = SharedMemory(aligned(spec.slot_bytes) * _SLOTS)
        memory.bytes.reshape(_SLOTS, -1)[:] = np.arange(_SLOTS)[:, np.newaxis]
        self.loop.add_channel(1, spec, memory)
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._deadline_ns: dict[int, int] = {}
        self._sent = 0

    def __enter__(self) -> Inside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.stop()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        for lane in self.device.lanes:
            lane.stop()
        for each in (self._node, self._frames):
            each.close()

    def load(
        self,
        task_id: int,
        *parts: Callable[[], None],
        lane: int = 0,
        deadline_ns: int = 1000 * MS,
        wcet_ns: tuple[int, ...] = (),
        criticality: Criticality = Criticality.HIGH,
        on_overrun: OverrunPolicy = OverrunPolicy.SKIP_NEXT,
        exit_after: int = 0,
        total_ns: int = 0,
        outputs: int = _OUTPUTS,
        queue: int = 1,
        steps: ExecutionPlan | None = None,
        compiled: CompiledNetwork | None = None,
    ) -> None:
        """Make a task known; to be called before the loop runs."""
        slots = OutputSlots(compiled or simulated(), outputs)
        self.loop.add_task(
            LoadedTask(task_id, Network(parts), lane, slots),  # type: ignore[arg-type]
            queue,
            plan=steps or plan(wcet_ns, exit_after, total_ns),
            criticality=criticality,
            on_overrun=on_overrun,
        )
        self._deadline_ns[task_id] = deadline_ns

    def feed(self, *task_ids: int) -> None:
        """Release one job of each task."""
        for task_id in task_ids:
            now = time.monotonic_ns()
            self._sent += 1
            self._node.send(
                pack_submit(
                    task_id,
                    self._sent,
                    (now, now, now + self._deadline_ns[task_id]),
                    pack_place(1, self._sent % _SLOTS, SHAPE),
                )
            )

    def send(self, record: bytes) -> None:
        """Send a record as it is; no job is counted for it."""
        self._node.send(record)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something has come about in the loop's thread."""
        end = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.001)

    def settle(self) -> Reported:
        """Read what is reported until every job that was fed is accounted for."""
        buffer = bytearray(MAX_RECORD_BYTES)
        while len(self.reported.done) + len(self.reported.skipped) < self._sent:
            size = self._node.recv_into(buffer)
            if buffer[0] == Kind.DONE:
                _, _, task_id, seq, slot, *_ = DONE.unpack_from(buffer)
                self.reported.done.append((task_id, seq))
                self._node.send(OUTPUT_FREE.pack(Kind.OUTPUT_FREE, task_id, slot))
            elif buffer[0] == Kind.SKIPPED:
                _, rule, _, task_id, seq = SKIPPED.unpack_from(buffer)
                text = bytes(buffer[SKIPPED.size : size]).decode()
                self.reported.skipped.append((task_id, seq, SKIP_RULES[rule], text))
        return self.reported


def takes(seconds: float) -> Callable[[], None]:
    """Return a segment that only takes its time."""
    return lambda: time.sleep(seconds)


def fails(error: BaseException) -> Callable[[], None]:
    """Return a segment that raises."""

    def run() -> None:
        raise error

    return run


__all__ = ["Device", "Inside", "Network", "Reported", "fails", "takes"]
