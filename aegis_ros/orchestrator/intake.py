"""From a frame to jobs: gates, sequence numbers and slots; never waits for an admission."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.engine import Channel, SlotFrame
from aegis_ros.errors import AegisError
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.orchestrator.types import Stream
from aegis_ros.rationale.frames import (
    BadFrame,
    FrameTooEarly,
    NoFrameSlot,
    StampsOffClock,
    StampsWentBack,
)
from aegis_ros.scheduling import RateGate
from aegis_ros.spec import TaskSpec

__all__ = ["NEVER_NS", "FedTask", "FrameDecimation", "FrameTimes", "Intake", "StreamTable", "Taken"]

_BACKWARDS_NS = 1_000_000_000
_TRUSTED_NS = 10_000_000_000
NEVER_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class FrameDecimation:
    """Of how many frames one becomes a job; replaced as a whole, never changed.

    Attributes:
        n: every n-th frame is taken until ``from_ns``.
        later: the same from then on.
        from_ns: monotonic time.
        opens_ns: before it, no frame is taken at all.
    """

    n: int = 1
    later: int = 1
    from_ns: int = 0
    opens_ns: int = 0

    def at(self, now_ns: int) -> int:
        """Return n at a moment."""
        return self.n if now_ns < self.from_ns else self.later

    @property
    def reached(self) -> int:
        """The least n that can come without another change."""
        return self.n if self.from_ns == NEVER_NS else min(self.n, self.later)


class FedTask:
    """An admitted task as the intake sees it; counted in by the intake thread only."""

    __slots__ = (
        "decimation",
        "enabled",
        "gate",
        "next_seq",
        "passed_by",
        "shed",
        "spec",
        "statistics",
        "task_id",
    )

    def __init__(self, task_id: int, spec: TaskSpec, statistics: TaskStatistics) -> None:
        """Begin with an open gate."""
        self.task_id = task_id
        self.spec = spec
        self.statistics = statistics
        self.enabled = spec.enabled
        self.shed = False  # while the device is too slow for it
        self.gate = RateGate(spec.period_ns, spec.jitter_ns)
        self.next_seq = 0
        self.decimation = FrameDecimation()
        self.passed_by = spec.decimation_limit  # frames since the last that became a job


@dataclass(frozen=True)
class StreamTable:
    """A stream, its slots and the tasks it feeds."""

    stream: Stream
    channel: Channel
    tasks: tuple[FedTask, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """The tasks that take one frame, and the slot it is written to.

    It keeps its table, so that a change of the tasks meanwhile cannot take the slot away.
    """

    table: StreamTable
    tasks: tuple[FedTask, ...]
    slot: int

    @property
    def task_ids(self) -> tuple[int, ...]:
        """Ids of the tasks."""
        return tuple(task.task_id for task in self.tasks)

    def array(self, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
        """Return the slot's memory for a frame of ``shape``.

        Raises:
            InputError: the frame is larger than declared.
        """
        return self.table.channel.array(self.slot, shape)


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When a frame was stamped, came, and was ready; nanoseconds.

    Attributes:
        stamp_ns: its stamp on the wall clock, 0 for none; only watched, no deadline rests on it.
        received_ns: when its message came (monotonic).
        ready_ns: when it was in its slot (monotonic).
        wall_ns: what the wall clock showed at ``ready_ns``.
    """

    stamp_ns: int
    received_ns: int
    ready_ns: int
    wall_ns: int

    @property
    def trusted(self) -> bool:
        """Whether the stamp is on this machine's clock: within 10 s of the frame."""
        return self.stamp_ns > 0 and abs(self.wall_ns - self.stamp_ns) < _TRUSTED_NS

    @property
    def wall_offset_ns(self) -> int:
        """Wall clock less monotonic clock."""
        return self.wall_ns - self.ready_ns

    @property
    def stamped_ns(self) -> int:
        """The stamp on the monotonic clock, 0 for one that is not trusted."""
        return max(0, self.stamp_ns - self.wall_offset_ns) if self.trusted else 0


_Submit = Callable[[Sequence[SlotFrame], FrameTimes, list[tuple[int, int, int, int]], object], None]


