"""Turns measured execution times into a budget, and says how sure it is.

``budget = max(largest seen, tolerance limit, pWCET) x (1 + margin)``. The tolerance limit is an
order statistic (Wilks 1941): of n independent runs, the k-th largest is an upper bound of the
p-quantile with confidence ``1 - sum_{i<k} C(n, i) (1-p)^i p^(n-i)``. The pWCET goes beyond what was
seen, and is used only where the runs pass the tests that allow it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.wcet.independence import IidTests, iid_tests
from aegis_ros.wcet.tail import NoTail, Tail, fit_tail

__all__ = ["Budget", "budget", "runs_needed", "tolerance_limit_ns", "tolerance_rank"]


@dataclass(frozen=True, slots=True)
class Budget:
    """A WCET budget and how it came about.

    Attributes:
        value_ns: the budget.
        quantile: the quantile it bounds before the margin.
        confidence: probability that it does, given independent runs.
        sentence: the same for people.
        summary: what it follows from, in a few words.
        runs: how many it rests on.
        largest_ns: slowest of them.
        tolerance_ns: tolerance limit of the quantile asked for; 0 with too few runs.
        pwcet_ns: time exceeded with the target probability; 0 where it is not known.
        target: that probability, of one run.
        tests: of independence and likeness; ``None`` with too few runs.
        tail: what the pWCET was read from.
        no_tail: why there is none, else empty.
    """

    value_ns: int
    quantile: float
    confidence: float
    sentence: str
    runs: int = 0
    largest_ns: int = 0
    tolerance_ns: int = 0
    pwcet_ns: int = 0
    target: float = 0.0
    tests: IidTests | None = None
    tail: Tail | None = None
    no_tail: str = ""
    summary: str = ""


def tolerance_rank(runs: int, quantile: float, confidence: float) -> int:
    """Return the largest k such that the k-th largest run bounds the quantile; 0 if none does.

    Args:
        runs: number of independent runs.
        quantile: in (0, 1).
        confidence: wanted, in (0, 1).
    """
    rank = 0
    while rank < runs and _at_least(rank + 1, runs, quantile) >= confidence:
        rank += 1
    return rank


def tolerance_limit_ns(
    samples_ns: npt.NDArray[np.int64], quantile: float, confidence: float
) -> int:
    """Return the smallest run that bounds the quantile with the confidence; 0 if none does.

    Args:
        samples_ns: int64 [runs].
        quantile: in (0, 1).
        confidence: wanted, in (0, 1).
    """
    rank = tolerance_rank(samples_ns.size, quantile, confidence)
    return int(np.partition(samples_ns, -rank)[-rank]) if rank else 0


def runs_needed(quantile: float, confidence: float) -> int:
    """Return how many runs it takes until the largest bounds the quantile."""
    return math.ceil(math.log(1.0 - confidence) / math.log(quantile))


def budget(
    samples_ns: npt.NDArray[np.int64],
    *,
    quantile: float = 0.999,
    confidence: float = 0.95,
    margin: float = 0.1,
    target: float = 1e-6,
) -> Budget:
    """Return the budget of one segment under one condition.

    The sentence names the quantile that the runs bound; with too few runs for the requested one,
    it says how many are needed.

    Args:
        samples_ns: int64 [runs] in the order of measurement, at least one, each > 0.
        quantile: asked for.
        confidence: asked for.
        margin: fraction added on top.
        target: probability with which a run may exceed the pWCET.

    Raises:
        ValueError: there is no run, or one took no time.
    """
    runs = int(samples_ns.size)
    if runs == 0 or int(samples_ns.min()) <= 0:
        raise ValueError("a budget needs at least one run, and runs that take time")
    largest = int(samples_ns.max())
    tests = iid_tests(samples_ns)
    tail, no_tail = _tail(samples_ns, tests)
    pwcet = math.ceil(tail.upper_ns(target, confidence)) if tail else 0
    base = max(largest, pwcet)  # the tolerance limit is one of the runs, so never above both
    enough = tolerance_rank(runs, quantile, confidence) > 0
    if enough:
        reached, sure = quantile, _at_least(1, runs, quantile)
    else:
        reached, sure = (1.0 - confidence) ** (1.0 / runs), confidence
    source = _source(runs, largest, pwcet, target) + f" plus {margin:.0%}"
    judged = "" if tests is None else "; i.i.d." if tests.passed else "; not i.i.d."
    sentence = "; ".join(
        (
            source,
            _vouched(runs, reached, sure, quantile, confidence=confidence, enough=enough),
            tests.sentence if tests else "too few runs to test independence",
        )
    )
    return Budget(
        math.ceil(base * (1.0 + margin)),
        reached,
        sure,
        sentence,
        runs,
        largest,
        tolerance_limit_ns(samples_ns, quantile, confidence),
        pwcet,
        target,
        tests,
        tail,
        no_tail,
        source + judged,
    )


def _tail(samples_ns: npt.NDArray[np.int64], tests: IidTests | None) -> tuple[Tail | None, str]:
    if tests is None or not tests.passed:
        return None, tests.sentence if tests else "too few runs to test independence"
    try:
        return fit_tail(samples_ns), ""
    except NoTail as reason:
        return None, str(reason)


def _source(runs: int, largest: int, pwcet: int, target: float) -> str:
    seen = f"the slowest of {runs} runs ({largest / 1e6:.2f} ms)"
    if pwcet <= largest:
        return seen
    often = f"one run in {1.0 / target:,.0f}"
    return f"the pWCET of {pwcet / 1e6:.2f} ms, exceeded by {often} (tail fitted; {seen})"


def _vouched(
    runs: int, reached: float, sure: float, quantile: float, *, confidence: float, enough: bool
) -> str:
    if enough:
        return (
            f"without the margin, it bounds {quantile:.1%} of all runs with {sure:.1%} confidence"
        )
    return (
        f"{runs} runs bound {reached:.1%} of all runs with {confidence:.0%} confidence "
        f"({quantile:.1%} takes {runs_needed(quantile, confidence)} runs)"
    )


def _at_least(count: int, runs: int, quantile: float) -> float:
    """Return the probability that ``count`` of so many runs or more lie above the quantile."""
    from scipy import special  # half a second; only where budgets are computed

    return float(special.betainc(count, runs - count + 1, 1.0 - quantile))
