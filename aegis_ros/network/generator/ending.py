"""Why the answer of a language model ended."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Ending"]


class Ending(StrEnum):
    """Why an answer ended."""

    END = "end"  # the model ended it
    STOP = "stop"  # a text was found at which it is to stop
    LENGTH = "length"  # it has as many tokens as were asked for
    CONTEXT = "context"  # the context is full
    CANCELLED = "cancelled"  # whoever asked wants no more of it
    FAILED = "failed"  # it cannot be computed
    LOST = "lost"  # the engine was lost, or not there
    REMOVED = "removed"  # the model was unloaded, or the engine stopped