class Intake:
    """The path of every frame. ``replace`` swaps the whole table in one step.

    Args:
        log: where skips are reported.
        submit: hands a written slot to the engine.
    """

    def __init__(self, log: RationaleLog, submit: _Submit) -> None:
        """Begin closed and without streams."""
        self._log = log
        self._submit = submit
        self._tables: Mapping[str, StreamTable] = {}
        self._last_stamp_ns: dict[str, int] = {}
        self._distrusted: set[str] = set()
        self.open = False

    def replace(self, tables: Mapping[str, StreamTable]) -> None:
        """Use these streams from the next frame on."""
        self._tables = dict(tables)
        self._distrusted &= self._tables.keys()

    def streams(self) -> tuple[Stream, ...]:
        """Return what must be subscribed to."""
        return tuple(table.stream for table in self._tables.values())

    def fed_by(self, key: str) -> tuple[str, ...]:
        """Return the names of the tasks a stream feeds."""
        table = self._tables.get(key)
        return tuple(task.spec.name for task in table.tasks) if table is not None else ()

    def take(self, key: str, received_ns: int) -> Taken | None:
        """Return a slot for a frame received now; ``None`` means: drop it undecoded.

        A frame beyond a task's declared rate is skipped here, so that no task can be made late by
        another one's camera.
        """
        table = self._tables.get(key)
        if table is None or not self.open:
            return None
        tasks = tuple(task for task in table.tasks if self._wants(task, table, received_ns))
        if not tasks:
            return None
        slot = table.channel.acquire()
        if slot is None:
            for task in tasks:
                task.statistics.skipped += 1
                self._log.report_often(
                    NoFrameSlot(task.spec.name, task.next_seq, table.stream.topic)
                )
            return None
        return Taken(table, tasks, slot)

    def commit(
        self,
        taken: Taken,
        shape: tuple[int, ...],
        times: FrameTimes,
        origin: object = None,
    ) -> None:
        """Release one job a task for the frame that was written.

        Args:
            taken: what ``take`` returned.
            shape: shape of the frame.
            times: when it was stamped, came, and was ready.
            origin: what comes back with the result of each job; never looked at.
        """
        self._watch_stamp(taken.table, times)
        jobs = []
        for task in taken.tasks:
            arrival = task.gate.settle(times.ready_ns)
            deadline = arrival + task.spec.deadline_ns - task.spec.output.publish_ns
            seq = task.next_seq
            task.next_seq += 1
            task.statistics.last_deadline_ns = deadline
            jobs.append((task.task_id, seq, arrival, deadline))
        frame = SlotFrame(taken.table.channel, taken.slot, shape)
        self._submit((frame,), times, jobs, origin)

    def refuse(self, taken: Taken, error: AegisError) -> None:
        """Report that a frame could not be used, and free its slot."""
        taken.table.channel.cancel(taken.slot)
        topic = taken.table.stream.topic
        for task in taken.tasks:
            task.statistics.skipped += 1
            self._log.report_often(BadFrame(task.spec.name, task.next_seq, topic, str(error)))

    def _wants(self, task: FedTask, table: StreamTable, received_ns: int) -> bool:
        if not task.enabled:
            return False
        task.statistics.received += 1
        if task.shed:
            task.statistics.skipped += 1
            return False
        decimation = task.decimation
        if received_ns < decimation.opens_ns:
            task.statistics.decimated += 1
            return False
        if task.gate.accept(received_ns):
            # Counted, not timed: a sensor slower than declared loses no more than its share.
            task.passed_by += 1
            if task.passed_by < decimation.at(received_ns):
                task.statistics.decimated += 1
                return False
            task.passed_by = 0
            return True
        task.statistics.skipped += 1
        self._log.report_often(
            FrameTooEarly(
                task.spec.name,
                task.next_seq,
                table.stream.topic,
                task.spec.period_ns,
                task.spec.jitter_ns,
            )
        )
        return False

    def _watch_stamp(self, table: StreamTable, times: FrameTimes) -> None:
        stamp_ns = times.stamp_ns
        if stamp_ns == 0:
            return
        key = table.stream.key
        before = self._last_stamp_ns.get(key, stamp_ns)
        self._last_stamp_ns[key] = stamp_ns
        topic = table.stream.topic
        if before - stamp_ns > _BACKWARDS_NS:
            for task in table.tasks:
                back = StampsWentBack(task.spec.name, topic, before - stamp_ns)
                self._log.report_often(back)
        elif not times.trusted and key not in self._distrusted:
            self._distrusted.add(key)
            for task in table.tasks:
                ahead = StampsOffClock(task.spec.name, topic, stamp_ns - times.wall_ns)
                self._log.report_often(ahead)
