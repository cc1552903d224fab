"""Searches for the smallest value that a test passes with."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["smallest"]


def smallest(low: int, high: int, good: Callable[[int], bool]) -> int | None:
    """Return the smallest value in (low, high] that is good, where all above it are."""
    if not good(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if good(middle):
            high = middle
        else:
            low = middle
    return high
