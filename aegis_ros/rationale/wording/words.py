"""Turns what was decided into English: ``words`` finds the wording of each kind of data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, singledispatch
from importlib import import_module
from typing import Any, TypeVar

from aegis_ros.rationale.printable import printable
from aegis_ros.rationale.reason import Reason

__all__ = ["known", "sentence", "words", "words_of"]

_THEMES = (
    "adaptation",
    "admission",
    "arena",
    "budgets",
    "changes",
    "decimation",
    "device",
    "engine",
    "frames",
    "generators",
    "jobs",
    "lanes",
    "loading",
    "memory",
    "prompts",
    "rejection",
    "requests",
    "results",
    "verdicts",
)

_Wording = TypeVar("_Wording", bound=Callable[[Any], str])


@singledispatch
def _wording(item: object) -> str:
    raise TypeError(f"{type(item).__name__} has no wording")


@cache
def known() -> Any:
    """Return the function that puts data into words, with all that is registered.

    The modules of the wordings are imported when the first sentence is asked for: an engine that
    is started anew speaks none, and a robot waits for it.
    """
    for theme in _THEMES:
        import_module(f"aegis_ros.rationale.wording.{theme}")
    return _wording


def words(item: object) -> str:
    """Return the English of a reason, a finding or a part of one, without a full stop.

    It begins in lower case unless with a name, so that it can follow on other words.

    Args:
        item: one of the dataclasses of :mod:`aegis_ros.rationale`.

    Raises:
        TypeError: nobody has put this kind of data into words.
    """
    text: str = known()(item)
    return printable(text)


def words_of(kind: type) -> Callable[[_Wording], _Wording]:
    """Register the decorated function as the wording of a kind of data."""

    def register(wording: _Wording) -> _Wording:
        _wording.register(kind, wording)
        return wording

    return register


def sentence(reason: Reason) -> str:
    """Return the English of a reason as a whole sentence.

    Names at the beginning keep their spelling: that of a task, and those of fields and files.
    """
    text = words(reason)
    first = text.split(" ", 1)[0]
    if first.isalpha() and first != getattr(reason, "task", ""):
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
