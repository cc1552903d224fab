"""From a frame to jobs: gates, sequence numbers and slots; never waits for an admission."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.engine import Channel
from aegis_ros.errors import AegisError
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.orchestrator.types import Stream
from aegis_ros.rationale import Decision, Rule
from aegis_ros.scheduling import RateGate
from aegis_ros.spec import TaskSpec

__all__ = ["FedTask", "Intake", "StreamTable"]

_BACKWARDS_NS = 1_000_000_000


class FedTask:
    """An admitted task as the intake sees it; written by the intake thread only."""

    __slots__ = ("enabled", "gate", "next_seq", "spec", "statistics", "task_id")

    def __init__(self, task_id: int, spec: TaskSpec, statistics: TaskStatistics) -> None:
        """Begin with an open gate."""
        self.task_id = task_id
        self.spec = spec
        self.statistics = statistics
        self.enabled = spec.enabled
        self.gate = RateGate(spec.period_ns, spec.jitter_ns)
        self.next_seq = 0


@dataclass(frozen=True)
class StreamTable:
    """A stream, its slots and the tasks it feeds."""

    stream: Stream
    channel: Channel
    tasks: tuple[FedTask, ...]


_Submit = Callable[[Channel, int, tuple[int, ...], int, list[tuple[int, int, int, int]]], None]


class Intake:
    """The path of every frame. ``replace`` swaps the whole table in one step.

    Args:
        log: where skips are told.
        submit: hands a written slot to the engine.
    """

    def __init__(self, log: RationaleLog, submit: _Submit) -> None:
        """Begin closed and without streams."""
        self._log = log
        self._submit = submit
        self._tables: Mapping[str, StreamTable] = {}
        self._last_stamp_ns: dict[str, int] = {}
        self.open = False
        self._lock = threading.Lock()  # intake threads of different streams share gates

    def replace(self, tables: Mapping[str, StreamTable]) -> None:
        """Use these streams from the next frame on."""
        self._tables = dict(tables)

    def streams(self) -> tuple[Stream, ...]:
        """Return what must be subscribed to."""
        return tuple(table.stream for table in self._tables.values())

    def wanted(self, key: str, received_ns: int) -> tuple[int, ...]:
        """Return the tasks that take a frame received now; none means: drop it undecoded.

        A frame beyond a task's declared rate is skipped here, so that no task can be made late by
        another one's camera.
        """
        table = self._tables.get(key)
        if table is None or not self.open:
            return ()
        taken = []
        for task in table.tasks:
            if not task.enabled:
                continue
            task.statistics.received += 1
            if task.gate.accept(received_ns):
                taken.append(task.task_id)
                continue
            task.statistics.skipped += 1
            self._log.tell_often(
                task.spec.name,
                Decision.SKIPPED,
                Rule.RATE_GATE,
                f"a frame on {table.stream.topic} came sooner than the declared period of "
                f"{task.spec.period_ns / 1e6:g} ms allows "
                f"(jitter {task.spec.jitter_ns / 1e6:g} ms); declare the true period and jitter if "
                "every frame matters",
                job=task.next_seq,
            )
        return tuple(taken)

    def acquire(self, key: str, task_ids: tuple[int, ...]) -> int | None:
        """Take a slot for a frame; ``None`` (told as a skip) when all are in use."""
        table = self._tables.get(key)
        if table is None:
            return None
        slot = table.channel.acquire()
        if slot is None:
            self._skip(table, task_ids, Rule.LIMIT, "all frame slots are in use")
        return slot

    def slot_array(self, key: str, slot: int, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
        """Return the slot's memory for a frame of ``shape``.

        Raises:
            InputError: the frame is larger than declared.
        """
        return self._tables[key].channel.array(slot, shape)

    def commit(
        self,
        key: str,
        slot: int,
        shape: tuple[int, ...],
        task_ids: tuple[int, ...],
        stamp_ns: int,
        received_ns: int,
        prepare: Callable[[int, int], None],
    ) -> None:
        """Release one job a task for the frame in ``slot``.

        Args:
            key: stream.
            slot: where the frame lies.
            shape: its shape.
            task_ids: what ``wanted`` returned.
            stamp_ns: stamp of the frame on the wall clock, 0 for none; only compared with itself.
            received_ns: when it came (monotonic).
            prepare: told (task id, sequence number) of each job before it is released.
        """
        table = self._tables.get(key)
        if table is None:
            return
        self._watch_stamp(table, stamp_ns)
        jobs = []
        for task in table.tasks:
            if task.task_id not in task_ids:
                continue
            arrival = task.gate.arrival_ns
            deadline = arrival + task.spec.deadline_ns - task.spec.output.publish_ns
            seq = task.next_seq
            task.next_seq += 1
            task.statistics.last_deadline_ns = deadline
            prepare(task.task_id, seq)
            jobs.append((task.task_id, seq, arrival, deadline))
        self._submit(table.channel, slot, shape, received_ns, jobs)

    def refused(
        self, key: str, task_ids: tuple[int, ...], slot: int | None, error: AegisError
    ) -> None:
        """Tell that a frame could not be used, and free its slot."""
        table = self._tables.get(key)
        if table is None:
            return
        if slot is not None:
            table.channel.hold(slot, 0)
        self._skip(table, task_ids, Rule.BAD_FRAME, f"a frame on {table.stream.topic}: {error}")

    def _skip(
        self, table: StreamTable, task_ids: tuple[int, ...], rule: Rule, sentence: str
    ) -> None:
        for task in table.tasks:
            if task.task_id in task_ids:
                task.statistics.skipped += 1
                self._log.tell_often(
                    task.spec.name, Decision.SKIPPED, rule, sentence, job=task.next_seq
                )

    def _watch_stamp(self, table: StreamTable, stamp_ns: int) -> None:
        if stamp_ns <= 0:
            return
        before = self._last_stamp_ns.get(table.stream.key, 0)
        self._last_stamp_ns[table.stream.key] = stamp_ns
        if before - stamp_ns > _BACKWARDS_NS:
            for task in table.tasks:
                self._log.tell_often(
                    task.spec.name,
                    Decision.INFORMED,
                    Rule.TIME_JUMP,
                    f"the stamps on {table.stream.topic} went back by "
                    f"{(before - stamp_ns) / 1e9:.1f} s (a bag that loops, or a clock that was "
                    "set); deadlines are kept on the monotonic clock and go on as before",
                )
