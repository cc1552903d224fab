"""Makes the frames of one topic ready on a thread of its own, so that others need not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Unpacker"]

Item = TypeVar("Item")


class Unpacker(Generic[Item]):
    """Makes one item ready at a time, in their order; one more waits, and a newer one replaces it.

    Each item that was put ends once: by what ``work`` returned, by ``merged`` or ``dropped``.
    Items are put, and :attr:`idle` is asked, by one thread.

    Args:
        work: makes an item ready and returns what ends it. That is called unless the unpacker was
            closed meanwhile: then with false, to give back what the item holds.
        merged: called with an item that waits and a newer one; ends the first and returns what
            waits from then on.
        dropped: called with an item that had not ended when the unpacker was closed.
        failed: called with what ``work`` or what it returned raised; the next item goes on. What
            raises has to end its item itself.
    """

    def __init__(
        self,
        work: Callable[[Item], Callable[[bool], None]],
        merged: Callable[[Item, Item], Item],
        dropped: Callable[[Item], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Begin without a thread: it comes with the first item.

        It then inherits the processor cores of the thread that brings it.
        """
        self._work = work
        self._merged = merged
        self._dropped = dropped
        self._failed = failed
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._waiting: Item | None = None
        self._current: Item | None = None
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether every item that was put has ended."""
        # In this order: an item is current before it waits no more.
        return self._waiting is None and self._current is None

    def put(self, item: Item) -> None:
        """Have an item made ready after the one that is under way."""
        with self._news:
            closed = self._closed
            if not closed:
                before = self._waiting
                self._waiting = item if before is None else self._merged(before, item)
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="unpack", daemon=True)
                    thread.start()
                    self._thread = thread
                self._news.notify()
        if closed:
            self._dropped(item)

    def do(self, item: Item) -> None:
        """Make an item ready on the thread that calls, which has all others wait; while idle."""
        self._work(item)(True)

    def close(self) -> None:
        """Drop what has not ended, and let nothing end after this; does not wait for the thread."""
        with self._news:
            self._closed = True
            unfinished = (self._current, self._waiting)
            self._current = self._waiting = None
            self._news.notify()
        for item in unfinished:
            if item is not None:
                self._dropped(item)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread of a closed unpacker; return whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or self._waiting is not None)
                if self._closed:
                    return
                item = self._current = self._waiting
                self._waiting = None
            assert item is not None
            self._make_ready(item)
            item = None  # what it holds is not kept until the next one comes

    def _make_ready(self, item: Item) -> None:
        end: Callable[[bool], None] | None = None
        try:
            end = self._work(item)
        except Exception as error:  # one item must never end the thread of all that follow
            self._failed(error)
        with self._news:  # so that nothing ends once `close` has returned, and nothing twice
            try:
                if end is not None:
                    end(not self._closed)
            except Exception as error:
                self._failed(error)
            finally:
                self._current = None
