"""What the engine tells, turned into figures and rationale."""

from __future__ import annotations

from aegis_ros.engine import EngineEvent, JobSkip, OverrunEvent
from aegis_ros.orchestrator.admitted import AdmittedSet
from aegis_ros.orchestrator.rationales import RationaleLog, overrun_sentence
from aegis_ros.rationale import Decision, Rule
from aegis_ros.spec import DeviceSpec

__all__ = ["EngineEvents"]


class EngineEvents:
    """Called by the engine client's threads.

    Args:
        admitted: the tasks.
        log: where it is told.
        device: names of the lanes.

    Attributes:
        shedding: names of the lanes that refuse what is below high criticality.
    """

    def __init__(self, admitted: AdmittedSet, log: RationaleLog, device: DeviceSpec) -> None:
        """Shed nothing."""
        self._admitted = admitted
        self._log = log
        self._lanes = [lane.name for lane in device.lanes]
        self.shedding: set[str] = set()

    def skipped(self, skip: JobSkip) -> None:
        """Tell that a job will give no result, and why."""
        seq, rule, text = skip.seq, skip.rule, skip.text
        entry = self._admitted.of_id(skip.task_id)
        if entry is None:
            return
        entry.statistics.skipped += 1
        name = entry.spec.name
        sentences = {
            Rule.NEWER_FRAME: f"job {seq} of {name} was still waiting when a newer frame came",
            Rule.RUN_FAILED: f"job {seq} of {name} failed while it ran: {text}",
            Rule.OVERRUN: f"job {seq} of {name} was {text} where it exceeded its budget"
            if text
            else f"job {seq} of {name} makes up for a job of {name} that exceeded its budget",
            Rule.CRITICALITY: f"job {seq} of {name} was shed: lane {entry.lane} runs what is of "
            "high criticality only",
        }
        self._log.tell_often(
            name,
            Decision.SKIPPED,
            rule,
            sentences.get(rule, f"job {seq} of {name}: {text}"),
            job=seq,
        )

    def overran(self, event: OverrunEvent) -> None:
        """Tell that a segment took longer than its budget, and what follows."""
        entry = self._admitted.of_id(event.task_id)
        if entry is None:
            return
        entry.statistics.overruns += 1
        name = entry.spec.name
        whole_ns = entry.candidate.work_ns
        within = event.taken_ns <= event.budget_ns  # then it is the job as a whole that exceeded
        self._log.tell_often(
            name,
            Decision.INFORMED,
            Rule.OVERRUN,
            overrun_sentence(
                event,
                name,
                entry.lane,
                entry.candidate.plan.steps,
                whole_ns,
                entry.candidate.compiled.exit_after(entry.spec.early_exit.values()),
            ),
            job=event.seq,
            left=(event.used_ns if within else event.taken_ns) / 1e6,
            relation=">",
            right=(whole_ns if within else event.budget_ns) / 1e6,
            unit="ms",
            lane=entry.lane,
        )
        if event.sheds:
            self.shedding.add(entry.lane)
            for other in self._admitted.sheddable(entry.lane):
                self._log.tell_often(
                    other.spec.name,
                    Decision.SHED,
                    Rule.CRITICALITY,
                    f"{other.spec.name} ({other.spec.criticality}) is shed until lane {entry.lane} "
                    f"has had nothing to do once: job {event.seq} of {name} exceeded its budget",
                    lane=entry.lane,
                )

    def lane_restored(self, lane: int, duration_ns: int) -> None:
        """Tell that a lane that ran critical tasks only takes all again."""
        where = self._lanes[lane]
        self.shedding.discard(where)
        for entry in reversed(self._admitted.sheddable(where)):
            self._log.tell_often(
                entry.spec.name,
                Decision.RESTORED,
                Rule.CRITICALITY,
                f"{entry.spec.name} runs again after {duration_ns / 1e6:.1f} ms: lane {where} has "
                "had nothing to do",
                lane=where,
            )

    def _tell_outage(self, event: EngineEvent, related: int) -> None:
        """Tell every task for how long it had no lane, and why."""
        for entry in self._admitted:
            if entry.failed:
                continue
            outage_ns = event.outage_ns(self._lanes.index(entry.lane))
            periods = -(-outage_ns // entry.spec.period_ns)
            self._log.tell_often(
                entry.spec.name,
                Decision.RESTORED,
                Rule.ENGINE_RESTART,
                f"{entry.spec.name} runs again: lane {entry.lane} ran nothing of it for "
                f"{outage_ns / 1e6:.0f} ms ({periods} of its periods), because {event.cause}",
                lane=entry.lane,
                related=related,
                left=outage_ns / 1e6,
                unit="ms",
            )

    def engine_event(self, event: EngineEvent) -> None:
        """Tell of a crash, a hang or a recovery, and what was lost."""
        self.shedding.clear()  # an engine that starts anew takes all
        lost: dict[int, int] = {}
        for task_id, _ in event.lost:
            lost[task_id] = lost.get(task_id, 0) + 1
        decision = Decision.RESTORED if event.recovered else Decision.INFORMED
        told = self._log.tell("", decision, event.rule, event.sentence)
        for task_id, count in lost.items():
            entry = self._admitted.of_id(task_id)
            if entry is not None:
                entry.statistics.lost += count
                self._log.tell(
                    entry.spec.name,
                    Decision.LOST,
                    Rule.ENGINE_RESTART,
                    f"{count} frame(s) of {entry.spec.name} were in the engine when it was lost",
                    count=count,
                    related=told.id,
                )
        for task_id in (*event.quarantined, *(task_id for task_id, _ in event.failed)):
            entry = self._admitted.of_id(task_id)
            if entry is not None:
                entry.failed = True
        for task_id, reason in event.failed:
            entry = self._admitted.of_id(task_id)
            if entry is not None:
                self._log.tell(
                    entry.spec.name,
                    Decision.LOST,
                    Rule.RUN_FAILED,
                    f"{entry.spec.name} could not be loaded again: {reason}; unregister it and "
                    "register it again once that is fixed",
                    related=told.id,
                )
        if event.recovered:
            self._tell_outage(event, told.id)
