"""The windows of the faults: from an injection until the state is good again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.soak.faults import Kind

__all__ = ["Window", "in_windows"]


@dataclass(frozen=True, slots=True)
class Window:
    """One fault that was injected; times on the wall clock.

    Attributes:
        kind: what was done.
        begin_ns: when.
        end_ns: when the state was good again: the result, in time, of a frame that came after the
            fault, of the last task that had one.
        urgent_ns: the same of the most urgent task.
        good: whether that happened within the patience; else ``end_ns`` is when it ended.
        note: what else was seen.
    """

    kind: Kind
    begin_ns: int
    end_ns: int
    urgent_ns: int
    good: bool = True
    note: str = ""

    @property
    def length_ms(self) -> float:
        """How long until all was good again."""
        return (self.end_ns - self.begin_ns) / 1e6

    @property
    def urgent_ms(self) -> float:
        """How long until the most urgent task had a result."""
        return (self.urgent_ns - self.begin_ns) / 1e6


def in_windows(
    begin_ns: npt.NDArray[np.int64], length_ns: int, windows: Iterable[Window]
) -> npt.NDArray[np.bool_]:
    """Return which intervals touch a window.

    Args:
        begin_ns: where they begin, shape (N,).
        length_ns: of each.
        windows: in any order.
    """
    found = np.zeros(len(begin_ns), np.bool_)
    for each in windows:
        found |= (begin_ns <= each.end_ns) & (begin_ns + length_ns >= each.begin_ns)
    return found
