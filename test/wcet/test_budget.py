"""A budget claims what the runs prove, and no more."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from aegis_ros.wcet import budget, runs_needed
from aegis_ros.wcet.budget import tolerance_limit_ns, tolerance_rank


def exponential(runs: int) -> npt.NDArray[np.int64]:
    drawn = np.random.default_rng(1).exponential(1e5, runs)
    return (1e6 + drawn).astype(np.int64)


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
        "the slowest of 100 runs (100.00 ms) plus 10%; 100 runs bound 97.0% of all runs with "
        "95% confidence (99.9% takes 2995 runs); not i.i.d. (Ljung-Box p < 0.0001, runs test p "
        "< 0.0001, halves p < 0.0001)"
    )
    assert found.summary == "the slowest of 100 runs (100.00 ms) plus 10%; not i.i.d."
    assert (
        budget(np.arange(1, 11) * 1_000_000).summary == "the slowest of 10 runs (10.00 ms) plus 10%"
    )


def test_the_tolerance_limit_is_the_run_of_its_rank() -> None:
    samples = np.random.default_rng(3).permutation(np.arange(1, 474))
    assert tolerance_limit_ns(samples, 0.99, 0.95) == 472  # second largest, as 473 runs allow
    assert tolerance_limit_ns(samples[:100], 0.99, 0.95) == 0


def test_independent_runs_are_budgeted_beyond_the_slowest_seen() -> None:
    found = budget(exponential(3000), margin=0.1)
    assert found.tests is not None
    assert found.tests.passed
    assert found.pwcet_ns > found.largest_ns >= found.tolerance_ns > 0
    assert found.value_ns == math.ceil(found.pwcet_ns * 1.1)
    assert "exceeded by one run in 1,000,000" in found.sentence
    assert "99.9% of all runs with 95.0% confidence; i.i.d." in found.sentence


def test_runs_that_depend_on_each_other_are_not_extrapolated() -> None:
    found = budget(np.sort(exponential(3000)), margin=0.1)
    assert (found.pwcet_ns, found.tail) == (0, None)
    assert found.value_ns == math.ceil(found.largest_ns * 1.1)
    assert "not i.i.d." in found.sentence
    assert found.no_tail.startswith("not i.i.d.")


def test_independent_runs_too_few_for_a_tail_say_so() -> None:
    found = budget(exponential(300))
    assert (found.pwcet_ns, found.no_tail) == (0, "it needs 3000 runs")


def test_the_same_runs_give_the_same_budget() -> None:
    assert budget(exponential(3000)).value_ns == budget(exponential(3000)).value_ns


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
