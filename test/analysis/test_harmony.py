"""Periods near by with a short common cycle."""

from __future__ import annotations

from math import lcm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis.harmony import near_periods

MS = 1_000_000


@pytest.mark.parametrize(
    ("periods", "near"),
    [
        ((33_333_333, 50 * MS, 100 * MS), (33_400_000, 50_100_000, 100_200_000)),
        ((40 * MS, 50 * MS), (40 * MS, 50 * MS)),
        ((99_999_989, 100_000_007), (100 * MS, 100 * MS)),
        ((10 * MS, 10_500_000), (9_900_000, 10_560_000)),
        ((10**10,), (10**10,)),
        ((1, 7), None),  # below every grain
    ],
)
def test_periods_are_as_round_and_their_cycle_as_short_as_a_small_change_allows(
    periods: tuple[int, ...], near: tuple[int, ...] | None
) -> None:
    assert near_periods(periods) == near


@given(st.lists(st.integers(MS, 10**10), min_size=1, max_size=6))
def test_each_is_near_and_the_cycle_is_short(periods: list[int]) -> None:
    near = near_periods(periods)
    if near is not None:
        assert all(abs(n - p) <= 0.05 * p for n, p in zip(near, periods, strict=True))
        assert lcm(*near) <= 101 * 1.05 * max(periods)


@given(st.integers(1, 1000), st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=5))
def test_periods_that_divide_each_other_are_left_alone(shortest: int, multiples: list[int]) -> None:
    periods = [shortest * MS * each for each in multiples]
    assert near_periods(periods) == tuple(periods)
