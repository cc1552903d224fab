"""What a plan of another's may say, and what becomes of one that makes no sense or never ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from aegis_ros.analysis import AnalysisTask
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import Job, Scheduler, Skipped
from aegis_ros.simulation import Workload, simulate
from aegis_ros.spec import OverrunPolicy
from test.scheduling.lane import dispatched, read, released


@dataclass
class Again:
    """Step 0, then step 1 until the outcome is "enough"."""

    begins: object = 0
    budget_ns: object = 10
    total_ns: object = 0
    steps = 2
    exit_after = 0
    branches = True

    def first(self) -> object:
        return self.begins

    def after(self, step: int, outcome: object) -> int | None:
        return None if outcome == "enough" else 1

    def limit(self, step: int) -> object:
        return self.budget_ns

    def remaining_ns(self, step: int) -> object:
        return self.total_ns


@pytest.mark.parametrize("begins", [None, 0.0, "x", -1, 2])
def test_a_plan_that_begins_with_none_of_its_steps_is_refused(begins: object) -> None:
    with pytest.raises(ValueError, match="the plan goes on with step"):
        Scheduler(1).add_task(0, lane=0, plan=Again(begins))  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [-5, 0.5, float("nan"), None, "x"])
@pytest.mark.parametrize("field", ["budget_ns", "total_ns"])
def test_a_budget_that_is_no_time_is_refused(field: str, budget: object) -> None:
    plan = Again(**{field: budget})
    with pytest.raises(ValueError, match="whole nanoseconds"):
        Scheduler(1).add_task(0, lane=0, plan=plan)  # type: ignore[arg-type]


@pytest.mark.parametrize("total_ns", [0, 50])
@pytest.mark.parametrize("policy", OverrunPolicy)
def test_a_job_may_take_a_step_as_often_as_its_whole_budget_allows(
    policy: OverrunPolicy, total_ns: int
) -> None:
    made = Scheduler(1)
    made.add_task(0, lane=0, plan=Again(total_ns=total_ns), on_overrun=policy)  # type: ignore[arg-type]
    for number in range(2):
        job = Job(0, number, 100 * number, 99)
        assert released(made, job, 100 * number) is None
        for step in range(5):
            assert dispatched(made, 100 * number + 10 * step) is job
            outcome = "enough" if step == 4 else "more"
            over = read(made.step_done(0, 100 * number + 10 * step + 10, 10, outcome))
        assert over.finished is job and over.overrun is None


@pytest.mark.parametrize("policy", OverrunPolicy)
def test_a_job_that_never_ends_is_stopped_and_the_others_run(policy: OverrunPolicy) -> None:
    tasks = [AnalysisTask("endless", (20,), 1000, 1000), AnalysisTask("other", (5,), 1000, 5000)]
    jobs = Workload.of(np.array([0, 1]), np.array([0, 0]), np.array([0, 1]), [(10, 10), (5, 5)])
    plans = [Again(total_ns=20), Again(total_ns=5)]
    outcome = simulate(
        tasks,
        jobs,
        plans=plans,  # type: ignore[arg-type]
        on_overrun=[policy, None],
        outcome_of=lambda job, step, now: "enough" if job == 1 else "more",
    )
    assert outcome.finished_ns[0] < 0 <= outcome.finished_ns[1]


def test_a_job_that_never_ends_is_reported_as_stopped() -> None:
    made = Scheduler(1)
    made.add_task(0, lane=0, plan=Again(total_ns=20), on_overrun=OverrunPolicy.SKIP_NEXT)  # type: ignore[arg-type]
    job = Job(0, 0, 0, 99)
    released(made, job, 0)
    runs = 0
    while dispatched(made, 10 * runs) is job:
        runs += 1
        actions = made.step_done(0, 10 * runs, 10, "more")
    assert runs == 41, "one step more than twenty whole budgets"
    assert Skipped(job, Rule.OVERRUN, stopped=True) in actions
