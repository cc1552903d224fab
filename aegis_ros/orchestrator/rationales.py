"""Numbers decisions, keeps the last thousand, and folds equal events into one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from aegis_ros.rationale import Decision, Rationale, Reason, Rule
from aegis_ros.rationale.printable import printable
from aegis_ros.rationale.wording import sentence

__all__ = ["RationaleLog"]

_KEPT = 1000
_FOLD_NS = 10_000_000_000
# Fields that a rationale takes over from reasons that have them.
_SHARED = (
    "task",
    "job",
    "lane",
    "utilization_before",
    "utilization_after",
    "witness",
    "responses",
    "counterfactuals",
)

_Key = tuple[str, Decision, Rule]


class RationaleLog:
    """The record of decisions; safe to use from several threads.

    Args:
        publish: called with every rationale, in order; nobody by default.
    """

    def __init__(self, publish: Callable[[Rationale], None] = lambda rationale: None) -> None:
        """Begin with number 1."""
        self._publish = publish
        self._lock = threading.RLock()
        self._next = 1
        self._kept: deque[Rationale] = deque(maxlen=_KEPT)
        self._reported_ns: dict[_Key, int] = {}
        self._folded: dict[_Key, tuple[Reason, int, int]] = {}  # the latest, how many, related

    def publish_to(self, publish: Callable[[Rationale], None]) -> None:
        """From now on, call this with every rationale; numbers go on."""
        with self._lock:
            self._publish = publish

    def make(self, reason: Reason, *, count: int = 1, related: int = 0) -> Rationale:
        """Return a numbered rationale without putting it on record (what-if answers).

        Args:
            reason: of the decision.
            count: how many equal events it stands for.
            related: id of an earlier rationale this one follows from, 0 for none.
        """
        with self._lock:
            number = self._next
            self._next += 1
        tested = reason.tested()
        shared: dict[str, Any] = {
            name: getattr(reason, name) for name in _SHARED if hasattr(reason, name)
        }
        return Rationale(
            id=number,
            time_ns=time.time_ns(),
            decision=reason.decision,
            rule=reason.rule,
            sentence=sentence(reason),
            left=tested.left,
            relation=tested.relation,
            right=tested.right,
            unit=tested.unit,
            count=count,
            related=related,
            reason=reason,
            **{**shared, "task": printable(shared.get("task", ""))},
        )

    def report(self, reason: Reason, *, count: int = 1, related: int = 0) -> Rationale:
        """Put a decision on record and publish it; arguments as for :meth:`make`."""
        return self.record(self.make(reason, count=count, related=related))

    def record(self, rationale: Rationale) -> Rationale:
        """Put a rationale on record and publish it."""
        with self._lock:
            self._kept.append(rationale)
            self._publish(rationale)
        return rationale

    def report_often(self, reason: Reason, *, count: int = 1, related: int = 0) -> None:
        """Report an event that may come with every frame: one record in ten seconds at most.

        Args:
            reason: of the event; the latest one of a record is the one that is published.
            count: how many equal events it stands for.
            related: id of an earlier rationale this one follows from, 0 for none.
        """
        key = (getattr(reason, "task", ""), reason.decision, reason.rule)
        now = time.monotonic_ns()
        with self._lock:
            _, waiting, _ = self._folded.pop(key, (reason, 0, 0))
            if now - self._reported_ns.get(key, -_FOLD_NS) >= _FOLD_NS:
                self._reported_ns[key] = now
                self.report(reason, count=count + waiting, related=related)
            else:
                self._folded[key] = (reason, count + waiting, related)

    def flush(self, *, everything: bool = False) -> None:
        """Publish events that were folded and whose ten seconds have passed, or all of them."""
        now = time.monotonic_ns()
        with self._lock:
            due = [
                key
                for key in self._folded
                if everything or now - self._reported_ns.get(key, 0) >= _FOLD_NS
            ]
            for key in due:
                self._reported_ns[key] = now
                self._report_folded(key)

    def forget(self, task: str) -> None:
        """Publish what was folded of a task that goes, and keep nothing of it."""
        with self._lock:
            for key in [key for key in self._reported_ns if key[0] == task]:
                del self._reported_ns[key]
                if key in self._folded:
                    self._report_folded(key)

    def latest(self) -> tuple[Rationale, ...]:
        """Return the record, oldest first."""
        with self._lock:
            return tuple(self._kept)

    def _report_folded(self, key: _Key) -> None:
        reason, count, related = self._folded.pop(key)
        self.report(reason, count=count, related=related)
