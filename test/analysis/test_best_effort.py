"""Tasks of best effort take nothing from the others but the time a segment needs to end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from aegis_ros.analysis import (
    AnalysisTask,
    Chain,
    assign,
    breakdown,
    chain_reaction_bound,
    check_lane,
    check_policy,
    counterfactuals,
    is_schedulable,
    safe_removal_ns,
    shed_order,
    slack_rates,
    witness_schedule,
)
from aegis_ros.analysis.demand import LaneLoad, qpa
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import CwEdf
from aegis_ros.simulation import (
    Outcome,
    Workload,
    bursty_arrivals,
    periodic_arrivals,
    simulate,
    sporadic_arrivals,
)
from aegis_ros.spec import Criticality
from test.task_sets import task_sets

MS = 1_000_000
FRONT = AnalysisTask("front", (3,), 10, 8)


def vlm(*segments: int, period: int = 20, name: str = "vlm") -> AnalysisTask:
    return AnalysisTask(name, segments, period, period, 0, Criticality.BEST_EFFORT)


@st.composite
def slack_sets(draw: st.DrawFn, longest: int = 5) -> list[AnalysisTask]:
    """Up to four tasks of best effort, each with any load, of many lanes too."""
    parts = st.lists(st.integers(1, longest), min_size=1, max_size=4)
    return [
        vlm(*draw(parts), period=draw(st.integers(1, 20)), name=f"slack{index}")
        for index in range(draw(st.integers(1, 4)))
    ]


def worst_of(outcome: Outcome, count: int) -> np.ndarray:
    return outcome.worst_response_ns()[:count]


@given(task_sets(most=4), slack_sets(), st.integers(0, 1), st.integers(0, 2**32))
def test_best_effort_that_is_admitted_never_makes_another_late(
    tasks: list[AnalysisTask], slack: list[AnalysisTask], switch: int, seed: int
) -> None:
    together = [*tasks, *slack]
    verdict = check_lane(together, switch_ns=switch, tight=True)
    assume(verdict.schedulable)
    event(f"load of best effort {int(sum(task.utilization for task in slack))} lanes")
    bounds = np.array([bound.bound_ns for bound in verdict.responses])
    assert [bound.task for bound in verdict.responses] == [task.name for task in tasks]
    generator = np.random.default_rng(seed)
    offsets = [int(generator.integers(0, task.period_ns)) for task in together]
    for jobs in (
        periodic_arrivals(together, 1_000, offsets),
        bursty_arrivals(together, 1_000),
        sporadic_arrivals(together, 1_000, generator),
    ):
        outcome = simulate(together, jobs, switch_ns=switch)
        promised = jobs.task < len(tasks)
        assert not (outcome.missed | outcome.skipped)[promised].any()
        assert np.all(worst_of(outcome, len(tasks)) <= bounds)


@given(task_sets(most=3), slack_sets(longest=60), st.integers(0, 1))
def test_the_test_with_best_effort_is_exact_and_its_witness_misses(
    tasks: list[AnalysisTask], slack: list[AnalysisTask], switch: int
) -> None:
    together = [*tasks, *slack]
    verdict = check_lane(together, switch_ns=switch)
    assert verdict.schedulable == is_schedulable(together, switch_ns=switch)
    assume(is_schedulable(tasks, switch_ns=switch) and not verdict.schedulable)
    assert verdict.rule is Rule.DEMAND_BOUND and verdict.witness is not None
    assert verdict.witness.blocking_task in {task.name for task in slack}
    names = [task.name for task in together]
    pattern = witness_schedule(together, verdict.witness, switch_ns=switch)
    jobs = Workload.of(
        np.array([names.index(item.task) for item in pattern], np.int64),
        np.array([item.arrival_ns for item in pattern], np.int64),
        np.array([item.ready_ns for item in pattern], np.int64),
        [together[names.index(item.task)].segments_ns for item in pattern],
    )
    outcome = simulate(together, jobs, switch_ns=switch)
    assert outcome.missed[outcome.workload.task < len(tasks)].any()


@given(task_sets(most=5), slack_sets())
def test_search_and_scan_agree_where_best_effort_blocks(
    tasks: list[AnalysisTask], slack: list[AnalysisTask]
) -> None:
    assume(all(task.wcet_ns() + task.jitter_ns <= task.deadline_ns for task in tasks))
    load = LaneLoad([*tasks, *slack])
    assume(load.compare_to_one() < 0)
    end = load.horizon_ns()
    assert end is not None
    failed = qpa(load, end)
    far = load.curve(end + 2_000)
    assert (failed is None) == bool((far.slack_ns >= 0).all())
    assert (failed is None) == is_schedulable([*tasks, *slack])
    blocked = int(max(task.longest_ns() for task in slack)) - 1
    assert int(far.blocking_ns[-1]) == blocked


@given(task_sets(most=3), slack_sets(), st.integers(0, 2**32))
def test_best_effort_runs_only_where_nothing_else_is_ready(
    tasks: list[AnalysisTask], slack: list[AnalysisTask], seed: int
) -> None:
    together = [*tasks, *slack]
    jobs = sporadic_arrivals(together, 500, np.random.default_rng(seed))
    outcome = simulate(together, jobs, keep_runs=True)
    owner = jobs.task
    for run in outcome.runs:
        if owner[run.job] < len(tasks):
            continue
        waits = (owner < len(tasks)) & (jobs.ready_ns <= run.start_ns)
        assert not (waits & (outcome.finished_ns > run.start_ns)).any()


@given(task_sets(most=3), slack_sets(), st.integers(0, 2**32))
def test_jobs_of_one_task_of_best_effort_never_overtake_each_other(
    tasks: list[AnalysisTask], slack: list[AnalysisTask], seed: int
) -> None:
    together = [*tasks, *slack]
    jobs = sporadic_arrivals(together, 500, np.random.default_rng(seed))
    ended = simulate(together, jobs).finished_ns
    for index in range(len(tasks), len(together)):
        own = ended[(jobs.task == index) & (ended >= 0)]
        assert np.all(np.diff(own) > 0)


def test_best_effort_is_served_in_turn_and_each_gets_the_rate_that_was_reported() -> None:
    tasks = [FRONT, vlm(2, 2, period=5), vlm(3, period=7, name="ocr"), vlm(1, name="rare")]
    verdict = check_lane(tasks)
    assert verdict.schedulable and verdict.utilization == pytest.approx(0.3)
    outcome = simulate(tasks, periodic_arrivals(tasks, 100_000))
    ended = outcome.finished_ns >= 0
    for index, rate in enumerate(verdict.slack, start=1):
        served = int((ended & (outcome.workload.task == index)).sum()) / 100_000
        assert served >= 0.8 * rate.left / 1e9
    assert verdict.slack[2].left == pytest.approx(verdict.slack[2].asked)


def test_a_newer_frame_of_best_effort_keeps_the_place_in_line_of_the_one_it_displaces() -> None:
    # Both cameras are faster than the lane, and the first always sends a little later.
    tasks = [FRONT, vlm(6, period=10), vlm(6, period=10, name="ocr")]
    outcome = simulate(tasks, periodic_arrivals(tasks, 10_000, [0, 2, 1]))
    served = [int((outcome.workload.task[outcome.finished_ns >= 0] == who).sum()) for who in (1, 2)]
    assert min(served) >= 0.5 * max(served) > 0


def test_the_answer_promises_no_deadline_and_says_what_is_left() -> None:
    verdict = check_lane(
        [AnalysisTask("front", (30 * MS,), 100 * MS, 100 * MS), vlm(70 * MS, period=50 * MS)]
    )
    assert verdict.schedulable and [bound.task for bound in verdict.responses] == ["front"]
    assert verdict.sentence.endswith(
        "vlm runs in the slack: no deadline is promised, and there is time for about 10 of 20 "
        "frames a second on average"
    )


@pytest.mark.parametrize(
    ("period", "rate"), [(500, "for its 2 frames a second"), (1000, "for its 1 frame a second")]
)
def test_the_answer_says_so_where_there_is_time_for_every_frame(period: int, rate: str) -> None:
    front = AnalysisTask("front", (30 * MS,), 100 * MS, 100 * MS)
    verdict = check_lane([front, vlm(70 * MS, period=period * MS)])
    assert verdict.sentence.endswith(f"and there is time {rate} on average")


def test_best_effort_alone_is_admitted_whatever_it_asks_for() -> None:
    for policy in ("edf", "cw_edf", "table"):
        verdict, _ = check_policy([vlm(90, period=1)], policy=policy)  # type: ignore[arg-type]
        assert verdict.schedulable and verdict.utilization == 0.0 and not verdict.responses
    assert breakdown([vlm(90)]) > 1_000
    assert is_schedulable([vlm(90, period=1)])


def test_nothing_left_is_reported_as_nothing() -> None:
    full = AnalysisTask("full", (5,), 5, 50)
    verdict = check_lane([full, vlm(1)])
    assert verdict.schedulable and verdict.slack[0].left == 0.0


def test_best_effort_that_blocks_for_too_long_gets_a_hint_how_to_cut_it() -> None:
    front = replace(FRONT, segments_ns=(3 * MS,), period_ns=10 * MS, deadline_ns=8 * MS)
    long = vlm(12 * MS, period=4 * MS)
    verdict = check_lane([front, long])
    assert not verdict.schedulable and "of blocking by a segment of vlm" in verdict.sentence
    changes = {item.change: item for item in counterfactuals([front, long], "vlm", ["main"])}
    assert changes["segments"].value == 4
    assert "period_ms" not in changes and "deadline_ms" not in changes


def test_lanes_get_best_effort_where_most_is_left() -> None:
    busy = AnalysisTask("busy", (8,), 10, 30)
    found = assign([busy, vlm(5), FRONT], ["a", "b"], fixed={"busy": "a", "front": "b"})
    assert found.schedulable and found.lane_of["vlm"] == "b"
    strict = AnalysisTask("strict", (1,), 100, 2)
    found = assign([busy, vlm(5), strict], ["a", "b"], fixed={"busy": "a", "strict": "b"})
    assert found.schedulable and found.lane_of["vlm"] == "a"


def test_deadlines_are_placed_anew_where_best_effort_fits_nowhere_else() -> None:
    strict = [AnalysisTask(f"strict{index}", (1,), 100, 3) for index in range(2)]
    patient = AnalysisTask("patient", (45,), 100, 100)
    found = assign([*strict, patient, vlm(40)], ["a", "b"])
    assert found.schedulable
    assert found.lane_of["vlm"] not in {found.lane_of[task.name] for task in strict}


def test_best_effort_is_shed_before_anything_else_and_only_for_its_segments() -> None:
    tasks = [
        FRONT,
        AnalysisTask("low", (2,), 20, 20, 0, Criticality.LOW),
        vlm(4),
        vlm(1, name="ok"),
    ]
    assert shed_order(tasks, 1.0) == ()
    assert shed_order(tasks, 0.7) == ("vlm",)


def test_the_lane_is_free_of_a_removed_task_although_best_effort_always_waits() -> None:
    tasks = [FRONT, vlm(4, period=1)]
    assert safe_removal_ns(tasks, 100) == 107
    assert safe_removal_ns(tasks[1:], 100) == 104


def test_a_chain_through_best_effort_is_refused() -> None:
    with pytest.raises(ConfigError, match="best effort"):
        chain_reaction_bound([Chain("see", ("front", "vlm"))], [FRONT, vlm(1, period=5)])


def test_nobody_idles_for_best_effort_under_cw_edf() -> None:
    tasks = [FRONT, vlm(2, period=3)]
    verdict, _ = check_policy(tasks, policy="cw_edf")
    assert verdict.schedulable
    jobs = periodic_arrivals(tasks, 1_000)
    plain, idling = simulate(tasks, jobs), simulate(tasks, jobs, policy=CwEdf())
    assert np.array_equal(plain.finished_ns, idling.finished_ns)


def test_rates_are_shared_in_equal_numbers_of_frames_but_for_those_content_with_less() -> None:
    rates = slack_rates([vlm(100, period=400), vlm(300, period=500, name="b")])
    assert [rate.share for rate in rates] == pytest.approx([1.0, 1.0])
    each = 1e9 / 400
    rates = slack_rates([vlm(100, period=10), vlm(300, period=10, name="b")])
    assert [rate.left for rate in rates] == pytest.approx([each, each])
