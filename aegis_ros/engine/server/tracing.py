"""What the engine's loop leaves in its trace: one record for whatever happens to a job."""

from __future__ import annotations

from aegis_ros.backends.base import Completion
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import Finished, Job, Overrun
from aegis_ros.trace import NO_RANK, RecordKind, RingWriter, rule_code

__all__ = ["NO_TASK", "LoopTrace"]

NO_TASK = 2**32 - 1  # a timed run: the lane is taken, but by no task

# Plain numbers: an enum costs a conversion for every record.
_RELEASED = int(RecordKind.RELEASED)
_STARTED = int(RecordKind.SEGMENT_STARTED)
_ENDED = int(RecordKind.SEGMENT_ENDED)
_FINISHED = int(RecordKind.FINISHED)
_SKIPPED = int(RecordKind.SKIPPED)
_OVERRUN = int(RecordKind.OVERRUN)
_SHED = int(RecordKind.SHED)
_RESTORED = int(RecordKind.RESTORED)


class LoopTrace:
    """Writes the loop's records; called under the loop's lock only.

    Args:
        ring: where they go.
    """

    __slots__ = ("_write",)

    def __init__(self, ring: RingWriter) -> None:
        """Begin with nothing."""
        self._write = ring.write

    def released(self, job: Job, lane: int, received_ns: int, now_ns: int) -> None:
        """Note that the scheduler took a job in."""
        self._write(
            _RELEASED,
            now_ns,
            job.task_id,
            job.seq,
            lane=lane,
            a=job.arrival_ns,
            b=received_ns,
            c=job.deadline_ns,
            d=job.rank,
        )

    def started(self, job: Job, lane: int, now_ns: int, budget_ns: int) -> None:
        """Note that a lane is given to a job's next segment, and its budget (0 for unknown)."""
        self._write(
            _STARTED,
            now_ns,
            job.task_id,
            job.seq,
            lane=lane,
            segment=job.step,
            a=job.rank,
            b=budget_ns,
        )

    def ended(self, job: Job, lane: int, completion: Completion, now_ns: int) -> None:
        """Note that a segment has ended; before the scheduler knows."""
        self._write(
            _ENDED,
            now_ns,
            job.task_id,
            job.seq,
            lane=lane,
            segment=job.step,
            a=completion.started_ns,
            b=completion.finished_ns,
            c=1 if completion.error else 0,
        )

    def timed_run(self, lane: int, now_ns: int, *, begins: bool) -> None:
        """Note that a lane is given to a timed run of a network, or taken back."""
        if begins:
            self._write(_STARTED, now_ns, NO_TASK, 0, lane=lane, a=NO_RANK)
        else:
            self._write(_ENDED, now_ns, NO_TASK, 0, lane=lane)

    def finished(self, finished: Finished, lane: int, used_ns: int, now_ns: int) -> None:
        """Note that a job's result goes to the node."""
        job = finished.job
        self._write(
            _FINISHED,
            now_ns,
            job.task_id,
            job.seq,
            lane=lane,
            a=job.arrival_ns,
            b=job.deadline_ns,
            c=used_ns,
            d=1 if finished.early else 0,
        )

    def skipped(self, job: Job, rule: Rule, now_ns: int) -> None:
        """Note that a job will not end."""
        self._write(_SKIPPED, now_ns, job.task_id, job.seq, segment=job.step, a=rule_code(rule))

    def overran(self, overrun: Overrun, now_ns: int) -> None:
        """Note what was decided about a segment that took too long."""
        job, lane = overrun.job, overrun.lane
        self._write(
            _OVERRUN,
            now_ns,
            job.task_id,
            job.seq,
            lane=lane,
            segment=overrun.step,
            a=overrun.taken_ns,
            b=overrun.budget_ns,
            c=overrun.skips,
        )
        if overrun.sheds:
            self._write(_SHED, now_ns, 0, 0, lane=lane)

    def restored(self, lane: int, now_ns: int) -> None:
        """Note that a lane takes all tasks again."""
        self._write(_RESTORED, now_ns, 0, 0, lane=lane)
