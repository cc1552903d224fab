"""Reads JSON that others may have written: bounded in size before, and in depth after."""

from __future__ import annotations

import json
from typing import Any

from aegis_ros.errors import ConfigError

__all__ = ["MOST_DEPTH", "read_json"]

MOST_DEPTH = 32  # of lists and mappings inside each other; of YAML as well


def read_json(
    text: str | bytes,
    source: str,
    *,
    most_bytes: int = 1024 * 1024,
    any_number: bool = False,
) -> Any:
    """Return the value a text holds.

    Args:
        text: JSON, in UTF-8 where it is bytes.
        source: where it is from, for errors.
        most_bytes: longest text that is read.
        any_number: whether NaN and Infinity, which are no JSON, are read as well.

    Raises:
        ConfigError: it is not JSON, or too long or too deep.
    """
    if len(text) > most_bytes:
        raise ConfigError(
            "too long", where=source, value=f"{len(text)} bytes", expected=f"at most {most_bytes}"
        )
    try:
        value = json.loads(text, parse_constant=float if any_number else _no_number)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not valid JSON ({error})", where=source) from None
    if _deeper(value, MOST_DEPTH):
        raise ConfigError(
            f"more than {MOST_DEPTH} lists and mappings lie inside each other", where=source
        )
    return value


def _deeper(value: Any, depth: int) -> bool:
    """Return whether lists and mappings lie deeper inside each other than so many."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return depth == 0 or any(_deeper(each, depth - 1) for each in value)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")
