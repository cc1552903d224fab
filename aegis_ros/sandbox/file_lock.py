"""A lock on a file that its owner holds until it ends, however that is, with notes on the owner."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FileLock", "holder_of"]

_MOST_BYTES = 4096


class FileLock:
    """Held from :meth:`acquire` to :meth:`release`, or to the end of the process.

    The kernel takes the lock (flock(2)) away with the process, so that none is ever left over; the
    file stays, and means nothing by itself.

    Args:
        path: the file; its folder must be there.
    """

    def __init__(self, path: Path) -> None:
        """Hold nothing yet."""
        self._path = path
        self._descriptor = -1

    def acquire(self, notes: Mapping[str, Any]) -> bool:
        """Take the lock and note who has it; return whether that was possible.

        Args:
            notes: plain JSON, for whoever finds the lock taken.

        Raises:
            OSError: the file cannot be opened.
        """
        descriptor = _open(self._path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        self.note(notes)
        return True

    def note(self, notes: Mapping[str, Any]) -> None:
        """Replace the notes of a lock that is held; a disk that is full loses them."""
        if self._descriptor < 0:
            return
        text = json.dumps(dict(notes)).encode()[:_MOST_BYTES]
        try:
            os.pwrite(self._descriptor, text.ljust(_MOST_BYTES), 0)
        except OSError:
            return

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def holder_of(path: Path) -> Mapping[str, Any] | None:
    """Return the notes of whoever holds the lock of a file; ``None`` where nobody does.

    Notes that cannot be read are empty.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _notes(descriptor)
    finally:
        os.close(descriptor)
    return None


def _notes(descriptor: int) -> Mapping[str, Any]:
    try:
        found = json.loads(os.pread(descriptor, _MOST_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _open(path: Path) -> int:
    """Open or create a file that others may have made.

    Others must be able to take a lock that its owner left; and in a folder that all may write to,
    the kernel lets nobody open the file of another user with O_CREAT (fs.protected_regular).
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return os.open(path, flags)
    os.fchmod(descriptor, 0o666)
    return descriptor
