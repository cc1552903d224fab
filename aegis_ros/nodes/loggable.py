"""Makes text of any origin acceptable to ROS's logger, which raises over half a character."""

from __future__ import annotations

__all__ = ["loggable"]


def loggable(text: str) -> str:
    r"""Return a text that can be logged: a lone surrogate, as YAML's ``"\ud800"``, as an escape.

    What reports a failure must not fail itself: who asked would get no answer.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
