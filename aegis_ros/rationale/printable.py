"""Makes text that came from elsewhere safe for logs and terminals.

A model's path, an encoding or a node's name may hold the codes that clear a terminal, or a line
that looks as if another program had logged it.
"""

from __future__ import annotations

__all__ = ["printable"]

_CONTINUED = "\n  "  # how our own lists go on: nothing can look like a line of its own


def printable(text: str) -> str:
    r"""Return a text with every character that cannot be seen as an escape, as ``\x1b``."""
    if text.isprintable():
        return text
    return _CONTINUED.join(
        "".join(each if each.isprintable() else _escaped(each) for each in part)
        for part in text.split(_CONTINUED)
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
