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
def test_a_condition_is_reported_in_a_few_words(condition: Condition, label: str) -> None:
    assert condition.label == label
    assert Condition.from_json(condition.to_json()) == condition


def test_a_whole_run_is_budgeted_by_its_sums_not_by_the_slowest_of_each_segment() -> None:
    rng = np.random.default_rng(0)
    rows = 1_000_000 + rng.integers(0, 1_000, (500, 4))
    rows[np.arange(40), rng.integers(0, 4, 40)] += 9_000_000  # one slow segment in a run at most
    batches = (Batch(rows.astype(np.int64), 0, ALONE), Batch(rows[:100].astype(np.int64), 0, COLD))
    profile = Profile(PROFILE.key, "d" * 64, batches)
    apart = sum(item.value_ns for item in profile.budgets())
    assert apart > 43_000_000
    condition, found = profile.deciding_total()
    assert condition == ALONE and found.runs == 500
    assert profile.total_ns() == found.value_ns < 15_000_000
    assert found.largest_ns == int(rows.sum(axis=1).max())


def test_the_budget_of_a_whole_run_is_that_of_the_worst_condition_and_fits_the_segments() -> None:
    assert PROFILE.total_of(ALONE).largest_ns == 13_000_000
    assert PROFILE.total_of(COLD).largest_ns == 14_000_000
    assert PROFILE.deciding_total()[0] == COLD
    parts = [item.value_ns for item in PROFILE.budgets()]
    assert max(parts) <= PROFILE.total_ns() <= sum(parts)
    whole = Profile(PROFILE.key, "d" * 64, (batch([[7], [8]], ALONE),))
    assert whole.total_ns() == whole.budgets()[0].value_ns
