"""What the engine reports, turned into figures and rationale."""

from __future__ import annotations

from aegis_ros.engine import EngineEvent, JobSkip, OverrunEvent
from aegis_ros.orchestrator.admitted import AdmittedSet
from aegis_ros.orchestrator.ledger import Ledger
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale import Reason, Rule
from aegis_ros.rationale.engine import (
    EngineGivenUp,
    JobsLost,
    LaneOutage,
    Quarantined,
    TaskNotReloaded,
)
from aegis_ros.rationale.frames import NewerFrame
from aegis_ros.rationale.jobs import (
    JobFailed,
    JobNotRun,
    JobStopped,
    Overran,
    RestoredAtIdle,
    ShedForOverrun,
    SkippedToRepay,
    SkippedWhileShedding,
)
from aegis_ros.rationale.results import ResultUnwanted
from aegis_ros.rationale.wording import words
from aegis_ros.spec import DeviceSpec

__all__ = ["EngineEvents"]


class EngineEvents:
    """Called by the engine client's threads.

    Args:
        admitted: the tasks.
        ledger: books the jobs that give no result.
        log: where everything else is reported.
        device: names of the lanes.

    Attributes:
        shedding: names of the lanes that refuse what is below high criticality.
    """

    def __init__(
        self, admitted: AdmittedSet, ledger: Ledger, log: RationaleLog, device: DeviceSpec
    ) -> None:
        """Shed nothing."""
        self._admitted = admitted
        self._ledger = ledger
        self._log = log
        self._lanes = [lane.name for lane in device.lanes]
        self.shedding: set[str] = set()

    def skipped(self, skip: JobSkip) -> None:
        """Report that a job will give no result, and why."""
        entry = self._admitted.of_id(skip.task_id)
        if entry is None:  # removed while the frame was on its way to the engine
            self._ledger.ended(skip.task_id, ResultUnwanted("", skip.seq))
        else:
            self._ledger.ended(skip.task_id, _why_skipped(entry.spec.name, entry.lane, skip))

    def overran(self, event: OverrunEvent) -> None:
        """Report that a segment took longer than its budget, and what follows."""
        entry = self._admitted.of_id(event.task_id)
        if entry is None:
            return
        entry.statistics.overruns += 1
        name = entry.spec.name
        self._log.report_often(
            Overran(
                task=name,
                job=event.seq,
                lane=entry.lane,
                segment=event.segment,
                segments=entry.candidate.plan.steps,
                taken_ns=event.taken_ns,
                budget_ns=event.budget_ns,
                used_ns=event.used_ns,
                whole_ns=entry.candidate.work_ns,
                applied="" if event.applied is None else str(event.applied),
                skips=event.skips,
                absorbed=event.absorbed,
                exit_after=entry.candidate.compiled.exit_after(entry.spec.early_exit.values()),
            )
        )
        if event.sheds:
            self.shedding.add(entry.lane)
            for other in self._admitted.sheddable(entry.lane):
                self._log.report_often(
                    ShedForOverrun(
                        other.spec.name,
                        str(other.spec.criticality),
                        entry.lane,
                        overran_task=name,
                        overran_job=event.seq,
                    )
                )

    def lane_restored(self, lane: int, duration_ns: int) -> None:
        """Report that a lane that ran critical tasks only takes all again."""
        where = self._lanes[lane]
        self.shedding.discard(where)
        for entry in reversed(self._admitted.sheddable(where)):
            self._log.report_often(RestoredAtIdle(entry.spec.name, where, duration_ns))

    def engine_event(self, event: EngineEvent) -> None:
        """Report a crash, a hang or a recovery, and what was lost."""
        self.shedding.clear()  # an engine that starts anew takes all
        lost: dict[int, int] = {}
        for task_id, _ in event.lost:
            lost[task_id] = lost.get(task_id, 0) + 1
        cause = self._log.report(event.reason)
        for task_id, count in lost.items():
            entry = self._admitted.of_id(task_id)
            if entry is not None:
                reason = JobsLost(entry.spec.name, count)
                self._ledger.lost(task_id, reason, count, related=cause.id)
        failed = dict(event.failed)
        for task_id in event.quarantined:
            entry = self._admitted.of_id(task_id)
            if entry is not None and not isinstance(entry.failure, Quarantined):
                problem = words(event.reason if event.cause is None else event.cause)
                entry.failure = Quarantined(entry.spec.name, problem)
                self._log.report(entry.failure, related=cause.id)
        for task_id, problem in failed.items():
            entry = self._admitted.of_id(task_id)
            if entry is not None:
                entry.failure = TaskNotReloaded(entry.spec.name, problem)
                self._log.report(entry.failure, related=cause.id)
        if event.recovered:
            for entry in self._admitted:
                loaded = entry.task_id not in failed
                if loaded and isinstance(entry.failure, TaskNotReloaded | EngineGivenUp):
                    entry.failure = None
            self._report_outage(event, cause.id)
        elif isinstance(event.reason, EngineGivenUp):
            for entry in self._admitted:
                entry.failure = entry.failure or event.reason

    def _report_outage(self, event: EngineEvent, related: int) -> None:
        """Report to every task for how long it had no lane, and why."""
        for entry in self._admitted:
            if entry.failed:
                continue
            self._log.report_often(
                LaneOutage(
                    entry.spec.name,
                    entry.lane,
                    event.outage_ns(self._lanes.index(entry.lane)),
                    entry.spec.period_ns,
                    event.cause,
                ),
                related=related,
            )


def _why_skipped(task: str, lane: str, skip: JobSkip) -> Reason:
    """Return why the engine skipped a job of a task on a lane."""
    job, problem = skip.seq, skip.text
    match skip.rule:
        case Rule.NEWER_FRAME:
            return NewerFrame(task, job)
        case Rule.RUN_FAILED:
            return JobFailed(task, job, problem)
        case Rule.OVERRUN:
            return JobStopped(task, job) if skip.stopped else SkippedToRepay(task, job)
        case Rule.CRITICALITY:
            return SkippedWhileShedding(task, job, lane)
        case _:
            return JobNotRun(task, job, skip.rule, problem)
