"""Says in a few words which request has its turn, how far it is, and how many wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["RequestView", "progress_line"]

_DOES = {"preparing": "preparing", "measuring": "measuring", "loading": "loading"}
_FOR = {"evaluate": " (what if)", "profile": " (on request)"}


class RequestView(Protocol):
    """A request that takes long: ``AdmissionStatus.msg``, and what the library has for it."""

    @property
    def task(self) -> str:
        """Name of the task."""
        ...

    @property
    def request(self) -> str:
        """What is asked for."""
        ...

    @property
    def stage(self) -> str:
        """How far it is; ``waiting`` for one that has not begun."""
        ...

    @property
    def done(self) -> int:
        """Runs measured."""
        ...

    @property
    def total(self) -> int:
        """Runs to measure; 0 in other stages."""
        ...


def progress_line(requests: Sequence[RequestView], ended: int = 0) -> str:
    """Return what is done now: ``3 of 6: measuring text_detector, 40%``; empty for nothing.

    Args:
        requests: all that are there, in their order.
        ended: how many have ended since there was none.
    """
    busy = next((each for each in requests if each.stage in _DOES), None)
    if busy is None:
        return ""
    text = f"{_DOES[busy.stage]} {busy.task}{_FOR.get(busy.request, '')}"
    if busy.total:
        text += f", {busy.done / busy.total:.0%}"
    count = ended + len(requests)
    if count == 1:
        return text
    place = ended + next(at for at, each in enumerate(requests) if each is busy) + 1
    return f"{place} of {count}: {text}"
