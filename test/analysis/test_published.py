"""Published examples and theorems whose answers are known, each derived again by hand.

Where a source lets jobs be preempted anywhere, every tick of a job is a segment of its own here:
with integer times that is the same schedule, and nothing blocks (``q - 1 = 0``).
"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane, is_schedulable
from aegis_ros.analysis.demand import LaneLoad, demand_at, qpa
from aegis_ros.rationale import Rule
from aegis_ros.simulation import critical_arrivals, periodic_arrivals, simulate
from aegis_ros.wcet import runs_needed


def preemptive(*rows: tuple[int, int, int]) -> list[AnalysisTask]:
    """Tasks of (budget, deadline, period) that can be preempted at every tick."""
    return [
        AnalysisTask(f"task{index}", (1,) * budget, period, deadline)
        for index, (budget, deadline, period) in enumerate(rows, 1)
    ]


def whole(*rows: tuple[int, int, int]) -> list[AnalysisTask]:
    """The same in one segment each."""
    return [
        AnalysisTask(f"task{index}", (budget,), period, deadline)
        for index, (budget, deadline, period) in enumerate(rows, 1)
    ]


def test_liu_and_layland_1973_theorem_7_a_full_processor_keeps_all_deadlines_under_edf() -> None:
    # D = T and U = 1/2 + 1/4 + 1/4 = 1: feasible; one tick more is not.
    assert is_schedulable(preemptive((2, 4, 4), (2, 8, 8), (4, 16, 16)))
    more = check_lane(preemptive((2, 4, 4), (2, 8, 8), (5, 16, 16)))
    assert not more.schedulable and more.rule is Rule.UTILIZATION
    assert more.utilization == pytest.approx(17 / 16)


def test_buttazzo_chapter_4_edf_schedules_what_rate_monotonic_does_not() -> None:
    # Hard Real-Time Computing Systems, the comparison of RM and EDF: C = 2, T = 5 and C = 4,
    # T = 7, U = 34/35. Under RM the second task's job is late at 7; EDF keeps all deadlines.
    tasks = preemptive((2, 5, 5), (4, 7, 7))
    verdict = check_lane(tasks)
    assert verdict.schedulable
    assert verdict.utilization == pytest.approx(34 / 35)
    assert not simulate(tasks, periodic_arrivals(tasks, 35 * 4)).missed.any()
    # In one segment each it passes as well: only lengths in [5, 7) can be blocked, by 4 - 1, and
    # h(5) + 3 = 5; at 7, h = 2 + 4 = 6.
    assert check_lane(whole((2, 5, 5), (4, 7, 7))).schedulable


def test_buttazzo_chapter_4_example_of_the_processor_demand_criterion() -> None:
    # Hard Real-Time Computing Systems, processor demand: C = 2, 2, 3; D = 4, 5, 7; T = 6, 8, 9.
    # U = 1/3 + 1/4 + 1/3 = 11/12, L* = (2/3 + 3/4 + 2/3) / (1/12) = 25, these demands up to there:
    known = {4: 2, 5: 4, 7: 7, 10: 9, 13: 11, 16: 16, 21: 18, 22: 20}
    tasks = preemptive((2, 4, 6), (2, 5, 8), (3, 7, 9))
    load = LaneLoad(tasks)
    reached = load.line_reaches_ns(0)  # rounded up in fixed-point arithmetic
    assert reached is not None and 25 <= reached <= 26
    curve = load.curve(24)
    assert dict(zip(curve.t_ns.tolist(), curve.demand_ns.tolist(), strict=True)) == known
    assert check_lane(tasks).schedulable  # no slack at 7 and at 16, and none missing
    # Not in one segment each: at 4 the third task's 3 - 1 fit, 2 + 2 = 4, but at 5 it is 4 + 2.
    verdict = check_lane(whole((2, 4, 6), (2, 5, 8), (3, 7, 9)))
    assert not verdict.schedulable and verdict.witness is not None
    assert (verdict.witness.t_ns, verdict.witness.demand_ns) == (5, 4)
    assert (verdict.witness.blocking_ns, verdict.witness.blocking_task) == (2, "task3")


@pytest.mark.parametrize(
    ("rows", "known", "feasible"),
    [
        # dbf(10) = 2 * 1 + 2 + 3: the second jobs are due at 10, 14 and 15.
        ([(1, 4, 6), (2, 6, 8), (3, 5, 10)], {4: 1, 5: 4, 6: 6, 10: 7}, True),
        # dbf(8) = 2 * 1 + 2 + 5 = 9: more than fits.
        ([(1, 2, 4), (2, 4, 5), (5, 8, 15)], {2: 1, 4: 3, 6: 4, 8: 9}, False),
    ],
)
def test_lipari_lecture_on_edf_examples_of_the_demand_bound_function(
    rows: list[tuple[int, int, int]], known: dict[int, int], feasible: bool
) -> None:
    load = LaneLoad(preemptive(*rows))
    assert {t: demand_at(load, t) for t in known} == known
    assert is_schedulable(preemptive(*rows)) is feasible


def test_zhang_and_burns_2009_example_of_quick_processor_demand_analysis() -> None:
    # The paper's example of eight tasks: U = 0.803, synchronous busy period 16984, feasible.
    tasks = preemptive(
        (6000, 18000, 31000),
        (2000, 9000, 9800),
        (1000, 12000, 17000),
        (90, 3000, 4200),
        (8, 78, 96),
        (2, 16, 12),
        (10, 120, 280),
        (26, 160, 660),
    )
    load = LaneLoad(tasks)
    assert load.utilization == pytest.approx(0.803, abs=5e-4)
    assert load.busy_period_ns() == 16984
    end = load.horizon_ns()
    assert end is not None
    assert qpa(load, end) is None
    assert check_lane(tasks).schedulable


def test_devi_2003_a_set_that_her_sufficient_test_passes_passes_the_exact_one() -> None:
    # C = 2, 5, 4; D = 10, 15, 12; T = 15, 17, 13.
    assert is_schedulable(preemptive((2, 10, 15), (5, 15, 17), (4, 12, 13)))


def test_an_exercise_on_jeffay_stanat_and_martel_1991_misses_when_not_begun_together() -> None:
    # Tasks (p, c) = A(6, 1), B(4, 1), C(10, 4.5), all released at 0, up to 32; times doubled here.
    # Nothing is late. But where C begins one tick before the others, the job due at 8 waits for
    # 8 ticks: h(8) + B(8) = 2 + 8 > 8.
    tasks = whole((2, 12, 12), (2, 8, 8), (9, 20, 20))
    together = simulate(tasks, periodic_arrivals(tasks, 64))
    assert not together.missed[together.deadline_ns <= 64].any()
    verdict = check_lane(tasks)
    assert not verdict.schedulable and verdict.witness is not None
    assert verdict.witness.blocking_task == "task3"
    assert simulate(tasks, critical_arrivals(tasks, verdict.witness)).missed.any()


def test_a_synchronous_start_is_not_the_worst_case_of_non_preemptive_edf() -> None:
    # C = 2, 4; D = T = 4, 8; U = 1. Begun together: 0-2, 2-6, 6-8, and so on without end. With
    # the second begun one tick before, the first is late: 2 + (4 - 1) > 4.
    tasks = whole((2, 4, 4), (4, 8, 8))
    assert not simulate(tasks, periodic_arrivals(tasks, 8 * 20)).missed.any()
    verdict = check_lane(tasks)
    assert not verdict.schedulable and verdict.witness is not None
    assert (verdict.witness.t_ns, verdict.witness.blocking_ns) == (4, 3)
    assert simulate(tasks, critical_arrivals(tasks, verdict.witness)).missed.any()


@given(
    st.lists(
        st.integers(2, 30).flatmap(
            lambda period: st.tuples(st.integers(1, max(1, period // 2)), st.just(period))
        ),
        min_size=1,
        max_size=5,
    )
)
def test_jeffay_stanat_and_martel_1991_theorem_4_1_is_the_same_answer(
    rows: list[tuple[int, int]],
) -> None:
    tasks = whole(*((budget, period, period) for budget, period in rows))
    assert is_schedulable(tasks) == jeffay(rows)


def jeffay(rows: list[tuple[int, int]]) -> bool:
    """The theorem's two conditions for tasks of (c, p), in the order of their periods::

    sum c_i / p_i <= 1
    for all i > 1, for all L with p_1 < L < p_i:
        L >= c_i + sum over j < i of floor((L - 1) / p_j) c_j
    """
    ordered = sorted(rows, key=lambda row: row[1])
    if sum(Fraction(budget, period) for budget, period in ordered) > 1:
        return False
    first = ordered[0][1]
    return all(
        length
        >= ordered[i][0] + sum((length - 1) // period * budget for budget, period in ordered[:i])
        for i in range(1, len(ordered))
        for length in range(first + 1, ordered[i][1])
    )


def test_george_rivierre_and_spuri_1996_response_times_by_hand() -> None:
    # Non-preemptive EDF of C = 2, 3; D = T = 6, 10. First task: it waits for the second, begun one
    # tick before, L(0) = 3 - 1, R = 2 + 2 = 4. Second task: of what is due within 10 only one job
    # of the first comes before its start, L(0) = 2, R = 2 + 3 = 5; later offsets wait less.
    verdict = check_lane(whole((2, 6, 6), (3, 10, 10)), tight=True)
    assert [bound.bound_ns for bound in verdict.responses] == [4, 5]


def test_wilks_1941_runs_for_a_distribution_free_tolerance_limit() -> None:
    # The largest of n runs is above the quantile p with confidence 1 - p^n: 59 runs for 95 % at
    # 95 %, the number known from safety analysis; 299 for 99 %, 2995 for 99.9 %.
    assert runs_needed(0.95, 0.95) == 59
    assert runs_needed(0.99, 0.95) == 299
    assert runs_needed(0.999, 0.95) == 2995
