"""A suggested task as YAML that a person reads: commented, nested one level deep."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["in_yaml"]

_IN_ONE_LINE = ("options", "preprocess", "sync", "trigger")
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.]*")
_WORDS_OF_YAML = ("true", "false", "null", "yes", "no", "on", "off")


def in_yaml(
    task: Mapping[str, Any],
    comments: Mapping[str, str],
    *,
    roots: Sequence[str],
    core: int | None = None,
) -> str:
    """Return a configuration with one task.

    Args:
        task: its keys.
        comments: what stands behind a key, by the key's own name.
        roots: folders that networks load from; empty where the network is in none.
        core: for the lane; ``None`` for any.
    """
    lane = {"name": "main"} if core is None else {"name": "main", "cpu": core}
    lines = [f"device: {_flow({'lanes': [lane], 'arena_mib': 1024})}"]
    lines += [f"models: {{roots: {_flow(list(roots))}}}"] if roots else []
    lines += ["tasks:"]
    before = "  - "
    for key, value in task.items():
        lines += _lines(key, value, before, comments)
        before = "    "
    return "\n".join(lines) + "\n"


def _lines(key: str, value: Any, before: str, comments: Mapping[str, str]) -> list[str]:
    """Return a key of the task, with the keys below it where they have lines of their own."""
    comment = " ".join(comments.get(key, "").split())
    tail = f"   # {comment}" if comment else ""
    if not isinstance(value, Mapping) or key in _IN_ONE_LINE:
        return [f"{before}{_flow(key)}: {_flow(value)}{tail}"]
    within = " " * len(before) + "  "
    lines = [f"{before}{_flow(key)}:{tail}"]
    for inner, item in value.items():
        # The topic of the results is not one that waits to be replaced.
        known = comments if key != "output" else {**comments, "topic": ""}
        lines += _lines(inner, item, within, known)
    return lines


def _flow(value: Any) -> str:
    """Return a value in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    if isinstance(value, str):  # YAML has no pairs of surrogates, as JSON writes them
        quoted = (
            f"\\U{ord(one):08x}" if ord(one) > 0xFFFF else json.dumps(one)[1:-1] for one in value
        )
        return f'"{"".join(quoted)}"'
    return json.dumps(value)
