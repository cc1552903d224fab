"""From a frame to jobs: gates, sequence numbers and slots; never waits for an admission."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from aegis_ros.engine import Channel, KeptFrame, SlotFrame
from aegis_ros.errors import AegisError, InputError
from aegis_ros.orchestrator.fed_task import FedTask
from aegis_ros.orchestrator.ledger import Ledger
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.stamps import FrameTimes, StampWatch
from aegis_ros.orchestrator.statistics import slow_unpacking_ns
from aegis_ros.orchestrator.synchroniser import Dropped, Synchroniser, Unmatched
from aegis_ros.planning.streams import Stream
from aegis_ros.rationale import Reason
from aegis_ros.rationale.frames import (
    BadFrame,
    FrameMisfit,
    FrameOutpaced,
    FrameShed,
    FrameSqueezed,
    FrameUnmatched,
    FrameWithdrawn,
    NewerSet,
    NoFrameSlot,
    NoFrameYet,
)
from aegis_ros.spec import Invalid

__all__ = [
    "Intake",
    "Joint",
    "StreamTable",
    "Taken",
    "Wanted",
    "first_origin",
    "job_of",
]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame that waits for those of the other inputs, or for a timer; its slot is held."""

    frame: SlotFrame
    times: FrameTimes
    origin: object


class Joint:
    """A task whose jobs read what several frames brought, or whatever is there when a timer ticks.

    Args:
        task: the task.
        topics: topic of each of its inputs.
    """

    def __init__(self, task: FedTask, topics: tuple[str, ...]) -> None:
        """Hold no frame."""
        sync = task.spec.sync
        self.task = task
        self.topics = topics
        self.sync = sync
        self.lock = threading.Lock()
        self.waiting: Synchroniser[Waiting] | None = None
        if sync is not None:
            self.waiting = Synchroniser(len(topics), sync.tolerance_ns, sync.queue)
        self.newest: list[Waiting | None] = [None] * len(topics)
        self.closed = False

    def close(self) -> None:
        """Let all frames go, and keep none that is on its way here."""
        with self.lock:
            self.closed = True
            for each in (*(self.waiting or ()), *self.newest):
                if each is not None:
                    each.frame.drop()
            self.waiting, self.newest = None, []


