"""Tests whether runs are independent of each other and all of one distribution.

Extreme-value statistics say something of runs only if both hold (Davis & Cucu-Grosjean 2019). All
three tests look at the order of values alone, so that a few very slow runs do not decide them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_RUNS", "SIGNIFICANCE", "IidTests", "iid_tests"]

LEAST_RUNS = 100  # fewer say nothing about dependence
SIGNIFICANCE = 0.01  # of each test: independent runs fail one of three about once in 35 profiles
_LAGS = 20

_Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class IidTests:
    """Probability of what was seen if the runs were independent and alike; 1 where all are equal.

    Attributes:
        ljung_box_p: no correlation with any of the 20 runs before (Ljung & Box 1978, on ranks).
        runs_p: slow and fast runs alternate by chance (Wald & Wolfowitz 1940, about the median).
        halves_p: first and second half have one distribution (Kolmogorov-Smirnov, two samples).
    """

    ljung_box_p: float
    runs_p: float
    halves_p: float

    @property
    def passed(self) -> bool:
        """Whether no test speaks against it."""
        return min(self.ljung_box_p, self.runs_p, self.halves_p) >= SIGNIFICANCE

    @property
    def sentence(self) -> str:
        """The three tests for people, failed ones first."""
        named = (
            ("Ljung-Box", self.ljung_box_p),
            ("runs test", self.runs_p),
            ("halves", self.halves_p),
        )
        failed = [f"{name} p {_shown(p)}" for name, p in named if p < SIGNIFICANCE]
        if failed:
            return "not i.i.d. (" + ", ".join(failed) + ")"
        return "i.i.d. (" + ", ".join(f"{name} p {_shown(p)}" for name, p in named) + ")"


def iid_tests(samples_ns: _Times) -> IidTests | None:
    """Return the tests of runs in the order they were measured; ``None`` for fewer than 100.

    Args:
        samples_ns: int64 [runs].
    """
    if samples_ns.size < LEAST_RUNS:
        return None
    return IidTests(_ljung_box(samples_ns), _runs_test(samples_ns), _halves(samples_ns))


def _ljung_box(samples: _Times) -> float:
    from scipy import special  # half a second; only where budgets are computed

    count = samples.size
    _, place, often = np.unique(samples, return_inverse=True, return_counts=True)
    rank = (np.cumsum(often) - (often - 1) / 2.0)[place]
    centred = rank - rank.mean()
    power = float(centred @ centred)
    if power == 0.0:
        return 1.0
    lags = np.arange(1, _LAGS + 1)
    correlation = np.array([centred[lag:] @ centred[:-lag] for lag in lags]) / power
    statistic = count * (count + 2) * float((correlation**2 / (count - lags)).sum())
    return float(special.chdtrc(_LAGS, statistic))


def _runs_test(samples: _Times) -> float:
    middle = np.median(samples)
    above = samples[samples != middle] > middle
    many, few = int(above.sum()), int((~above).sum())
    count = many + few
    if many == 0 or few == 0:
        return 1.0
    seen = 1 + int((above[1:] != above[:-1]).sum())
    mean = 2.0 * many * few / count + 1.0
    variance = (mean - 1.0) * (mean - 2.0) / (count - 1)
    if variance <= 0.0:
        return 1.0
    return math.erfc(abs(seen - mean) / math.sqrt(2.0 * variance))


def _halves(samples: _Times) -> float:
    from scipy import special

    half = samples.size // 2
    first, second = np.sort(samples[:half]), np.sort(samples[half:])
    values = np.concatenate([first, second])
    below_first = np.searchsorted(first, values, side="right") / first.size
    below_second = np.searchsorted(second, values, side="right") / second.size
    distance = float(np.abs(below_first - below_second).max())
    effective = math.sqrt(first.size * second.size / samples.size)
    # Stephens' correction of the limiting distribution for finite samples.
    return float(special.kolmogorov((effective + 0.12 + 0.11 / effective) * distance))


def _shown(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else (f"= {p:.4f}" if p < 0.01 else f"= {p:.2f}")
