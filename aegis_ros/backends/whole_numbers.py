"""Whether outputs of whole numbers (labels, places, masks) are those of a frame.

A whole number may jump at the least difference: the larger of two nearly equal scores decides a
label. Such elements are found on the reference alone, which is run on each frame with all of its
values a little higher or lower as well: an element that changes then is a near tie, and says
nothing. Of the others, nine in ten have to be those of the reference, and of those in which two
frames differ, more than half: an executor that returns the results of another frame has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays

__all__ = ["WholeNumbers", "apart", "is_whole", "nearly"]

_Array = npt.NDArray[np.generic]

_EQUAL = 0.9  # of what is no near tie, at least
_OWN = 0.5  # of what two frames differ in, more than
_TWICE = 2
_LITTLE = 0.004  # of a frame's largest number: one grey level in 255


def is_whole(values: _Array) -> bool:
    """Return whether an output has whole numbers, or truth values."""
    return values.dtype.kind in "iub"


def apart(one: _Array, other: _Array) -> float:
    """Return which share of the elements differs."""
    return float(np.mean(one != other)) if one.size else 0.0


def nearly(frames: Arrays) -> list[list[_Array]]:
    """Return frames that differ from one by the least that makes a difference, at random.

    Args:
        frames: what is fed at once, one an input.
    """
    found: list[list[_Array]] = []
    for turn in range(_TWICE):
        chance = np.random.default_rng(turn)
        found.append([_changed(frame, chance) for frame in frames])
    return found


class WholeNumbers:
    """One output of whole numbers, as the reference has it for several frames.

    Args:
        name: of the output.
        results: by frame.
        close: by frame, the same for frames that are nearly that one.
    """

    def __init__(
        self, name: str, results: Mapping[int, _Array], close: Mapping[int, Sequence[_Array]]
    ) -> None:
        """Find the elements that are no near ties."""
        self._name = name
        self._results = results
        self._firm = {
            at: np.logical_and.reduce([_same(own, each) for each in close[at]])
            for at, own in results.items()
        }

    def problem(self, at: int, found: _Array) -> str:
        """Return what speaks against what was found for a frame, or nothing."""
        own, firm = self._results[at], self._firm[at]
        equal = found == own
        kept = int(firm.sum())
        right = int((equal & firm).sum())
        if right < _EQUAL * kept:
            return (
                f"output {self._name!r} has {kept - right} of {kept} whole numbers that are not "
                f"ONNX Runtime's, near ties left out, and {1 - _EQUAL:.0%} is tolerated"
            )
        for other, values in self._results.items():
            telling = firm & self._firm[other] & (own != values)
            if telling.any() and not float(np.mean(equal[telling])) > _OWN:
                return (
                    f"output {self._name!r} does not follow the frame: of {int(telling.sum())} "
                    "whole numbers in which ONNX Runtime's results of two frames differ, "
                    f"{int((equal & telling).sum())} are those of this one"
                )
        return ""


def _same(own: _Array, other: _Array) -> npt.NDArray[np.bool_]:
    if own.shape != other.shape:
        return np.zeros(own.shape, np.bool_)
    return np.asarray(own == other)


def _changed(frame: _Array, chance: np.random.Generator) -> _Array:
    if frame.dtype == np.uint8:
        moved = frame.astype(np.int16) + chance.choice((-1, 1), frame.shape)
        return np.asarray(np.clip(moved, 0, 255), np.uint8)
    if frame.dtype.kind != "f":
        return frame
    little = _LITTLE * float(np.max(np.abs(frame), initial=0.0))
    moved = frame.astype(np.float64) + chance.uniform(-little, little, frame.shape)
    return np.asarray(moved, frame.dtype)
