"""Turns measured execution times into a budget, and says how sure it is.

Order statistics (Wilks 1941): of n independent runs, the k-th largest is an upper bound of the
p-quantile with confidence ``1 - sum_{i<k} C(n, i) (1-p)^i p^(n-i)``. Nothing is extrapolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = ["Budget", "budget", "runs_needed", "tolerance_rank"]


@dataclass(frozen=True, slots=True)
class Budget:
    """A WCET budget and how it came about.

    Attributes:
        value_ns: the budget.
        quantile: the quantile it bounds before the margin.
        confidence: probability that it does, given independent runs.
        sentence: the same for people.
    """

    value_ns: int
    quantile: float
    confidence: float
    sentence: str


def tolerance_rank(runs: int, quantile: float, confidence: float) -> int:
    """Return the largest k such that the k-th largest run bounds the quantile; 0 if none does.

    Args:
        runs: number of independent runs.
        quantile: in (0, 1).
        confidence: wanted, in (0, 1).
    """
    # P(at least k of n runs exceed the quantile) = survival function of a binomial at k - 1.
    rank = 0
    while rank < runs and stats.binom.sf(rank, runs, 1.0 - quantile) >= confidence:
        rank += 1
    return rank


def runs_needed(quantile: float, confidence: float) -> int:
    """Return how many runs it takes until the largest bounds the quantile."""
    return math.ceil(math.log(1.0 - confidence) / math.log(quantile))


def budget(
    samples_ns: npt.NDArray[np.int64],
    *,
    quantile: float = 0.999,
    confidence: float = 0.95,
    margin: float = 0.1,
) -> Budget:
    """Return the budget of one segment: the largest time seen, with a margin.

    The sentence tells which quantile the runs can vouch for; with too few runs for the one asked
    for, it says so.

    Args:
        samples_ns: int64 [runs], at least one, each > 0.
        quantile: asked for.
        confidence: asked for.
        margin: fraction added on top.

    Raises:
        ValueError: there is no run, or one took no time.
    """
    runs = int(samples_ns.size)
    if runs == 0 or int(samples_ns.min()) <= 0:
        raise ValueError("a budget needs at least one run, and runs that take time")
    largest = int(samples_ns.max())
    value = math.ceil(largest * (1.0 + margin))
    rank = tolerance_rank(runs, quantile, confidence)
    shown = f"largest of {runs} runs ({largest / 1e6:.2f} ms) plus {margin:.0%}"
    if rank > 0:
        sure = float(stats.binom.sf(0, runs, 1.0 - quantile))
        return Budget(
            value,
            quantile,
            sure,
            f"{shown}; before the margin it bounds {quantile:.1%} of runs "
            f"with {sure:.1%} confidence",
        )
    reached = (1.0 - confidence) ** (1.0 / runs)
    return Budget(
        value,
        reached,
        confidence,
        f"{shown}; {runs} runs can vouch for {reached:.1%} of runs at {confidence:.0%} confidence, "
        f"{quantile:.1%} needs {runs_needed(quantile, confidence)}",
    )
