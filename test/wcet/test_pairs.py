"""Runs with another network are compared with runs alone on the same inputs."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.wcet import (
    Batch,
    Cache,
    Condition,
    Neighbour,
    Place,
    Profile,
    ProfileKey,
    Stress,
    alone,
    pairs,
)

AFTER = Neighbour("n2", Place.AFTER, "", "other")
BESIDE = Neighbour("n2", Place.BESIDE, "b", "other")


def profile(*batches: tuple[Condition, list[int]]) -> Profile:
    return Profile(
        ProfileKey("n", "b", "d"),
        "0" * 64,
        tuple(Batch(np.array([times]).T, 0, condition) for condition, times in batches),
    )


def test_a_pair_is_reported_in_medians_of_the_network_alone() -> None:
    found = profile(
        (Condition(), [90, 100, 140]),
        (Condition(cache=Cache.COLD), [500]),
        (Condition(Stress.MEMORY), [700]),
        (Condition(neighbour=AFTER), [110, 120, 170, 120]),
        (Condition(neighbour=BESIDE), [100, 300]),
    )
    itself = alone(found)
    assert itself is not None
    assert (itself.runs, itself.median, itself.worst) == (3, 1.0, 1.4)
    after, beside = pairs(found)
    assert (after.neighbour, after.runs) == (AFTER, 4)
    assert (after.median, after.worst) == (pytest.approx(1.2), pytest.approx(1.7))
    assert (beside.median, beside.worst) == (2.0, 3.0)


def test_runs_on_other_inputs_are_not_compared() -> None:
    found = profile(
        (Condition(inputs="faces"), [100]),
        (Condition(neighbour=AFTER), [200]),
        (Condition(inputs="faces", neighbour=AFTER), [300]),
    )
    (pair,) = pairs(found)
    assert pair.median == 3.0


def test_without_runs_alone_there_is_nothing_to_compare_with() -> None:
    found = profile((Condition(neighbour=AFTER), [200]))
    assert pairs(found) == () and alone(found) is None


def test_the_worst_neighbour_decides_the_budget() -> None:
    found = profile((Condition(), [100] * 9), (Condition(neighbour=AFTER), [100, 400]))
    ((condition, budget),) = found.deciding()
    assert condition.neighbour == AFTER
    assert budget.largest_ns == 400


@pytest.mark.parametrize("neighbour", [AFTER, BESIDE, None])
def test_a_condition_survives_being_written_down(neighbour: Neighbour | None) -> None:
    condition = Condition(inputs="faces", neighbour=neighbour)
    read = Condition.from_json(condition.to_json())
    assert read == condition
    assert read.label == condition.label


def test_two_tasks_of_one_network_are_one_neighbour() -> None:
    assert Condition(neighbour=AFTER) == Condition(
        neighbour=Neighbour("n2", Place.AFTER, "", "another name")
    )
