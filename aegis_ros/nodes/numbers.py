"""The shape that plain numbers of a message have."""

from __future__ import annotations

import math

from aegis_ros.errors import InputError

__all__ = ["numbers_shape"]


def numbers_shape(
    extents: tuple[int, ...], count: int, largest: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the shape of the numbers in a message.

    A message that declares no dimensions brings the largest shape, or, of rank 1, what there is.

    Args:
        extents: as the message declares them; empty for not at all.
        count: how many numbers there are.
        largest: the declared shape (``input.shape``).

    Raises:
        InputError: they do not fit.
    """
    shape = extents or (largest if len(largest) > 1 else (count,))
    fits = len(shape) == len(largest) and all(
        0 < extent <= most for extent, most in zip(shape, largest, strict=True)
    )
    if not fits or math.prod(shape) != count:
        raise InputError(
            f"the message brings {count} numbers of shape {list(shape)}",
            where="data",
            value=list(extents) or count,
            expected=f"the shape {list(largest)}, or less in each extent",
            hint="Fill layout.dim, or correct the task's input.shape",
        )
    return shape
