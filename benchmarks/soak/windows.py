"""The windows of the faults: from an injection until the state is good again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

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
            fault, of the last task that had one. After a fault that ends a process, or stops one
            that sends: of the results with which every task's began to come in time without a gap.
        urgent_ns: the same of the most urgent task.
        good: whether that happened within the patience; else ``end_ns`` is when it ended.
        note: what else was seen.
        first_ns: when every task had had its first result in time; 0 in runs before there was a
            difference to ``end_ns``.
    """

    kind: Kind
    begin_ns: int
    end_ns: int
    urgent_ns: int
    good: bool = True
    note: str = ""
    first_ns: int = 0

    @property
    def first(self) -> Window:
        """The same fault, as if all had been good with the first result of every task."""
        return replace(self, end_ns=self.first_ns or self.end_ns)

    @property
    def length_ms(self) -> float:
        """How long until all was good again."""
        return (self.end_ns - self.begin_ns) / 1e6

    @property
    def urgent_ms(self) -> float:
        """How long until the most urgent task had a result."""
        return (self.urgent_ns - self.begin_ns) / 1e6


def near_stops(
    begin_ns: npt.NDArray[np.int64],
    length_ns: int,
    stopped: npt.NDArray[np.void],
    repaid: float = 0.0,
) -> npt.NDArray[np.bool_]:
    """Return which intervals touch a standstill of the machine, or what follows from one.

    A job that is stopped overruns its budget, and its task repays that with its next frames.

    Args:
        begin_ns: where they begin, shape (N,).
        length_ns: of each.
        stopped: dtype :data:`~benchmarks.soak.ledger.STOPPED`, in their order, shape (M,).
        repaid: for how long a standstill is repaid, in its own lengths.
    """
    if not len(stopped):
        return np.zeros(len(begin_ns), np.bool_)
    begin = stopped["at_ns"]
    end = begin + (stopped["for_ns"] * (1.0 + repaid)).astype(np.int64)
    latest = np.maximum.accumulate(end)  # a long one may outlast those that come after it
    # The last one that begins before the interval ends.
    last = np.searchsorted(begin, begin_ns + length_ns, side="right") - 1
    near: npt.NDArray[np.bool_] = (last >= 0) & (latest[last] >= begin_ns)
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
