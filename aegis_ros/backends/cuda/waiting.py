"""How a lane's thread waits for what it has put on a stream: asleep, spinning, or in turn.

Sleeping frees the core, and costs the driver's interrupt and a wake-up at the end of every segment.
Spinning is left to the driver, which does it without the interpreter's lock: a loop in Python that
asked again and again would take that lock from the engine's other threads each time.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Protocol

from aegis_ros.backends.cuda.driver import CudaDriver
from aegis_ros.spec import Wait

__all__ = ["Past", "Waiting", "waiting"]

_REMEMBERED = 64  # waits after which extremes of those before are dropped, step by step
_EARLY_NS = 150_000  # by how much a timer may be late on a busy machine
_WORTH_NS = 1_000_000  # most spinning that one wake-up, some 40 us, is worth


class Past:
    """How long the last waits for one segment took: at least 64 of them, at most 128.

    Attributes:
        nap_ns: what each of them took, less what a timer may be late; ``None`` while too little is
            known, and where they differ by more than spinning is worth.
    """

    __slots__ = ("_before", "_count", "_least", "_most", "nap_ns")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.nap_ns: int | None = None
        self._count = 0
        self._least = self._most = 0  # of this block of waits
        self._before: tuple[int, int] | None = None  # those of the block before

    def note(self, taken_ns: int) -> None:
        """Take in one wait."""
        if not self._count:
            self._least = self._most = taken_ns
        elif taken_ns < self._least:
            self._least = taken_ns
        elif taken_ns > self._most:
            self._most = taken_ns
        self._count += 1
        if self._before is not None:
            least, most = self._before
            self._plan(min(least, self._least), max(most, self._most))
        if self._count == _REMEMBERED:
            self._before = self._least, self._most
            self._count = 0
            self._plan(*self._before)

    def _plan(self, least: int, most: int) -> None:
        nap = max(0, least - _EARLY_NS)
        self.nap_ns = nap if most - nap <= _WORTH_NS else None


class Waiting(Protocol):
    """One lane's way to wait; used by one thread at a time."""

    def behind(self, stream: int, past: Past) -> None:
        """Wait until all that is on a stream has ended.

        Args:
            stream: of the lane, or of a network on it.
            past: earlier waits for the same segment; this one is added where it matters.

        Raises:
            CudaError: as the driver says.
        """
        ...


class _Throughout:
    """Waits for an event that sleeps, or for one that spins."""

    def __init__(self, driver: CudaDriver, event: int) -> None:
        self._driver = driver
        self._event = event

    def behind(self, stream: int, past: Past) -> None:
        self._driver.record(self._event, stream)
        self._driver.synchronize(self._event)


class _Towards:
    """Sleeps by a timer through what a segment always took, and spins in the driver for the rest.

    Where waits for a segment differ too much, or are new, it sleeps in the driver.
    """

    def __init__(self, driver: CudaDriver, *, asleep: int, spinning: int) -> None:
        self._driver = driver
        self._asleep = asleep
        self._spinning = spinning

    def behind(self, stream: int, past: Past) -> None:
        nap_ns = past.nap_ns
        event = self._asleep if nap_ns is None else self._spinning
        self._driver.record(event, stream)
        since = time.monotonic_ns()
        if nap_ns:
            time.sleep(nap_ns / 1e9)
        self._driver.synchronize(event)
        past.note(time.monotonic_ns() - since)


def waiting(driver: CudaDriver, wait: Wait | None, undo: ExitStack) -> Waiting:
    """Return a lane's way to wait.

    Args:
        driver: the GPU, attached to this thread.
        wait: as the lane is to be opened.
        undo: given what takes the events back.

    Raises:
        CudaError: as the driver says.
    """

    def event(*, spins: bool) -> int:
        made = driver.create_event(spins=spins)
        undo.callback(driver.destroy_event, made)
        return made

    if wait is Wait.AUTO:
        return _Towards(driver, asleep=event(spins=False), spinning=event(spins=True))
    return _Throughout(driver, event(spins=wait is Wait.SPIN))
