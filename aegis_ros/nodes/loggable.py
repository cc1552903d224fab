"""Makes text of any origin, also of errors, acceptable to ROS's logger."""

from __future__ import annotations

__all__ = ["loggable", "text_of"]


def loggable(text: str) -> str:
    r"""Return a text that can be logged: a lone surrogate, as YAML's ``"\ud800"``, as an escape.

    ROS's logger raises over half a character.
    What reports a failure must not fail itself: who asked would get no answer.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def text_of(error: BaseException) -> str:
    """Return class and text of an error, whose own ``__str__`` may fail: plug-ins bring theirs."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception as failed:
        return f"{name}, whose text cannot be shown ({type(failed).__name__})"
