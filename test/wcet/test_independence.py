"""Runs that influence each other, or change with time, are distinguished from those that do not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from aegis_ros.wcet import iid_tests
from aegis_ros.wcet.independence import IidTests

Times = npt.NDArray[np.int64]


def times(values: npt.NDArray[np.float64]) -> Times:
    return (1e6 + 1e4 * values).astype(np.int64)


def judged(samples: Times) -> IidTests:
    found = iid_tests(samples)
    assert found is not None
    return found


def test_independent_runs_fail_about_as_rarely_as_they_should() -> None:
    rng = np.random.default_rng(7)
    failed = [not judged(times(rng.exponential(size=500))).passed for _ in range(400)]
    assert 0.005 < np.mean(failed) < 0.06  # three tests at 1 %, that are not quite independent


def test_each_probability_is_uniform_for_independent_runs() -> None:
    rng = np.random.default_rng(8)
    found = [judged(times(rng.normal(size=500))) for _ in range(400)]
    for name in ("ljung_box_p", "runs_p", "halves_p"):
        below = np.mean([getattr(item, name) < 0.5 for item in found])
        assert 0.4 < below < 0.6, name


def test_a_run_that_remembers_the_one_before_is_found_by_ljung_box() -> None:
    noise = np.random.default_rng(1).normal(size=2000)
    assert judged(times(noise[1:] + 0.5 * noise[:-1])).ljung_box_p < 1e-6


def test_runs_that_alternate_are_found_by_the_runs_test() -> None:
    values = np.random.default_rng(2).random(500) + np.arange(500) % 2
    found = judged(times(values))
    assert found.runs_p < 1e-6
    assert "runs test p < 0.0001" in found.sentence


def test_a_machine_that_slows_down_halfway_is_found_by_the_halves() -> None:
    values = np.random.default_rng(3).normal(size=1000)
    values[500:] += 0.5
    found = judged(times(values))
    assert found.halves_p < 1e-6
    assert not found.passed
    assert found.sentence.startswith("not i.i.d. (")


def test_few_very_slow_runs_do_not_make_independent_ones_dependent() -> None:
    values = np.random.default_rng(4).random(1000)
    values[[100, 700]] += 1e5
    assert judged(times(values)).passed


def test_runs_that_all_take_equally_long_pass() -> None:
    assert judged(np.full(200, 5)) == IidTests(1.0, 1.0, 1.0)


@pytest.mark.parametrize("runs", [0, 1, 99])
def test_too_few_runs_are_not_judged(runs: int) -> None:
    assert iid_tests(np.arange(1, runs + 1)) is None
