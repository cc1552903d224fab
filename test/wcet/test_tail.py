"""A fitted tail bounds quantiles of distributions whose quantiles are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from aegis_ros.wcet import NoTail, fit_tail

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]


def exponential(rng: np.random.Generator, runs: int) -> Floats:
    return rng.exponential(size=runs)


def pareto(rng: np.random.Generator, runs: int) -> Floats:
    return np.asarray((rng.random(runs) ** -0.2 - 1.0) / 0.2)  # generalised, shape 0.2


def uniform(rng: np.random.Generator, runs: int) -> Floats:
    return rng.random(runs)


def times(values: Floats) -> npt.NDArray[np.int64]:
    return (1e9 * (1.0 + values)).astype(np.int64)


@pytest.mark.parametrize(
    ("draw", "true_shape", "true_scale"),
    # memoryless: the excess over any threshold is the same; Pareto's scale grows with it
    [(exponential, 0.0, 1.0), (pareto, 0.2, 10**0.2)],
)
def test_shape_and_scale_of_a_known_tail_are_found(
    draw: Draw, true_shape: float, true_scale: float
) -> None:
    tail = fit_tail(times(draw(np.random.default_rng(1), 10_000)))
    assert tail.excesses == 1000
    assert tail.share == 0.1
    assert tail.shape == pytest.approx(true_shape, abs=0.08)
    assert tail.scale_ns == pytest.approx(true_scale * 1e9, rel=0.12)
    assert tail.fit_p > 0.01


@pytest.mark.parametrize("exceedance", [1e-3, 1e-6])
@pytest.mark.parametrize(
    ("draw", "quantile"),
    [
        (exponential, lambda p: -np.log(p)),
        (pareto, lambda p: (p**-0.2 - 1.0) / 0.2),
        (uniform, lambda p: 1.0 - p),
    ],
)
def test_the_bound_holds_about_as_often_as_it_says(
    draw: Draw, quantile: Callable[[float], float], exceedance: float
) -> None:
    rng = np.random.default_rng(2)
    true = 1e9 * (1.0 + quantile(exceedance))
    held = []
    for _ in range(60):
        try:
            held.append(fit_tail(times(draw(rng, 3000))).upper_ns(exceedance, 0.95) >= true)
        except NoTail:
            continue
    assert len(held) > 50
    assert np.mean(held) > 0.8


def test_a_tail_that_ends_is_read_as_one_that_does_not() -> None:
    tail = fit_tail(times(uniform(np.random.default_rng(3), 5000)))
    assert tail.shape == 0.0
    assert tail.value_ns(1e-6) > 2e9  # no run of this distribution ever takes as long


def test_a_tail_that_looks_exponential_is_read_as_exponential() -> None:
    shapes = [fit_tail(times(exponential(np.random.default_rng(n), 3000))).shape for n in range(20)]
    assert shapes.count(0.0) >= 14  # nine in ten, by chance


def test_at_the_threshold_the_tail_begins() -> None:
    tail = fit_tail(times(exponential(np.random.default_rng(4), 3000)))
    assert tail.value_ns(tail.share) == tail.threshold_ns


def test_a_smaller_probability_is_a_longer_time_and_the_bound_lies_above() -> None:
    tail = fit_tail(times(pareto(np.random.default_rng(5), 3000)))
    chances = [1e-2, 1e-4, 1e-6, 1e-9]
    values = [tail.value_ns(p) for p in chances]
    assert values == sorted(values)
    assert all(tail.upper_ns(p, 0.95) >= value for p, value in zip(chances, values, strict=True))


def test_few_runs_have_no_tail() -> None:
    with pytest.raises(NoTail, match="3000 runs"):
        fit_tail(np.arange(1, 3000))


def test_equal_runs_have_no_tail() -> None:
    with pytest.raises(NoTail, match="equally long"):
        fit_tail(np.full(3000, 10**6))


def test_a_tail_without_a_variance_is_not_extrapolated() -> None:
    values = np.random.default_rng(6).random(3000) ** -1.5
    with pytest.raises(NoTail, match="too heavy"):
        fit_tail(times(values))


def test_two_kinds_of_slow_runs_are_no_tail() -> None:
    rng = np.random.default_rng(7)
    values = rng.random(5000)
    values[:150] += 50.0  # interrupted by something else, three in a hundred
    with pytest.raises(NoTail, match=r"limit law|too heavy"):
        fit_tail(times(rng.permutation(values)))
