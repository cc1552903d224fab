"""Numbers that are none (NaN, infinite): kept from a network as declared, and seen in its outputs.

What is as large as a frame is allocated once, except for the points that are moved together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import InputError
from aegis_ros.orchestrator import Stream
from aegis_ros.spec import FrameFormat, Invalid

__all__ = ["Cleaner", "not_finite"]

_Array = npt.NDArray[np.generic]
_ALL_FOUR = 0x01010101  # four booleans that are true, as one number


class Cleaner:
    """Cleans the frames of one stream; used by one thread at a time.

    Args:
        stream: float32 frames, and what is to become of numbers that are none.
    """

    def __init__(self, stream: Stream) -> None:
        """Allocate what the largest frame needs."""
        self._invalid = stream.invalid
        self._points = stream.format is FrameFormat.POINTS4F
        self._finite = np.empty(math.prod(stream.max_shape), np.bool_)
        self._whole = np.empty(stream.max_shape[0] if self._points else 0, np.bool_)

    def clean(self, frame: _Array) -> tuple[_Array, int]:
        """Return the frame as the network may have it, and how much of it was no number.

        Args:
            frame: float32, C-contiguous; changed in place. [N, 4] for points, of which one that
                has a number too few counts as a whole.

        Returns:
            A view of the same memory, with fewer points where some are left out.

        Raises:
            InputError: no point is left.
        """
        return self._clean_points(frame) if self._points else self._clean_numbers(frame)

    def _clean_numbers(self, frame: _Array) -> tuple[_Array, int]:
        finite = self._finite[: frame.size].reshape(frame.shape)
        np.isfinite(frame, out=finite)
        count = frame.size - int(np.count_nonzero(finite))
        if count and self._invalid is Invalid.ZERO:
            _zero_unless(finite, frame)
        return frame, count

    def _clean_points(self, frame: _Array) -> tuple[_Array, int]:
        points = frame.shape[0]
        finite = self._finite[: frame.size].reshape(frame.shape)
        np.isfinite(frame, out=finite)
        whole = self._whole[:points]
        np.equal(finite.view(np.uint32)[:, 0], _ALL_FOUR, out=whole)
        left = int(np.count_nonzero(whole))
        if left == points or self._invalid is Invalid.KEEP:
            return frame, points - left
        if self._invalid is Invalid.ZERO:
            _zero_unless(whole[:, None], frame)
            return frame, points - left
        if left == 0:
            raise InputError(
                "no point is left",
                where="data",
                value=f"{points} points with NaN or infinite coordinates",
                expected="at least one point of finite numbers",
                hint="Check the sensor, or declare invalid: zero or keep",
            )
        rows = frame.view(np.complex128)[:, 0]  # a point each: 16 bytes that are moved at once
        rows[:left] = rows[whole]
        return frame[:left], points - left


def not_finite(outputs: Mapping[str, _Array]) -> tuple[str, ...]:
    """Return the names of the outputs that hold NaN or infinite numbers."""
    return tuple(
        name
        for name, values in outputs.items()
        if values.dtype.kind == "f" and not _is_finite(values)
    )


def _is_finite(values: _Array) -> bool:
    # One pass and no temporary: a sum is finite only where all of its terms are. One that is not
    # may be of large numbers.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(values, dtype=np.result_type(values.dtype, np.float32))
    return bool(np.isfinite(total)) or bool(np.isfinite(values).all())


def _zero_unless(keep: npt.NDArray[np.bool_], frame: _Array) -> None:
    """Set numbers to 0 by their bits, since NaN times 0 is NaN."""
    bits = frame.view(np.int32)
    np.multiply(bits, keep, out=bits)
