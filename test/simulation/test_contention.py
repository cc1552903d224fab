"""Budgets beside other lanes, as admission derives them from profiles, before the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane, is_schedulable
from aegis_ros.simulation import Slowdown, Workload, bursty_arrivals, simulate, sporadic_arrivals
from aegis_ros.wcet import (
    Batch,
    Condition,
    Neighbour,
    Place,
    Profile,
    ProfileKey,
    Stress,
    contended,
    slowed_ns,
    unmeasured,
)
from test.task_sets import task_sets

SCALE = 1_000  # of the small numbers of random sets, so that slowdowns are not lost in rounding
FACTORS = [1.0, 1.1, 1.25, 1.5, 3.0]
MILD = [1.0, 1.1, 1.25, 1.5]
_FEWER = settings(max_examples=max(settings().max_examples // 3, 1))  # each is slow


def measured(task: AnalysisTask, factors: Mapping[str, float], load: float = 0.0) -> Profile:
    """Return the profile of a network that takes its segments alone, and longer beside others.

    Args:
        task: with its segments.
        factors: for each other task, how many times longer.
        load: the same beside what does nothing but load the device; 0 for never measured.
    """
    alone = np.array([[int(part / 1.1) or 1 for part in task.segments_ns]] * 10, np.int64)
    batches = [Batch(alone, 0)] + [
        Batch(np.ceil(alone * factor).astype(np.int64), 0, Condition(neighbour=beside(other)))
        for other, factor in factors.items()
    ]
    if load:
        heavy = Condition(Stress.MEMORY, neighbour=beside("load"))
        batches.append(Batch(np.ceil(alone * load).astype(np.int64), 0, heavy))
    return Profile(ProfileKey(task.name, "b", "d"), "0" * 64, tuple(batches))


def taken(profile: Profile) -> tuple[int, ...]:
    """Return what the segments take at most alone: their budgets, but for what was rounded up."""
    apart = profile.apart()
    assert apart is not None
    return tuple(int(each.value_ns * 0.997) for each in apart.budgets())


def beside(other: str) -> Neighbour:
    return Neighbour(other, Place.BESIDE, "", other)


class Lanes:
    """Tasks of several lanes with what was measured of them: alone, and beside those elsewhere."""

    def __init__(
        self,
        lanes: Sequence[Sequence[AnalysisTask]],
        factors: Sequence[float],
        load: float = 0.0,
    ) -> None:
        self.places: list[int] = []
        named: list[AnalysisTask] = []
        for lane, own in enumerate(lanes):
            for task in own:
                named.append(scaled(task, f"lane{lane}_{task.name}"))
                self.places.append(lane)
        self._elsewhere = [
            [
                [
                    other.name
                    for other, at in zip(named, self.places, strict=True)
                    if at == lane and lane != place
                ]
                for lane in range(len(lanes))
            ]
            for place in self.places
        ]
        self._factors = [
            {
                other: factors[(7 * index + at) % len(factors)]
                for at, other in enumerate(item for lane in away for item in lane)
            }
            for index, away in enumerate(self._elsewhere)
        ]
        self._profiles = [
            measured(task, own, load) for task, own in zip(named, self._factors, strict=True)
        ]
        self.alone = [
            replace(task, segments_ns=taken(profile))
            for task, profile in zip(named, self._profiles, strict=True)
        ]

    def contended(self) -> list[AnalysisTask]:
        """Return the tasks with the budgets that admission takes."""
        found = []
        for task, profile, away in zip(self.alone, self._profiles, self._elsewhere, strict=True):
            budgets = contended(profile, [[beside(other) for other in lane] for lane in away])
            parts = budgets.budgets_ns
            found.append(replace(task, segments_ns=parts, total_ns=budgets.total_ns))
        return found

    def slowdown(self) -> Slowdown:
        """Return how much longer each takes beside each."""
        names = [task.name for task in self.alone]
        return lambda task, other: self._factors[task].get(names[other], 1.0)

    def hold(self, tasks: Sequence[AnalysisTask]) -> bool:
        return all(
            is_schedulable(
                [task for task, at in zip(tasks, self.places, strict=True) if at == lane]
            )
            for lane in range(max(self.places) + 1)
        )


def admitted(
    lanes: list[list[AnalysisTask]], factors: Sequence[float], load: float = 0.0
) -> tuple[Lanes, list[list[AnalysisTask]]]:
    """Return the first tasks of each lane, as many as hold together: one set in twelve does."""
    while True:
        made = Lanes(lanes, factors, load)
        if made.hold(made.contended()):
            return made, lanes
        most = max(map(len, lanes)) - 1
        assume(most)
        lanes = [lane[:most] for lane in lanes]


def scaled(task: AnalysisTask, name: str) -> AnalysisTask:
    return replace(
        task,
        name=name,
        segments_ns=tuple(part * SCALE for part in task.segments_ns),
        high_segments_ns=(),
        period_ns=task.period_ns * SCALE,
        deadline_ns=task.deadline_ns * SCALE,
        jitter_ns=task.jitter_ns * SCALE,
        total_ns=0,
        high_total_ns=0,
    )


@_FEWER
@given(
    st.lists(task_sets(), min_size=2, max_size=3),
    st.lists(st.sampled_from(FACTORS), min_size=16, max_size=16),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_what_is_admitted_beside_others_misses_nothing_under_any_phase_and_any_co_runner(
    lanes: list[list[AnalysisTask]], factors: list[float], seed: int, bursts: bool
) -> None:
    made, _ = admitted(lanes, factors)
    tasks = made.contended()
    until = 300 * SCALE
    jobs = (
        bursty_arrivals(made.alone, until)
        if bursts
        else sporadic_arrivals(made.alone, until, np.random.default_rng(seed))
    )
    outcome = simulate(made.alone, jobs, lanes=made.places, slowdown=made.slowdown())
    assert not outcome.missed.any()
    bounds = {
        item.task: item.bound_ns
        for lane in range(max(made.places) + 1)
        for item in check_lane(
            [task for task, at in zip(tasks, made.places, strict=True) if at == lane]
        ).responses
    }
    for task, worst_ns in zip(made.alone, outcome.worst_response_ns().tolist(), strict=True):
        assert worst_ns <= bounds.get(task.name, worst_ns)


@_FEWER
@given(
    st.lists(task_sets(), min_size=2, max_size=3),
    st.lists(st.sampled_from(MILD), min_size=16, max_size=16),
    st.lists(st.sampled_from(MILD), min_size=16, max_size=16),
    st.integers(0, 2**32),
)
def test_what_is_admitted_beside_loads_misses_nothing_though_others_change_up_to_that(
    lanes: list[list[AnalysisTask]], seen: list[float], later: list[float], seed: int
) -> None:
    made, kept = admitted(lanes, seen, load=max(MILD))
    jobs = sporadic_arrivals(made.alone, 300 * SCALE, np.random.default_rng(seed))
    changed = Lanes(kept, later).slowdown()
    outcome = simulate(made.alone, jobs, lanes=made.places, slowdown=changed)
    assert not outcome.missed.any()


def test_without_the_loads_a_neighbour_that_changes_makes_somebody_late() -> None:
    lanes = [[AnalysisTask("urgent", (5,), 100, 7)], [AnalysisTask("other", (9,), 100, 50)]]
    known, changed = Lanes(lanes, [1.0]), Lanes(lanes, [1.5]).slowdown()
    assert known.hold(known.contended())
    assert not Lanes(lanes, [1.0], load=1.5).hold(Lanes(lanes, [1.0], load=1.5).contended())
    jobs = Workload.of(
        np.array([0, 1]),
        np.array([0, 0]),
        np.array([0, 0]),
        [each.segments_ns for each in known.alone],
    )
    outcome = simulate(known.alone, jobs, lanes=known.places, slowdown=changed)
    assert outcome.missed.tolist() == [True, False]


def test_budgets_measured_alone_admit_a_set_that_misses() -> None:
    urgent, other = AnalysisTask("urgent", (5,), 100, 8), AnalysisTask("other", (9,), 100, 50)
    made = Lanes([[urgent], [other]], [2.0])
    assert made.hold(made.alone)
    jobs = Workload.of(
        np.array([0, 1]),
        np.array([0, 0]),
        np.array([0, 0]),
        [made.alone[0].segments_ns, made.alone[1].segments_ns],
    )
    outcome = simulate(made.alone, jobs, lanes=made.places, slowdown=made.slowdown())
    assert outcome.missed.tolist() == [True, False]
    assert not made.hold(made.contended())


def test_a_step_takes_at_most_the_worst_of_each_other_lane_together() -> None:
    assert slowed_ns(100, 150, []) == 150
    assert slowed_ns(100, 150, [[110, 140]]) == 150
    assert slowed_ns(100, 150, [[110, 160]]) == 160
    # Faster beside others than alone is chance, and speeds nothing up.
    assert slowed_ns(100, 100, [[90], [120]]) == 120
    assert slowed_ns(100, 100, [[150], [120, 130]]) == 195


def test_few_runs_beside_a_neighbour_count_as_none() -> None:
    profile = measured(AnalysisTask("a", (1000,), 10_000, 10_000), {"b": 2.0})
    few = replace(profile.batches[1], samples_ns=profile.batches[1].samples_ns[:3])
    short = replace(profile, batches=(profile.batches[0], few))
    assert unmeasured(profile, [beside("b"), beside("c")]) == (beside("c"),)
    assert unmeasured(short, [beside("b")]) == (beside("b"),)
    with pytest.raises(ValueError, match="not measured"):
        contended(short, [[beside("b")]])
