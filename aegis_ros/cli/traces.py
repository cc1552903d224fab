"""Opens traces for the commands that work on them, and writes what they make of them."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.errors import ConfigError
from aegis_ros.trace.history import Trace

__all__ = ["open_trace", "written"]


def open_trace(path: Path) -> Trace:
    """Read a trace.

    Raises:
        ConfigError: it cannot be read, or the library for it is not installed.
    """
    try:
        from aegis_ros.trace.mcap_file import read_trace
    except ImportError as error:
        raise ConfigError(
            f"traces need the library mcap ({error})",
            where="TRACE",
            hint="Install it: pip install 'aegis_ros[trace]'",
        ) from error
    return read_trace(path)


def written(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the file cannot be written ({error.strerror})", where="FILE", value=path
        ) from error
