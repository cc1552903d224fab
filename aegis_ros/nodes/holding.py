"""Keeps finished messages until they are due, on a thread of its own."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Held", "Holder"]

Item = TypeVar("Item")


class Held(Generic[Item]):
    """Items that wait for their time, at most so many of each owner. Not for several threads.

    The items of one owner leave in the order in which they came: one that is due before its
    predecessor leaves right behind it.

    Args:
        most: items of one owner that are kept.
    """

    def __init__(self, most: int) -> None:
        """Keep nothing yet."""
        self._most = most
        self._heap: list[tuple[int, int, int, Item]] = []  # due, number, owner, item
        self._next = 0
        self._counts: Counter[int] = Counter()
        self._last_due_ns: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._heap)

    def put(self, owner: int, due_ns: int, item: Item) -> bool:
        """Keep an item; False where too many of its owner are kept already."""
        if self._counts[owner] >= self._most:
            return False
        due_ns = max(due_ns, self._last_due_ns.get(owner, due_ns))
        self._last_due_ns[owner] = due_ns
        self._counts[owner] += 1
        heapq.heappush(self._heap, (due_ns, self._next, owner, item))
        self._next += 1
        return True

    def next_ns(self) -> int | None:
        """Return when the next item is due; ``None`` where none is kept."""
        return self._heap[0][0] if self._heap else None

    def take(self, now_ns: int) -> tuple[int, Item] | None:
        """Return (owner, item) of the item that is due first, or ``None`` where none is yet."""
        if not self._heap or self._heap[0][0] > now_ns:
            return None
        _, _, owner, item = heapq.heappop(self._heap)
        self._left(owner, 1)
        return owner, item

    def forget(self, owner: int) -> list[Item]:
        """Drop the items of an owner; return them."""
        dropped = [entry[3] for entry in self._heap if entry[2] == owner]
        self._heap = [entry for entry in self._heap if entry[2] != owner]
        heapq.heapify(self._heap)
        self._left(owner, len(dropped))
        return dropped

    def clear(self) -> list[Item]:
        """Drop everything; return it."""
        dropped = [entry[3] for entry in self._heap]
        self._heap.clear()
        self._counts.clear()
        self._last_due_ns.clear()
        return dropped

    def _left(self, owner: int, count: int) -> None:
        self._counts[owner] -= count
        if self._counts[owner] <= 0:
            del self._counts[owner]
            # Nothing of it is kept, so that nothing can be overtaken.
            self._last_due_ns.pop(owner, None)


class Holder(Generic[Item]):
    """Sends items when they are due, from a thread that does nothing else.

    Args:
        send: called with each item in the order in which they are due; must not raise.
        most: items of one owner that are kept.
        clock: monotonic nanoseconds.
    """

    def __init__(
        self,
        send: Callable[[Item], None],
        most: int,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Begin without a thread: it comes with the first item."""
        self._send = send
        self._clock = clock
        self._held: Held[Item] = Held(most)
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._sending: int | None = None

    def put(self, owner: int, due_ns: int, item: Item) -> bool:
        """Keep an item until it is due; False where it cannot be kept."""
        with self._news:
            if self._closed or not self._held.put(owner, due_ns, item):
                return False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hold", daemon=True)
                self._thread.start()
            self._news.notify_all()
            return True

    def forget(self, owner: int) -> list[Item]:
        """Drop what is kept of an owner, return it; nothing of it is sent after this."""
        with self._news:
            dropped = self._held.forget(owner)
            # Sending is handing to the middleware and ends soon; never waited for within itself.
            if threading.current_thread() is not self._thread:
                self._news.wait_for(lambda: self._sending != owner, timeout=1.0)
            return dropped

    def close(self) -> list[Item]:
        """Drop what is kept, return it, and end the thread."""
        with self._news:
            self._closed = True
            dropped = self._held.clear()
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        return dropped

    def _run(self) -> None:
        while True:
            with self._news:
                taken = self._await()
                if taken is None:
                    return
                self._sending, item = taken
            try:
                self._send(item)
            finally:
                with self._news:
                    self._sending = None
                    self._news.notify_all()

    def _await(self) -> tuple[int, Item] | None:
        while not self._closed:
            now = self._clock()
            taken = self._held.take(now)
            if taken is not None:
                return taken
            due = self._held.next_ns()
            self._news.wait(None if due is None else (due - now) / 1e9)
        return None
