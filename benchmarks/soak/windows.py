"""The windows of the faults: from an injection until the state is good again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.soak.faults import Kind

__all__ = ["Window", "in_windows", "near_stops"]


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


_AFTER_NS = 1_000_000_000  # a job that was stopped overran its budget, and its task repays that


def near_stops(
    begin_ns: npt.NDArray[np.int64], length_ns: int, stopped: npt.NDArray[np.void]
) -> npt.NDArray[np.bool_]:
    """Return which intervals touch a standstill of the machine, or the second after it.

    Args:
        begin_ns: where they begin, shape (N,).
        length_ns: of each.
        stopped: dtype :data:`~benchmarks.soak.ledger.STOPPED`, in their order, shape (M,).
    """
    if not len(stopped):
        return np.zeros(len(begin_ns), np.bool_)
    begin, end = stopped["at_ns"], stopped["at_ns"] + stopped["for_ns"] + _AFTER_NS
    # The last one that begins before the interval ends.
    last = np.searchsorted(begin, begin_ns + length_ns, side="right") - 1
    near: npt.NDArray[np.bool_] = (last >= 0) & (end[last] >= begin_ns)
    return near


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
