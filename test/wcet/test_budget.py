"""A budget says what the runs can vouch for, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.wcet import budget, runs_needed
from aegis_ros.wcet.budget import tolerance_rank


@pytest.mark.parametrize(("quantile", "runs"), [(0.999, 2995), (0.99, 299), (0.9, 29)])
def test_the_largest_run_bounds_a_quantile_from_wilks_number_of_runs(
    quantile: float, runs: int
) -> None:
    assert runs_needed(quantile, 0.95) == runs
    assert tolerance_rank(runs, quantile, 0.95) == 1
    assert tolerance_rank(runs - 1, quantile, 0.95) == 0


def test_more_runs_let_a_lesser_one_bound_the_quantile() -> None:
    assert tolerance_rank(473, 0.99, 0.95) == 2  # Wilks (1941), second order
    assert tolerance_rank(472, 0.99, 0.95) == 1


def test_the_budget_is_the_largest_run_and_the_margin() -> None:
    found = budget(np.full(3000, 1_000_000), margin=0.1)
    assert found.value_ns == 1_100_000
    assert found.quantile == 0.999
    assert found.confidence >= 0.95


def test_too_few_runs_are_said_to_be_too_few() -> None:
    found = budget(np.arange(1, 101) * 1_000_000)
    assert found.quantile < 0.999
    assert found.sentence == (
        "largest of 100 runs (100.00 ms) plus 10%; 100 runs can vouch for 97.0% of runs at 95% "
        "confidence, 99.9% needs 2995"
    )


@pytest.mark.parametrize("samples", [[], [0], [5, -1]])
def test_refuses_runs_that_take_no_time(samples: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        budget(np.asarray(samples, np.int64))


def test_the_tolerance_limit_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    quantile, runs = 0.9, 100
    rank = tolerance_rank(runs, quantile, 0.95)
    drawn = np.sort(rng.random((4000, runs)), axis=1)
    covered = float((drawn[:, -rank] >= quantile).mean())
    assert covered > 0.93