@dataclass(frozen=True)
class StreamTable:
    """A stream, its slots and what it feeds.

    Attributes:
        stream, channel: the stream and its slots.
        tasks: tasks each of whose jobs reads one frame.
        joints: tasks of several inputs or of a timer, with the index of the input that it feeds.
    """

    stream: Stream
    channel: Channel
    tasks: tuple[FedTask, ...] = ()
    joints: tuple[tuple[Joint, int], ...] = ()

    @property
    def fed(self) -> tuple[FedTask, ...]:
        """All tasks it feeds."""
        return (*self.tasks, *(joint.task for joint, _ in self.joints))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A frame that is to become jobs, and the tasks that they are of.

    It keeps its table, so that a change of the tasks meanwhile takes nothing away.

    Attributes:
        table: its stream.
        tasks: tasks each of whose jobs reads this frame alone.
        joints: tasks of several inputs or of a timer, with the index of the input.
        received_ns: when its message came (monotonic).
    """

    table: StreamTable
    tasks: tuple[FedTask, ...]
    joints: tuple[tuple[Joint, int], ...]
    received_ns: int

    @property
    def fed(self) -> tuple[FedTask, ...]:
        """The tasks."""
        return (*self.tasks, *(joint.task for joint, _ in self.joints))


@dataclass(frozen=True, slots=True)
class Taken:
    """A frame that is wanted, and the slot that it is written to."""

    wanted: Wanted
    slot: int

    @property
    def table(self) -> StreamTable:
        """The stream."""
        return self.wanted.table

    @property
    def fed(self) -> tuple[FedTask, ...]:
        """The tasks."""
        return self.wanted.fed

    @property
    def task_ids(self) -> tuple[int, ...]:
        """Ids of the tasks."""
        return tuple(task.task_id for task in self.fed)

    def keep(self, shape: tuple[int, ...]) -> KeptFrame | None:
        """Return what keeps the frame until its results have been used, where others follow."""
        if not any(task.followed for task in self.fed):
            return None
        return KeptFrame(SlotFrame(self.table.channel, self.slot, shape))

    def array(self, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
        """Return the slot's memory for a frame of ``shape``.

        Raises:
            InputError: the frame is larger than declared.
        """
        try:
            return self.table.channel.array(self.slot, shape)
        except InputError as error:
            fixed = next((most for most in self._limits() if most), ())
            if not fixed:
                raise
            raise InputError(
                "the frame is larger than the network takes",
                where="frame",
                value=list(shape),
                expected=f"at most {list(fixed)}",
                hint="Declare preprocess.resize: crop or sample for points and ranges, stretch or "
                "letterbox for images, and then the largest frame as max_points or max_size",
            ) from error

    def _limits(self) -> Iterator[tuple[int, ...]]:
        """Give the largest frame that each network takes, where that is fixed."""
        fed = [(task, 0) for task in self.wanted.tasks]
        fed += [(joint.task, index) for joint, index in self.wanted.joints]
        for task, index in fed:
            if task.inputs and any(task.inputs[index].most[:1]):
                yield task.inputs[index].most


_Join = Callable[[Sequence[object], FrameTimes], object]
_Submit = Callable[[Sequence[SlotFrame], FrameTimes, list[tuple[int, int, int, int]], object], None]


class Intake:
    """The path of every frame. ``replace`` swaps the whole table in one step.

    Frames of several streams may come from several threads, those of one in their order: what
    counts a task's frames goes on under a lock that is held for microseconds.

    Attributes:
        stamps: what the stamps of each stream are like.
        open: whether frames are let in.

    Args:
        log: where it is reported what stamps are like.
        ledger: books the frames that become no job.
        submit: hands written slots to the engine.
        join: returns the origin of a job from those of its frames and the job's own times; that of
            the first frame if not given.
        missed: called with the name of a task whose results others follow, and the number of the
            job that a skipped frame would have been.
    """

    def __init__(
        self,
        log: RationaleLog,
        ledger: Ledger,
        submit: _Submit,
        join: _Join | None = None,
        *,
        missed: Callable[[str, int], None] = lambda task, job: None,
    ) -> None:
        """Begin closed and without streams."""
        self._ledger = ledger
        self._submit = submit
        self._join = join or first_origin
        self._missed = missed
        self._tables: Mapping[str, StreamTable] = {}
        self._lock = threading.Lock()
        self.stamps = StampWatch(log)
        self.open = False

    def replace(self, tables: Mapping[str, StreamTable]) -> None:
        """Use these streams from the next frame on."""
        before, self._tables = self._tables, dict(tables)
        kept = {id(task) for table in self._tables.values() for task in table.fed}
        for table in before.values():
            for task in table.fed:
                if id(task) not in kept:
                    self._report_early(table, task)
        self.stamps.keep(self._tables)

    def flush(self) -> None:
        """Report the frames that came too early, where it is time to."""
        now = time.monotonic_ns()
        for table in self._tables.values():
            for task in table.fed:
                if task.early.due(now):
                    self._report_early(table, task)

    def _report_early(self, table: StreamTable, task: FedTask) -> None:
        self._ledger.report_early(task, table.stream.topic, time.monotonic_ns())

    def streams(self) -> tuple[Stream, ...]:
        """Return what must be subscribed to."""
        return tuple(table.stream for table in self._tables.values())

    def fed_by(self, key: str) -> tuple[str, ...]:
        """Return the names of the tasks a stream feeds."""
        table = self._tables.get(key)
        return tuple(task.spec.name for task in table.fed) if table is not None else ()

    def want(self, key: str, received_ns: int) -> Wanted | None:
        """Return who takes a frame received now; ``None`` means: drop it undecoded.

        A frame beyond a task's declared rate is skipped here, so that no task can be made late by
        another one's camera. What is wanted ends once, by :meth:`commit`, :meth:`refuse`,
        :meth:`outpaced` or :meth:`withdraw`.
        """
        table = self._tables.get(key)
        if table is None or not self.open:
            return None
        with self._lock:
            tasks = tuple(
                task for task in table.tasks if self._wants(task, table.stream.topic, received_ns)
            )
        joints = tuple(each for each in table.joints if _takes(each[0].task))
        return Wanted(table, tasks, joints, received_ns) if tasks or joints else None

    def place(self, wanted: Wanted) -> Taken | None:
        """Return a slot for a frame that is wanted; ``None`` where none is free."""
        slot = wanted.table.channel.acquire()
        return None if slot is None else Taken(wanted, slot)

    def without_slot(self, wanted: Wanted) -> None:
        """Report a frame for which no slot was free."""
        topic = wanted.table.stream.topic
        self._end(wanted, lambda task: NoFrameSlot(task.spec.name, task.next_seq, topic))

    def take(self, key: str, received_ns: int) -> Taken | None:
        """Return a slot for a frame received now, if it is wanted and there is one."""
        wanted = self.want(key, received_ns)
        if wanted is None:
            return None
        taken = self.place(wanted)
        if taken is None:
            self.without_slot(wanted)
        return taken

    def outpaced(self, before: Wanted, newer: Wanted) -> Wanted:
        """Have a newer frame stand in for one that is not ready; report that for whom wanted both.

        Who wanted the older one alone gets the newer one for it: gates and decimation have counted
        the older one already, and would let none through in its place.

        Returns:
            Who wants the newer frame now.
        """
        topic = before.table.stream.topic
        known = {id(task) for task in newer.fed}
        both = replace(
            before,
            tasks=tuple(task for task in before.tasks if id(task) in known),
            joints=tuple(each for each in before.joints if id(each[0].task) in known),
        )
        self._end(
            both, lambda task: FrameOutpaced(task.spec.name, task.next_seq, topic), timed=False
        )
        return replace(
            newer,
            tasks=(*newer.tasks, *(task for task in before.tasks if id(task) not in known)),
            joints=(
                *newer.joints,
                *(each for each in before.joints if id(each[0].task) not in known),
            ),
        )

    def withdraw(self, wanted: Wanted) -> None:
        """Report a frame that was not ready when its stream ended."""
        topic = wanted.table.stream.topic
        self._end(
            wanted, lambda task: FrameWithdrawn(task.spec.name, task.next_seq, topic), timed=False
        )

    def discard(self, taken: Taken) -> None:
        """Free the slot of a frame that has been told of already."""
        taken.table.channel.cancel(taken.slot)

    def commit(
        self,
        taken: Taken,
        shape: tuple[int, ...],
        times: FrameTimes,
        origin: object = None,
        *,
        invalid: int = 0,
        unpacking_ns: int = 0,
    ) -> None:
        """Release one job a task for the frame that was written.

        Args:
            taken: what ``take`` returned.
            shape: shape of the frame.
            times: when it was stamped, came, and was ready.
            origin: what comes back with the result of each job; never looked at.
            invalid: how many points or numbers of the message were none.
            unpacking_ns: how long it took to decode the message, or to copy it.
        """
        for task in taken.fed:
            if unpacking_ns > slow_unpacking_ns(task.spec):
                task.statistics.unpacked_slowly(unpacking_ns)
        with self._lock:
            self._commit(taken, shape, times, origin, invalid=invalid)

    def _commit(
        self,
        taken: Taken,
        shape: tuple[int, ...],
        times: FrameTimes,
        origin: object,
        *,
        invalid: int,
    ) -> None:
        table, wanted = taken.table, taken.wanted
        if invalid:
            for task in taken.fed:
                task.statistics.invalid += invalid
        self.stamps.note(table.stream, (task.spec for task in table.fed), times)
        frame = SlotFrame(table.channel, taken.slot, shape)
        for joint, index in wanted.joints:
            if joint.task.takes(index, shape):
                self._join_in(joint, index, frame, times, origin=origin)
            else:
                joint.task.statistics.receive(times.received_ns)
                self._misfit(taken, joint.task, index, shape, left_out=invalid)
        current = self._tables.get(table.stream.key)
        tasks = []
        for task in wanted.tasks:
            if current is None or task not in current.tasks:
                reason = FrameWithdrawn(task.spec.name, task.next_seq, table.stream.topic)
                self._skip(task, reason, times.ready_ns)
            elif task.takes(0, shape):
                tasks.append(task)
            else:
                self._misfit(taken, task, 0, shape, left_out=invalid)
        if not tasks:
            frame.drop()
            return
        jobs = [job_of(task, task.gate.settle(times.received_ns, times.ready_ns)) for task in tasks]
        self._submit((frame,), times, jobs, origin)

    def tick(self, joint: Joint, due_ns: int) -> None:
        """Release a job of a task with a timer; called by the timers' thread.

        It reads the newest frame of each input. Its arrival is the moment at which the timer was
        due, and so does its response time count from there.

        Args:
            joint: the task.
            due_ns: when the timer was due (monotonic).
        """
        task = joint.task
        if not self.open or not _takes(task):
            return
        now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        with joint.lock:
            if joint.closed:
                return
            task.statistics.receive(now_ns)
            if self._passed_over(task, now_ns):
                return
            newest = tuple(each for each in joint.newest if each is not None)
            if len(newest) == len(joint.newest):
                for each in newest:
                    each.frame.hold()
            else:
                absent = next(
                    topic
                    for topic, each in zip(joint.topics, joint.newest, strict=True)
                    if each is None
                )
                reason = NoFrameYet(task.spec.name, task.next_seq, absent)
                self._skip(task, reason, now_ns)
                return
        times = FrameTimes(0, due_ns, now_ns, wall_ns)
        origin = self._join([each.origin for each in newest], times)
        self._submit([each.frame for each in newest], times, [job_of(task, due_ns)], origin)

    def _join_in(
        self, joint: Joint, index: int, frame: SlotFrame, times: FrameTimes, *, origin: object
    ) -> None:
        """Have a frame wait for its partners or for the timer; release the job it completes."""
        waiting = Waiting(frame, times, origin)
        with joint.lock:
            if joint.closed:
                return
            frame.hold()
            if joint.sync is None:
                before, joint.newest[index] = joint.newest[index], waiting
                if before is not None:
                    before.frame.drop()
                return
            assert joint.waiting is not None
            matched = joint.waiting.add(index, times.taken_ns, waiting)
        for dropped in matched.dropped:
            self._unmatched(joint, dropped, times.received_ns)
        if matched.frames is not None:
            self._release(joint, matched.frames)

    def _release(self, joint: Joint, frames: Sequence[Waiting]) -> None:
        """Release a job on a set of frames, whose slots are held for it.

        Its times are those of the earliest stamp; it was received and ready with the last frame.
        """
        task = joint.task
        last = max(frames, key=lambda each: each.times.ready_ns).times
        received_ns = max(each.times.received_ns for each in frames)
        task.statistics.receive(received_ns)
        if not self._paced(task, joint.topics[0], received_ns):
            for each in frames:
                each.frame.drop()
            return
        earliest = min(frames, key=lambda each: each.times.taken_ns).times
        times = replace(
            last,
            stamp_ns=earliest.stamp_ns,
            received_ns=received_ns if earliest.trusted else earliest.received_ns,
            believed=earliest.trusted,
        )
        origin = self._join([each.origin for each in frames], times)
        jobs = [job_of(task, task.gate.settle(received_ns, times.ready_ns))]
        self._submit([each.frame for each in frames], times, jobs, origin)

    def _unmatched(self, joint: Joint, dropped: Dropped[Waiting], now_ns: int) -> None:
        dropped.frame.frame.drop()
        task, topic = joint.task, joint.topics[dropped.index]
        name, job = task.spec.name, task.next_seq
        assert joint.sync is not None
        reason: Reason
        if dropped.why is Unmatched.SUPERSEDED:
            reason = NewerSet(name, job, topic)
        else:
            missing = tuple(joint.topics[each] for each in dropped.missing)
            reason = FrameUnmatched(
                name, job, topic, joint.sync.tolerance_ns, joint.sync.queue, missing
            )
        task.statistics.receive(now_ns)
        self._skip(task, reason, now_ns)

    def refuse(self, taken: Taken, error: AegisError) -> None:
        """Report that a frame could not be used, and free its slot."""
        taken.table.channel.cancel(taken.slot)
        topic, problem = taken.table.stream.topic, str(error)
        self._end(
            taken.wanted, lambda task: BadFrame(task.spec.name, task.next_seq, topic, problem)
        )

    def _end(
        self, wanted: Wanted, reason: Callable[[FedTask], Reason], *, timed: bool = True
    ) -> None:
        """Book a frame that was wanted and becomes no job.

        Args:
            wanted: the frame.
            reason: returns why, for each task.
            timed: whether tasks of a timer are told, too: they are fed by ticks, and a frame that
                a newer one replaces is nothing to them.
        """
        now_ns = time.monotonic_ns()
        joints = [joint for joint, _ in wanted.joints if timed or not joint.task.spec.timed]
        with self._lock:
            for joint in joints:
                joint.task.statistics.receive(now_ns)
            for task in (*wanted.tasks, *(joint.task for joint in joints)):
                self._skip(task, reason(task), now_ns)

    def _misfit(
        self, taken: Taken, task: FedTask, index: int, shape: tuple[int, ...], *, left_out: int
    ) -> None:
        """Report a frame that the network of a task does not take."""
        stream, fed = taken.table.stream, task.inputs[index]
        dropped = left_out if stream.invalid is Invalid.DROP else 0
        reason = FrameMisfit(
            task.spec.name,
            task.next_seq,
            stream.topic,
            str(stream.format),
            shape,
            fed.least,
            fed.most,
            dropped,
        )
        self._skip(task, reason, time.monotonic_ns())

    def _wants(self, task: FedTask, topic: str, received_ns: int) -> bool:
        if not task.enabled:
            return False
        task.statistics.receive(received_ns)
        if task.kept_out:
            kind = FrameSqueezed if task.squeezed else FrameShed
            reason = kind(task.spec.name, task.next_seq, topic)
            self._skip(task, reason, received_ns)
            return False
        return self._paced(task, topic, received_ns)

    def _paced(self, task: FedTask, topic: str, received_ns: int) -> bool:
        """Return whether a task's rate and its decimation let a job through."""
        if received_ns < task.decimation.opens_ns:
            self._ledger.decimated(task, received_ns)
            return False
        early = not task.gate.accept(received_ns)
        task.early.note(received_ns, early=early)
        if early:
            self._ledger.early(task, topic, received_ns)
            self._miss(task)
            return False
        return not self._passed_over(task, received_ns)

    def _skip(self, task: FedTask, reason: Reason, now_ns: int) -> None:
        """Book a frame that becomes no job, for the tasks that follow as well."""
        self._ledger.gated(task, reason, now_ns)
        self._miss(task)

    def _miss(self, task: FedTask) -> None:
        if task.followed:
            self._missed(task.spec.name, task.next_seq)

    def _passed_over(self, task: FedTask, received_ns: int) -> bool:
        """Return whether this is one of the frames that decimation leaves out."""
        # Counted, not timed: a sensor slower than declared loses no more than its share.
        task.passed_by += 1
        if received_ns < task.decimation.opens_ns or task.passed_by < task.decimation.at(
            received_ns
        ):
            self._ledger.decimated(task, received_ns)
            return True
        task.passed_by = 0
        return False


def first_origin(origins: Sequence[object], times: FrameTimes) -> object:
    """Return the origin of the first frame, ``None`` where there is no frame."""
    return origins[0] if origins else None


def job_of(task: FedTask, arrival_ns: int) -> tuple[int, int, int, int]:
    """Return the next job of a task: its id, number, arrival and absolute deadline."""
    deadline_ns = arrival_ns + task.spec.deadline_ns - task.spec.output.publish_ns
    seq = task.next_seq
    task.next_seq += 1
    task.statistics.last_deadline_ns = deadline_ns
    return task.task_id, seq, arrival_ns, deadline_ns


def _takes(task: FedTask) -> bool:
    """Return whether frames are of use to a task at all."""
    return task.enabled and not task.kept_out
