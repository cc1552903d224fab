"""Files that people name: where their paths lead, and their text as far as it is bounded."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from aegis_ros.config.kinds import use_of
from aegis_ros.errors import ConfigError

__all__ = ["default_state_dir", "expanded", "read_text", "regular_only"]

_MOST_BYTES = 1024 * 1024


def expanded(path: str) -> Path:
    """Return a path with ``~`` as the home folder; that of an unknown user stays as it is."""
    return Path(os.path.expanduser(path))


def default_state_dir() -> Path:
    """Return the folder for journal, profiles and prepared networks where none is given.

    Raises:
        ConfigError: this user has no home folder.
    """
    home = expanded("~")
    if not home.is_absolute():
        raise ConfigError(
            "this user has no home folder to keep state in",
            where="state_dir",
            hint="Set HOME, or give state_dir a folder that can be written to",
        )
    return home / ".ros" / "aegis_ros"


def read_text(path: Path, *, most_bytes: int = _MOST_BYTES, shorter: str = "") -> str:
    """Return the text of a file; never more than is allowed is read, and nothing waits.

    Args:
        path: the file.
        most_bytes: its largest size.
        shorter: how the same can be said in less, where it is larger; may be empty.

    Raises:
        ConfigError: it is no regular file, cannot be read, is larger, or is not UTF-8.
    """
    try:
        with open(path, "rb", opener=regular_only) as file:
            content = file.read(most_bytes + 1)
            size = max(len(content), os.fstat(file.fileno()).st_size)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the file cannot be read ({reason})", where=str(path), hint="Check the path"
        ) from error
    if len(content) > most_bytes:
        raise ConfigError(
            "the file is too large",
            where=str(path),
            value=f"{size} bytes",
            expected=f"at most {most_bytes} bytes",
            hint=shorter,
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the file cannot be read: it is not text in UTF-8 (byte {error.start})",
            where=str(path),
            hint=use_of(str(path)) or "Check the path",
        ) from error


def regular_only(path: str, flags: int) -> int:
    """Open a file that can be read at once, no pipe and no device: an ``opener`` for ``open``.

    Raises:
        OSError: it is none, or cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file")
