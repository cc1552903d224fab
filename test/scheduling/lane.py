"""Reads a scheduler's answers the way a person would: one lane, one job at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from aegis_ros.rationale import Rule
from aegis_ros.scheduling import (
    Actions,
    Dispatch,
    Finished,
    Job,
    Overrun,
    Scheduler,
    Skipped,
    WakeAt,
)


@dataclass
class Ended:
    """What a scheduler answered to the end of a step, or to a job that was given up."""

    finished: Job | None = None
    early: bool = False
    overrun: Overrun | None = None
    skipped: list[tuple[Job, Rule]] = field(default_factory=list)

    @property
    def dropped(self) -> tuple[Job, ...]:
        return tuple(job for job, _ in self.skipped)


def skips(actions: Actions) -> list[tuple[Job, Rule]]:
    """Return the jobs that are skipped; nothing else may be among the actions."""
    found = []
    for action in actions:
        assert isinstance(action, Skipped), action
        found.append((action.job, action.rule))
    return found


def released(scheduler: Scheduler, job: Job, now_ns: int) -> tuple[Job, Rule] | None:
    """Release a job; return the one that is skipped for it, and why."""
    found = skips(scheduler.release(job, now_ns))
    assert len(found) <= 1
    return found[0] if found else None


def dispatched(scheduler: Scheduler, now_ns: int, lane: int = 0) -> Job | None:
    """Return the job that starts on a lane now; ``None`` for none."""
    for action in scheduler.tick(now_ns):
        if isinstance(action, Dispatch) and action.lane == lane:
            (job,) = action.jobs
            return job
    return None


def wakes_at(scheduler: Scheduler, now_ns: int, lane: int = 0) -> int:
    """Return until when a lane idles on purpose; 0 where it does not."""
    for action in scheduler.tick(now_ns):
        if isinstance(action, WakeAt) and action.lane == lane:
            return action.time_ns
    return 0


def ended(scheduler: Scheduler, now_ns: int, taken_ns: int = 0, lane: int = 0) -> Ended:
    """End the step that runs on a lane."""
    return read(scheduler.step_done(lane, now_ns, taken_ns))


def read(actions: Actions) -> Ended:
    """Sort the answer to the end of a step."""
    found = Ended()
    for action in actions:
        if isinstance(action, Finished):
            assert found.finished is None
            found.finished, found.early = action.job, action.early
        elif isinstance(action, Overrun):
            assert found.overrun is None
            found.overrun = action
        elif isinstance(action, Skipped):
            found.skipped.append((action.job, action.rule))
    return found
