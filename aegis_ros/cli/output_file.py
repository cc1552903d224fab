"""Refuses a file that could not be written, before anything is computed for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from aegis_ros.errors import ConfigError

__all__ = ["require_drawable"]


def require_drawable(
    path: Path, *, option: str, noun: str, suffixes: Sequence[str], expected: str
) -> None:
    """Check that matplotlib can draw to a file.

    Args:
        path: the file.
        option: of the command line, which gave it.
        noun: what it is, in the singular.
        suffixes: kinds that are known.
        expected: the same in words.

    Raises:
        ConfigError: unknown kind, no such folder, or matplotlib is not installed.
    """
    if path.suffix.lower() not in suffixes:
        raise ConfigError(
            f"unknown kind of {noun}",
            where=option,
            value=path,
            expected=f"a name that ends in {expected}",
        )
    folder = path.parent
    if not folder.is_dir() or path.is_dir() or not os.access(folder, os.W_OK):
        raise ConfigError(
            f"the {noun} cannot be written there",
            where=option,
            value=path,
            expected="a file in a folder that exists and may be written to",
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"{noun}s need matplotlib ({error})",
            where=option,
            hint="Install it: pip install 'aegis_ros[plot]'",
        ) from error
