"""Counts the messages of a topic that newer ones replaced before the node took them."""

from __future__ import annotations

import threading
from collections.abc import Mapping

__all__ = ["Overtaken"]

_NUMBER = "publication_sequence_number"


class Overtaken:
    """Follows the numbers that the one publisher of a topic gives to its messages.

    The middleware keeps the newest message only, and says nothing of those that it replaces. A gap
    in their numbers does; what was lost in transport leaves one as well, but is counted elsewhere.
    With several publishers nobody can say whose number a message has: then nothing is counted.

    One thread notes what comes, another one asks: each sees all of what the other did, or nothing.
    """

    __slots__ = ("_before", "_last", "_lock", "_lost", "_missing", "_publishers", "_reported")

    def __init__(self) -> None:
        """Know no message."""
        self._lock = threading.Lock()
        self._last = 0
        self._missing = 0
        self._lost = 0
        self._before = 0  # what was missing when it was asked last
        self._reported = 0
        self._publishers = 0

    @property
    def total(self) -> int:
        """How many were replaced, as far as it was reported."""
        return self._reported

    def note(self, info: Mapping[str, object] | None) -> None:
        """Note a message that was taken; ``info`` is what the middleware says of it."""
        number = None if info is None else info.get(_NUMBER)
        if not isinstance(number, int):
            return
        with self._lock:
            if 0 < self._last < number:
                self._missing += number - self._last - 1
            self._last = number

    def lose(self, count: int) -> None:
        """Note messages that never arrived."""
        with self._lock:
            self._lost += count

    def take(self, publishers: int) -> int:
        """Return how many were replaced until the last call, and not returned yet.

        What came since then waits: a loss in transport is told after the message behind it, and a
        second publisher may have been heard before it was known.

        Args:
            publishers: how many the topic has now.
        """
        with self._lock:
            missing, before = self._missing, self._before
            alone = publishers == 1 == self._publishers
            self._publishers = publishers
            if not alone:  # whatever was missing says nothing
                self._last = 0
                self._lost = missing - self._reported
                self._before = missing
                return 0
            self._before = missing
            found = max(0, before - self._lost - self._reported)
            self._reported += found
            return found
