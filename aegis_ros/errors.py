"""The one family of errors this package raises on purpose.

Every error says what is wrong, where, which value was found, what was expected and how to
fix it, so that the text alone is enough to act on (in a log, a service response or a terminal).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self, TypeVar

from aegis_ros.rationale import Rule
from aegis_ros.rationale.printable import printable

if TYPE_CHECKING:
    from aegis_ros.rationale.loading import LoadFailure

# Names and texts of strangers stand in errors, which are logged, published and recorded.
_MOST_PROBLEM = 16_384  # characters: room for twenty mistakes with their hints
_MOST_PART = 4_096

__all__ = [
    "AegisError",
    "BackendError",
    "ConfigError",
    "DecodeError",
    "EngineError",
    "InputError",
    "MemoryRefused",
    "ModelError",
    "ProfileError",
    "StateError",
    "StoppedError",
    "load_error",
]


class AegisError(Exception):
    """What is wrong, where, and how to fix it.

    Args:
        problem: one sentence, what is wrong.
        where: the field, file or topic concerned (``tasks[0].period_ms``); may be empty.
        value: the offending value as text; shortened to 200 characters; may be empty.
        expected: what would have been accepted; may be empty.
        hint: what the reader can do about it; may be empty.
        rule: the rule that said no, where it is not that of the class.

    Attributes:
        rule: the rule that said no; that of the class unless the error names another.
    """

    rule = Rule.SCHEMA

    def __init__(
        self,
        problem: str,
        *,
        where: str = "",
        value: object = None,
        expected: str = "",
        hint: str = "",
        rule: Rule | None = None,
    ) -> None:
        """Keep the parts and join those that are present into one message."""
        self.problem = _shorten(problem.rstrip("."), _MOST_PROBLEM)
        self.where = _shorten(where, _MOST_PART)
        self.value = "" if value is None else _shorten(str(value))
        self.expected = _shorten(expected, _MOST_PART)
        self.hint = _shorten(hint, _MOST_PART)
        if rule is not None:
            self.rule = rule
        super().__init__(self._sentence())

    def at(self, where: str) -> Self:
        """Return the same error, found at another place."""
        moved = copy.copy(self)
        moved.where = _shorten(where, _MOST_PART)
        moved.args = (moved._sentence(),)
        return moved

    def _sentence(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        if self.value:
            text += f" (got {self.value})"
        if self.expected:
            text += f"; expected {self.expected}"
        if not text.endswith("?"):
            text += "."
        if self.hint:
            text += f" {self.hint}" if self.hint.endswith("?") else f" {self.hint.rstrip('.')}."
        return printable(text)


class ConfigError(AegisError):
    """A configuration file, a parameter or a task spec is not valid."""

    rule = Rule.SCHEMA


class ModelError(AegisError):
    """A network file cannot be found, may not be loaded, or is not valid."""

    rule = Rule.MODEL_VALID


class InputError(AegisError):
    """A sensor message cannot be used as it is."""

    rule = Rule.BAD_FRAME


class DecodeError(AegisError):
    """A decoder cannot make sense of a network's output."""

    rule = Rule.DECODER


class ProfileError(AegisError):
    """A WCET profile is missing, stale or cannot be measured."""

    rule = Rule.WCET_PROFILE


class BackendError(AegisError):
    """A backend cannot load or run a network."""

    rule = Rule.MODEL_VALID


class MemoryRefused(BackendError):
    """Memory for a run could not be taken; another run may find some."""


class EngineError(AegisError):
    """The engine process did not do what was asked."""

    rule = Rule.RUN_FAILED


class StateError(AegisError):
    """The request is valid but not possible in the present state."""

    rule = Rule.STATE


class StoppedError(AegisError):
    """The work was not done because somebody asked for its end."""

    rule = Rule.OPERATOR


_Error = TypeVar("_Error", bound=AegisError)


def load_error(failure: LoadFailure, kind: type[_Error], value: object = None) -> _Error:
    """Return the error that says why a network cannot be loaded, and what to do about it.

    Args:
        failure: why.
        kind: class of the error.
        value: the file at work; ``None`` where it says nothing.
    """
    # Imported here: an engine that is started anew speaks no English until something fails.
    from aegis_ros.rationale.wording import load_hint, words

    return kind(
        words(failure),
        where=failure.place,
        value=value,
        hint=load_hint(failure),
        rule=failure.rule,
    )


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
