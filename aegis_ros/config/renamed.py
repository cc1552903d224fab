"""Reads keys by the names they had before, and says what they are called now."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

__all__ = ["present_name", "with_present_names"]

_log = logging.getLogger(__name__)

_TASK = {"thin_to": "max_decimation"}


def present_name(key: str) -> str:
    """Return what a key of a task is called now; empty where it was never renamed."""
    return _TASK.get(key, "")


def with_present_names(
    values: Mapping[str, Any],
    source: str = "",
    lines: dict[tuple[Any, ...], int] | None = None,
) -> dict[str, Any]:
    """Return a configuration, or one task, with every key under its present name.

    Where a key stands under both names with two values, the old one is left to be refused.

    Args:
        values: as read; it stays as it is.
        source: file to name in the notes on old names; empty for no notes.
        lines: of ``values``; places of renamed keys are added.
    """
    places = {} if lines is None else lines
    present = _renamed(values, (), source, places)
    tasks = values.get("tasks")
    if isinstance(tasks, list):
        present["tasks"] = [
            _renamed(task, ("tasks", index), source, places) if isinstance(task, Mapping) else task
            for index, task in enumerate(tasks)
        ]
    return present


def _renamed(
    values: Mapping[str, Any],
    path: tuple[Any, ...],
    source: str,
    lines: dict[tuple[Any, ...], int],
) -> dict[str, Any]:
    present = dict(values)
    for old, new in _TASK.items():
        if old not in present:
            continue
        if new in present and present[new] == present[old]:
            del present[old]
        if new in present:
            continue
        present = {new if key == old else key: value for key, value in present.items()}
        line = lines.get((*path, old))
        if line is not None:
            lines[(*path, new)] = line
        if source:
            place = f"{source}:{line}" if line is not None else source
            _log.warning("%s: the key %r is now called %r; rename it", place, old, new)
    return present
