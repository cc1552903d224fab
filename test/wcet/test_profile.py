"""A profile keeps conditions apart, and budgets for the worst of them."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.wcet import Batch, Cache, Condition, Profile, ProfileKey, Stress

ALONE = Condition()
COLD = Condition(cache=Cache.COLD)


def batch(rows: list[list[int]], condition: Condition) -> Batch:
    return Batch(np.asarray(rows, np.int64) * 1_000_000, 0, condition)


PROFILE = Profile(
    ProfileKey("net", "backend", "device"),
    "d" * 64,
    (
        batch([[10, 2], [11, 2]], ALONE),
        batch([[9, 5]], COLD),
        batch([[12, 1]], ALONE),
    ),
)


def test_runs_of_one_condition_stay_in_the_order_of_measurement() -> None:
    assert (PROFILE.of(ALONE)[:, 0] // 1_000_000).tolist() == [10, 11, 12]
    assert PROFILE.conditions == (ALONE, COLD)
    assert PROFILE.of(Condition(Stress.MEMORY)).shape == (0, 2)
    assert (PROFILE.runs, PROFILE.segments) == (4, 2)


def test_each_segment_is_budgeted_for_the_condition_that_is_worst_for_it() -> None:
    assert [item.value_ns for item in PROFILE.budgets()] == [
        13_200_001,
        5_500_000,
    ]  # 1.1 is a little more
    assert [condition for condition, _ in PROFILE.deciding()] == [ALONE, COLD]


@pytest.mark.parametrize(
    ("condition", "label"),
    [
        (Condition(), "alone"),
        (Condition(cache=Cache.COLD), "alone, cold caches"),
        (Condition(Stress.MEMORY, inputs="12 images"), "against memory load, 12 images"),
    ],
)
def test_a_condition_is_told_in_a_few_words(condition: Condition, label: str) -> None:
    assert condition.label == label
    assert Condition.from_json(condition.to_json()) == condition
