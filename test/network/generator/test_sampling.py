"""Which token comes next."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.errors import BackendError, ConfigError
from aegis_ros.network.generator.sampling import Sampler, Sampling

_LOGITS = np.log(np.array([0.1, 0.5, 0.05, 0.35], np.float32))


def draws(sampling: Sampling, count: int = 4000) -> list[int]:
    sampler = Sampler(sampling)
    return [sampler.choose(_LOGITS) for _ in range(count)]


def test_without_temperature_the_most_likely_token_comes_and_the_first_of_equals() -> None:
    assert set(draws(Sampling(), 5)) == {1}
    assert Sampler(Sampling()).choose(np.zeros(9, np.float32)) == 0


def test_tokens_come_as_often_as_they_are_likely() -> None:
    counts = np.bincount(draws(Sampling(temperature=1.0, seed=1)), minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.1, 0.5, 0.05, 0.35], atol=0.03)
    sharper = np.bincount(draws(Sampling(temperature=0.5, seed=1)), minlength=4) / 4000
    squared = np.array([0.1, 0.5, 0.05, 0.35]) ** 2
    np.testing.assert_allclose(sharper, squared / squared.sum(), atol=0.03)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(1e-9, {1}), (0.5, {1}), (0.51, {1, 3}), (0.86, {0, 1, 3}), (1, {0, 1, 2, 3})],
)
def test_top_p_keeps_the_likeliest_that_together_reach_it(top_p: float, kept: set[int]) -> None:
    # 0.5 is a sum of float32 that lies a little above or below: ask for less.
    asked = top_p - 1e-3 if top_p == 0.5 else top_p
    assert set(draws(Sampling(temperature=1.0, top_p=asked))) == kept


def test_a_seed_repeats_the_draws_and_another_does_not() -> None:
    one = Sampling(temperature=1.0, seed=7)
    assert draws(one, 50) == draws(one, 50)
    assert draws(one, 50) != draws(Sampling(temperature=1.0, seed=8), 50)


def test_the_same_token_comes_at_any_size_of_the_logits() -> None:
    high = Sampler(Sampling(temperature=1.0)).choose(np.array([3e38, -3e38], np.float32))
    assert high == 0


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(number: float) -> None:
    with pytest.raises(BackendError, match="no finite numbers"):
        Sampler(Sampling()).choose(np.array([0, number], np.float32))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: out of range"):
        Sampling(**settings)  # type: ignore[arg-type]
