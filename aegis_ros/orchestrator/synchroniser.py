"""Brings frames of several inputs together by their stamps; pure, and bounded in every queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Generic, TypeVar

__all__ = ["Dropped", "Matched", "Synchroniser", "Unmatched"]

_Frame = TypeVar("_Frame")
_ANEW_NS = 1_000_000_000


class Unmatched(Enum):
    """Why a frame becomes part of no set.

    ``SUPERSEDED``: a set of newer frames was complete, or the stamps began anew. ``OVERFLOWED``: it
    was the oldest of a full queue, and its partners had not arrived.
    """

    SUPERSEDED = "superseded"
    OVERFLOWED = "overflowed"


@dataclass(frozen=True, slots=True)
class Dropped(Generic[_Frame]):
    """A frame that is waited for no longer.

    Attributes:
        index: of its input.
        frame: itself.
        why: it was dropped.
        missing: indices of the inputs that have no frame within the tolerance of it, where its
            queue was full.
    """

    index: int
    frame: _Frame
    why: Unmatched
    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Matched(Generic[_Frame]):
    """What followed from one frame.

    Attributes:
        frames: a set, one frame an input in their order; ``None`` where none is complete yet.
        dropped: frames that can be part of no later set.
    """

    frames: tuple[_Frame, ...] | None
    dropped: tuple[Dropped[_Frame], ...]


class Synchroniser(Generic[_Frame]):
    """Waits for one frame of each input whose stamps lie within a tolerance.

    A set is given out as soon as it is complete: with the frame that arrives last. Of several
    sets it is the newest, the one whose earliest stamp is latest; whatever is not newer than it
    is dropped then or when it arrives, so that no later set is older in any input. Stamps that go
    back by more than a second (a bag that loops) begin anew. The same frames in the same order
    always give the same sets.

    Args:
        inputs: how many.
        tolerance_ns: longest time between the earliest and the latest stamp of a set.
        queue: how many frames of an input may wait.
    """

    def __init__(self, inputs: int, tolerance_ns: int, queue: int) -> None:
        """Wait for nothing yet."""
        self._tolerance_ns = tolerance_ns
        self._queue = queue
        # By input: (stamp, frame) in order of their stamps.
        self._waiting: list[list[tuple[int, _Frame]]] = [[] for _ in range(inputs)]
        self._given_ns: list[int | None] = [None] * inputs  # stamps of the last set

    def __iter__(self) -> Iterator[_Frame]:
        """Go through all frames that wait."""
        return (frame for _, frame in chain.from_iterable(self._waiting))

    def add(self, index: int, stamp_ns: int, frame: _Frame) -> Matched[_Frame]:
        """Take a frame of one input; return the set that it completes, and what is dropped."""
        before: tuple[Dropped[_Frame], ...] = ()
        own, given_ns = self._waiting[index], self._given_ns[index]
        newest_ns = own[-1][0] if own else given_ns
        if newest_ns is not None and newest_ns - stamp_ns > _ANEW_NS:
            before = self._begin_anew()
            own = self._waiting[index]
        elif given_ns is not None and stamp_ns < given_ns:
            return Matched(None, (Dropped(index, frame, Unmatched.SUPERSEDED),))
        place = len(own)
        while place and own[place - 1][0] > stamp_ns:
            place -= 1
        own.insert(place, (stamp_ns, frame))
        chosen = self._newest(index, place)
        if chosen is None:
            if len(own) > self._queue:
                oldest_ns, oldest = own.pop(0)
                missing = self._missing(index, oldest_ns)
                before += (Dropped(index, oldest, Unmatched.OVERFLOWED, missing),)
            return Matched(None, before)
        frames = tuple(waiting[at][1] for waiting, at in zip(self._waiting, chosen, strict=True))
        superseded = tuple(
            Dropped(number, older, Unmatched.SUPERSEDED)
            for number, (waiting, at) in enumerate(zip(self._waiting, chosen, strict=True))
            for _, older in waiting[:at]
        )
        for number, (waiting, at) in enumerate(zip(self._waiting, chosen, strict=True)):
            self._given_ns[number] = waiting[at][0]
            del waiting[: at + 1]
        return Matched(frames, before + superseded)

    def _begin_anew(self) -> tuple[Dropped[_Frame], ...]:
        dropped = tuple(
            Dropped(number, frame, Unmatched.SUPERSEDED)
            for number, waiting in enumerate(self._waiting)
            for _, frame in waiting
        )
        self._waiting = [[] for _ in self._waiting]
        self._given_ns = [None] * len(self._waiting)
        return dropped

    def _newest(self, index: int, place: int) -> list[int] | None:
        """Return places of the newest set that holds the frame that just arrived.

        No set was complete before it, so every set holds it.
        """
        stamp_ns = self._waiting[index][place][0]
        starts = {stamp_ns} | {
            stamp
            for waiting in self._waiting
            for stamp, _ in waiting
            if stamp_ns - self._tolerance_ns <= stamp < stamp_ns
        }
        for start in sorted(starts, reverse=True):
            chosen = [
                place if number == index else self._last_within(waiting, start)
                for number, waiting in enumerate(self._waiting)
            ]
            if all(at >= 0 for at in chosen):
                return chosen
        return None

    def _missing(self, index: int, stamp_ns: int) -> tuple[int, ...]:
        """Return the other inputs that have no frame within the tolerance of a stamp."""
        return tuple(
            number
            for number, waiting in enumerate(self._waiting)
            if number != index
            and not any(abs(stamp - stamp_ns) <= self._tolerance_ns for stamp, _ in waiting)
        )

    def _last_within(self, waiting: list[tuple[int, _Frame]], start: int) -> int:
        """Return the place of the newest frame stamped within the tolerance from a moment on."""
        for at in range(len(waiting) - 1, -1, -1):
            stamp = waiting[at][0]
            if stamp < start:
                return -1
            if stamp <= start + self._tolerance_ns:
                return at
        return -1
