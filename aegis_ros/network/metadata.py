"""What a network's file says of itself, as far as decoders can use it; read in a child process."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable

__all__ = ["bounded_metadata"]

_MOST_ENTRIES = 256
_MOST_KEY = 256  # characters
_MOST_VALUE = 256 * 1024
_MOST_TEXT = 1024 * 1024  # of all values, and of class names before they are read
_MOST_NAMES = 32_768
_MOST_NAME = 128
_NAMES = "names"


def bounded_metadata(entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the metadata that is handed on; what is larger than decoders need is left out.

    Class names (``names``, a Python literal as Ultralytics writes it) become a JSON list of text,
    so that nobody else has to read Python.

    Args:
        entries: key and value of each entry of the file.
    """
    kept: dict[str, str] = {}
    room = _MOST_TEXT
    for key, value in entries:
        if key == _NAMES:
            value = _class_names(value)
        elif len(value) > _MOST_VALUE:
            continue
        if len(key) <= _MOST_KEY and len(value) <= room and len(kept) < _MOST_ENTRIES:
            kept[key] = value
            room -= len(value)
    return kept


def _class_names(text: str) -> str:
    """Return a literal of class names as a JSON list, an empty one where it is none."""
    try:
        found = ast.literal_eval(text) if len(text) <= _MOST_TEXT else ()
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = ()
    values = list(found.values()) if isinstance(found, dict) else found
    if not isinstance(values, list | tuple) or len(values) > _MOST_NAMES:
        values = ()
    return json.dumps([str(name)[:_MOST_NAME] for name in values])
