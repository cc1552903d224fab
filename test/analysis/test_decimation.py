"""Frames that are left out: fairly, no more than needed, and never of what matters most."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, decimated, find_decimation, is_schedulable
from aegis_ros.errors import ConfigError
from aegis_ros.rationale.wording import every_nth
from aegis_ros.simulation import periodic_arrivals, simulate, sporadic_arrivals
from aegis_ros.spec import Criticality
from test.task_sets import task_sets

LOW = Criticality.LOW


def low(name: str, budget: int, period: int = 100) -> AnalysisTask:
    return AnalysisTask(name, (budget,), period, period, 0, LOW)


@st.composite
def overloads(draw: st.DrawFn) -> tuple[list[AnalysisTask], dict[str, int]]:
    """A set that is too much, with some tasks that may be decimated."""
    tasks = draw(task_sets(most=6))
    most = {}
    for index, task in enumerate(tasks):
        if draw(st.booleans()):
            tasks[index] = replace(task, criticality=LOW)
            most[task.name] = draw(st.sampled_from([1, 2, 3, 8, 8, 8]))
    if draw(st.booleans()):
        copied = [task for task in tasks if task.criticality is LOW]
        tasks += [replace(task, name=f"{task.name}_too") for task in copied]
        most |= {f"{task.name}_too": most[task.name] for task in copied}
    return tasks, most


def test_what_fits_is_not_decimated() -> None:
    assert find_decimation([low("a", 40), low("b", 60)], {"a": 8, "b": 8}) == {}


def test_equal_tasks_share_the_loss() -> None:
    pilot = AnalysisTask("pilot", (50,), 100, 100)
    extras = [low(f"extra{index}", 40) for index in range(3)]
    factors = find_decimation([pilot, *extras], {extra.name: 8 for extra in extras})
    # D = 100 for all: each job that comes in one period counts whole, whatever its rate.
    assert factors is None
    slow = [replace(extra, deadline_ns=400) for extra in extras]
    assert find_decimation([pilot, *slow], {extra.name: 8 for extra in slow}) == {
        "extra0": 2,
        "extra1": 3,
        "extra2": 3,
    }


def test_a_task_that_may_not_be_decimated_keeps_every_frame() -> None:
    tasks = [replace(low(name, 60), deadline_ns=300) for name in ("a", "b")]
    assert find_decimation(tasks, {"a": 8}) == {"a": 2}
    assert find_decimation(tasks, {}) is None


def test_a_large_task_does_not_hold_a_small_one_back() -> None:
    tasks = [replace(low("large", 90), deadline_ns=900), replace(low("small", 2), deadline_ns=900)]
    tasks.append(AnalysisTask("pilot", (30,), 100, 900))
    assert find_decimation(tasks, {"large": 8, "small": 8}) == {"large": 2}


def test_nothing_is_promised_where_the_largest_decimation_is_too_much() -> None:
    assert (
        find_decimation([AnalysisTask("pilot", (100,), 100, 100), low("a", 1)], {"a": 64}) is None
    )


@pytest.mark.parametrize("criticality", [Criticality.HIGH, Criticality.BEST_EFFORT])
def test_only_what_is_of_low_criticality_can_be_decimated(criticality: Criticality) -> None:
    with pytest.raises(ConfigError, match="low criticality"):
        find_decimation([replace(low("a", 1), criticality=criticality)], {"a": 2})


def test_a_factor_below_one_is_an_error() -> None:
    with pytest.raises(ConfigError, match="max_decimation"):
        find_decimation([low("a", 1)], {"a": 0})


def test_only_the_lane_that_is_too_full_is_decimated() -> None:
    tasks = [replace(low(name, 70), deadline_ns=400) for name in ("a", "b", "c")]
    lane_of = {"a": "gpu", "b": "gpu", "c": "npu"}
    most = dict.fromkeys(lane_of, 8)
    assert find_decimation(tasks, most, ["gpu", "npu"], fixed=lane_of) == {"a": 2, "b": 2}


@given(overloads(), st.integers(0, 2**32))
def test_what_is_decimated_passes_and_misses_nothing(
    overload: tuple[list[AnalysisTask], dict[str, int]], seed: int
) -> None:
    tasks, most = overload
    factors = find_decimation(tasks, most)
    if factors is None:
        return
    running = decimated(tasks, factors)
    assert is_schedulable(running)
    for jobs in (
        sporadic_arrivals(running, 1500, np.random.default_rng(seed)),
        periodic_arrivals(running, 1500),
    ):
        assert not simulate(running, jobs).missed.any()


@given(overloads())
def test_nothing_helps_only_where_the_largest_decimation_fails(
    overload: tuple[list[AnalysisTask], dict[str, int]],
) -> None:
    tasks, most = overload
    assert (find_decimation(tasks, most) is None) is not is_schedulable(decimated(tasks, most))


@given(overloads())
def test_no_task_could_keep_more_alone_and_equal_ones_keep_the_same_to_a_level(
    overload: tuple[list[AnalysisTask], dict[str, int]],
) -> None:
    tasks, most = overload
    factors = find_decimation(tasks, most)
    if not factors:
        return
    assert all(1 < factor <= most[name] for name, factor in factors.items())

    def like(task: AnalysisTask) -> list[int]:
        return [
            factors.get(other.name, 1)
            for other in tasks
            if replace(other, name="") == replace(task, name="")
            and most.get(other.name, 1) == most.get(task.name, 1)
        ]

    for task in tasks:
        assert max(like(task)) - min(like(task)) <= 1
        if task.name in factors and factors[task.name] == max(like(task)):
            fewer = factors | {task.name: factors[task.name] - 1}
            assert not is_schedulable(decimated(tasks, fewer))


@given(overloads(), st.data())
def test_the_order_of_the_tasks_does_not_matter(
    overload: tuple[list[AnalysisTask], dict[str, int]], data: st.DataObject
) -> None:
    tasks, most = overload
    assert find_decimation(data.draw(st.permutations(tasks)), most) == find_decimation(tasks, most)


@given(st.lists(st.integers(5, 60), min_size=2, max_size=6))
def test_the_least_share_of_frames_is_as_large_as_it_can_be(budgets: list[int]) -> None:
    tasks = [replace(low(f"t{i}", c), deadline_ns=5000) for i, c in enumerate(budgets)]
    most = {task.name: 8 for task in tasks}
    factors = find_decimation(tasks, most)
    if not factors:
        return
    worst = max(factors.values())
    assert sum(Fraction(c, 100 * (worst - 1)) for c in budgets) > 1 or not is_schedulable(
        decimated(tasks, {task.name: worst - 1 for task in tasks})
    )


@pytest.mark.parametrize(
    ("n", "words"),
    [(1, "every frame"), (2, "every 2nd frame"), (3, "every 3rd frame"), (8, "every 8th frame")],
)
def test_the_frames_that_are_taken_are_named_in_words(n: int, words: str) -> None:
    assert every_nth(n) == words
