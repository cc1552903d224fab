"""Makes text of any origin, also of errors, acceptable to ROS's logger."""

from __future__ import annotations

from aegis_ros.rationale.printable import printable

__all__ = ["loggable", "text_of"]

_INDENT = "  "  # so that nothing looks like a line of its own


def loggable(text: str) -> str:
    r"""Return a text that can be logged: what cannot be seen, as YAML's ``"\ud800"``, as an escape.

    ROS's logger raises over half a character, and passes on the codes of terminals. Lines stay
    lines, those behind the first indented: tracebacks end with the texts of strangers.
    What reports a failure must not fail itself: who asked would get no answer.
    """
    first, *others = text.rstrip("\n").split("\n")
    shown = [line if line.startswith(_INDENT) else _INDENT + line for line in others]
    return "\n".join(printable(line) for line in (first, *shown))


def text_of(error: BaseException) -> str:
    """Return class and text of an error, whose own ``__str__`` may fail: plug-ins bring theirs."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception as failed:
        return f"{name}, whose text cannot be shown ({type(failed).__name__})"
