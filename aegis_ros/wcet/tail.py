"""Fits the tail of execution times, to say how long the run takes that is exceeded once in many.

Peaks over threshold: the largest tenth of independent runs exceeds its threshold by amounts that
follow a generalised Pareto distribution (Pickands 1975; Balkema & de Haan 1974). Shape and scale
are fitted by probability-weighted moments (Hosking & Wallis 1987), which need no search and so
cannot fail to converge; how far the fit may be off is found by drawing from it and fitting again.
Unless the tail is plainly heavier it is read as an exponential one (the rule of MBPTA-CV, Abella et
al. 2017): an end that no run has come near is a guess, and a shape that may as well be 0 would
decide everything so far out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_RUNS", "NoTail", "Tail", "fit_tail"]

LEAST_RUNS = 3000  # fewer than 300 in the tail leave its shape open
_SHARE = 10  # one run in so many is tail
_MOST = 3000  # more runs sharpen the threshold instead: the limit law holds far out
_HEAVIEST = 0.5  # above it the variance is infinite, and the moments mislead
_DRAWS = 400
_LEAST_P = 0.01
_PLAINLY = 0.9  # of exponential tails, so many look less heavy

_Floats = npt.NDArray[np.float64]


class NoTail(ValueError):
    """Why no tail can be fitted; its text is the end of "no tail was fitted: ..."."""


@dataclass(frozen=True, slots=True)
class Tail:
    """A generalised Pareto distribution of what lies above a threshold.

    Attributes:
        threshold_ns: times above it are the tail.
        share: fraction of runs above it.
        shape: 0 for an exponential tail, above for a heavier one.
        scale_ns: of the excess.
        excesses: how many runs it was fitted to.
        fit_p: probability of a fit as bad as this one if it is right (Anderson-Darling).
        drawn: [draws, 2] shape and scale fitted to draws from this very distribution.
    """

    threshold_ns: float
    share: float
    shape: float
    scale_ns: float
    excesses: int
    fit_p: float
    drawn: _Floats

    def value_ns(self, exceedance: float) -> float:
        """Return the time that a run exceeds with a probability, as fitted.

        Args:
            exceedance: in (0, ``share``].
        """
        ratio = self.share / exceedance
        return self.threshold_ns + float(
            _excess(ratio, np.array([self.shape]), np.array([self.scale_ns]))[0]
        )

    def upper_ns(self, exceedance: float, confidence: float) -> float:
        """Return a bound of that time which holds with some confidence.

        Args:
            exceedance: in (0, ``share``].
            confidence: in (0, 1).
        """
        ratio = self.share / exceedance
        values = _excess(ratio, self.drawn[:, 0], self.drawn[:, 1])
        return self.threshold_ns + max(
            float(np.quantile(values, confidence)), self.value_ns(exceedance) - self.threshold_ns
        )


def fit_tail(samples_ns: npt.NDArray[np.int64]) -> Tail:
    """Return the tail of runs that are independent and alike; the same for the same runs.

    Args:
        samples_ns: int64 [runs].

    Raises:
        NoTail: too few runs, too many equal ones, a tail too heavy, or a fit that does not fit.
    """
    runs = samples_ns.size
    if runs < LEAST_RUNS:
        raise NoTail(f"it needs {LEAST_RUNS} runs")
    count = min(runs // _SHARE, _MOST)
    ordered = np.sort(samples_ns).astype(np.float64)
    threshold = float(ordered[-count - 1])
    excess = ordered[-count:] - threshold
    if np.unique(excess[excess > 0.0]).size < count // 2:
        raise NoTail("too many of the slowest runs took equally long")
    shape, scale = (float(value[0]) for value in _moments(excess[np.newaxis]))
    if shape >= _HEAVIEST or scale <= 0.0:
        raise NoTail(f"the tail is too heavy to extrapolate (shape {shape:.2f})")
    generator = np.random.default_rng(0)
    uniform = np.sort(generator.random((_DRAWS, count)), axis=1)
    draws = _excess(1.0 / (1.0 - uniform), np.array([shape]), np.array([scale]))
    drawn_shape, drawn_scale = _moments(draws)
    seen = float(_misfit(excess[np.newaxis], np.array([shape]), np.array([scale]))[0])
    by_chance = _misfit(draws, drawn_shape, drawn_scale)
    fit_p = (1 + int((by_chance >= seen).sum())) / (1 + _DRAWS)
    if fit_p < _LEAST_P:
        raise NoTail("the slowest runs do not follow the limit law (generalised Pareto)")
    mean = float(excess.mean())
    memoryless = -np.log1p(-uniform)
    if shape <= np.quantile(_moments(memoryless)[0], _PLAINLY):
        drawn = np.column_stack([np.zeros(_DRAWS), mean * memoryless.mean(axis=1)])
        return Tail(threshold, count / runs, 0.0, mean, count, fit_p, drawn)
    drawn = np.column_stack([drawn_shape, drawn_scale])
    return Tail(threshold, count / runs, shape, scale, count, fit_p, drawn)


def _moments(excess: _Floats) -> tuple[_Floats, _Floats]:
    """Return shapes and scales of ascending rows [rows, count]."""
    count = excess.shape[1]
    mean = excess.mean(axis=1)
    weight = (count - np.arange(1, count + 1)) / (count - 1)
    weighted = (excess * weight).mean(axis=1)
    below = mean - 2.0 * weighted
    return 2.0 - mean / below, 2.0 * mean * weighted / below


def _excess(ratio: float | _Floats, shape: _Floats, scale: _Floats) -> _Floats:
    """Return the excess that one run in ``ratio`` of those above the threshold goes beyond."""
    log = np.log(ratio)
    flat = np.abs(shape) < 1e-9
    safe = np.where(flat, 1.0, shape)
    return np.asarray(scale * np.where(flat, log, np.expm1(safe * log) / safe), np.float64)


def _misfit(excess: _Floats, shape: _Floats, scale: _Floats) -> _Floats:
    """Return Anderson and Darling's statistic of ascending rows [rows, count]."""
    shape, scale = shape[:, np.newaxis], scale[:, np.newaxis]
    flat = np.abs(shape) < 1e-9
    safe = np.where(flat, 1.0, shape)
    inside = np.maximum(1.0 + safe * excess / scale, 1e-300)
    log_above = np.where(flat, -excess / scale, -np.log(inside) / safe)
    log_above = np.clip(log_above, -700.0, -1e-12)
    log_below = np.log(-np.expm1(log_above))
    count = excess.shape[1]
    weight = 2.0 * np.arange(1, count + 1) - 1.0
    total = (weight * (log_below + log_above[:, ::-1])).mean(axis=1)
    return np.asarray(-count - total, np.float64)
