"""Follows the results of each task after a fault: since when they come, and come in time."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Recovery"]

_GAP = 1.5  # periods between two results, from which on a frame in between had none


class Recovery:
    """Knows the first good result of each task, and since when all of them have been good.

    Good is a result in time of a frame that came after the fault.

    Args:
        periods_ns: of each task.
        since_ns: when the fault was over: frames that were received before do not count.
    """

    def __init__(self, periods_ns: Mapping[str, int], since_ns: int) -> None:
        """Know no result yet."""
        self._periods_ns = periods_ns
        self._since_ns = since_ns
        self._first_ns: dict[str, int] = {}
        self._steady_ns: dict[str, int] = {}
        self._last_ns: dict[str, int] = {}

    def note(self, name: str, received_ns: int, published_ns: int, *, good: bool) -> None:
        """Take one result.

        Args:
            name: of the task.
            received_ns: when its frame was received.
            published_ns: when it was published.
            good: whether in time, measured from the stamp of its frame.
        """
        if received_ns < self._since_ns:
            return
        if not good:
            self._steady_ns.pop(name, None)
            return
        self._first_ns.setdefault(name, published_ns)
        gap_ns = received_ns - self._last_ns.get(name, received_ns)
        if name not in self._steady_ns or gap_ns > _GAP * self._periods_ns[name]:
            self._steady_ns[name] = published_ns
        self._last_ns[name] = received_ns

    def first_ns(self, name: str) -> int:
        """Return when a task had its first good result; 0 for none yet."""
        return self._first_ns.get(name, 0)

    def all_first(self) -> bool:
        """Return whether every task has had one."""
        return self._first_ns.keys() >= self._periods_ns.keys()

    def steady_ns(self, now_ns: int, for_ns: int) -> int:
        """Return since when every task has given a good result for each frame.

        Args:
            now_ns: now.
            for_ns: how long that must have been; 0 is returned for a shorter time.
        """
        if not self._steady_ns.keys() >= self._periods_ns.keys():
            return 0
        since_ns = max(self._steady_ns.values())
        fresh = all(
            now_ns - self._last_ns[name] < max(for_ns, 2 * period_ns)
            for name, period_ns in self._periods_ns.items()
        )
        return since_ns if fresh and now_ns - since_ns >= for_ns else 0
