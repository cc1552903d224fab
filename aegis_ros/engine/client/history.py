"""Remembers crashes of the engine, to distinguish chance from a task that causes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

__all__ = ["GIVE_UP_LOSSES", "GIVE_UP_WITHIN_NS", "CrashHistory"]

GIVE_UP_WITHIN_NS = 60_000_000_000
_BLAME_WINDOW_NS = 600_000_000_000
GIVE_UP_LOSSES = 5
_CRASHES_TO_QUARANTINE = 3
_FIRST_DELAY_NS = 100_000_000
_LONGEST_DELAY_NS = 2_000_000_000


class CrashHistory:
    """Crashes within the last minutes. No clock, no I/O: times come in.

    An engine that was killed from outside says nothing about the tasks that ran: it is counted
    nowhere. A task that was running at three crashes within ten minutes is quarantined; its
    crashes then no longer count, so that the others go on. Five crashes within a minute that are
    not explained so end it.
    """

    def __init__(self) -> None:
        """Remember nothing."""
        self._crashes: deque[tuple[int, frozenset[int]]] = deque()
        self._quarantined: set[int] = set()

    @property
    def quarantined(self) -> frozenset[int]:
        """Ids of the tasks that must not be loaded again."""
        return frozenset(self._quarantined)

    def note(self, now_ns: int, suspects: Sequence[int]) -> tuple[int, ...]:
        """Note a crash while ``suspects`` ran; return the ids that are quarantined by it."""
        self._crashes.append((now_ns, frozenset(suspects)))
        while now_ns - self._crashes[0][0] > _BLAME_WINDOW_NS:
            self._crashes.popleft()
        guilty = tuple(
            task
            for task in sorted(set(suspects) - self._quarantined)
            if sum(task in running for _, running in self._crashes) >= _CRASHES_TO_QUARANTINE
        )
        self._quarantined.update(guilty)
        return guilty

    def hopeless(self, now_ns: int) -> bool:
        """Return whether it crashes for no reason that could be taken away."""
        return self._recent(now_ns) >= GIVE_UP_LOSSES

    def delay_ns(self, now_ns: int) -> int:
        """Return how long to wait before the next start: nothing after a first crash."""
        recent = self._recent(now_ns)
        if recent <= 1:
            return 0
        return int(min(_FIRST_DELAY_NS << (recent - 2), _LONGEST_DELAY_NS))

    def start_over(self) -> None:
        """Forget all crashes; tasks that are quarantined stay so."""
        self._crashes.clear()

    def forget(self, task_id: int) -> None:
        """Give a task that was unloaded a new chance under the same id."""
        self._quarantined.discard(task_id)
        self._crashes = deque((time_ns, running - {task_id}) for time_ns, running in self._crashes)

    def _recent(self, now_ns: int) -> int:
        return sum(
            now_ns - time_ns <= GIVE_UP_WITHIN_NS and not running & self._quarantined
            for time_ns, running in self._crashes
        )
