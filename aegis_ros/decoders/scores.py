"""From a network's numbers to scores, whatever the numbers are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["best_class", "likeliest", "sigmoid", "softmax"]

Floats = npt.NDArray[np.float32]


def sigmoid(values: Floats) -> Floats:
    """Return independent probabilities of logits, of any shape."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -80.0, 80.0))), np.float32)


def softmax(values: Floats) -> Floats:
    """Return probabilities of logits [..., C] that sum to 1 over the last axis."""
    if not values.size:
        return values
    bounded = np.clip(values, -1e30, 1e30)  # infinities have no difference
    exponents = np.exp(bounded - bounded.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True), np.float32)


def best_class(scores: Floats, background: int = -1) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the best score [N] of each row [N, C], and the class [N] that has it.

    Args:
        scores: float32 [N, C].
        background: class that does not count; -1 for none.
    """
    if not scores.size:
        return np.zeros(len(scores), np.float32), np.zeros(len(scores), np.int64)
    if 0 <= background < scores.shape[1]:
        scores = scores.copy()
        scores[:, background] = -np.inf
    classes = scores.argmax(axis=1)
    return scores[np.arange(len(scores)), classes], classes.astype(np.int64)


def likeliest(
    rows: npt.NDArray[np.intp], scores: npt.NDArray[np.floating], most: int
) -> npt.NDArray[np.intp]:
    """Return rows, or those of the highest scores where there are more than ``most``.

    A network that reads garbage can find thousands of candidates; what follows has to stay cheap.
    """
    if len(rows) <= most:
        return rows
    return rows[np.argpartition(-scores[rows], most)[:most]]
