"""A lock on a file that its owner holds until it ends, however that is, with notes on the owner."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FileLock", "holder_of"]

_MOST_BYTES = 4096
_OTHERS = 0o007  # neither the owner nor of the group


class FileLock:
    """Held from :meth:`acquire` to :meth:`release`, or to the end of the process.

    The kernel takes the lock (flock(2)) away with the process, so that none is ever left over; the
    file stays, and means nothing by itself.

    Args:
        path: the file; its folder must be there.
        common: whether every user of this machine may take it. Any other one is closed to those
            who are neither its owner nor of its group: whoever may read a file can hold its lock.
    """

    def __init__(self, path: Path, *, common: bool = False) -> None:
        """Hold nothing yet."""
        self._path = path
        self._common = common
        self._descriptor = -1

    def acquire(self, notes: Mapping[str, Any]) -> bool:
        """Take the lock and note who has it; return whether that was possible.

        Args:
            notes: plain JSON, for whoever finds the lock taken.

        Raises:
            OSError: the file cannot be opened.
        """
        descriptor = _open(self._path, common=self._common)
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


def _open(path: Path, *, common: bool) -> int:
    """Open or create a file that others may have made.

    Others must be able to take a common lock that its owner left; and in a folder that all may
    write to, the kernel lets nobody open the file of another user with O_CREAT
    (fs.protected_regular).
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        rights = 0o666 if common else 0o660
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, rights)
        except FileExistsError:
            descriptor = os.open(path, flags)
        else:
            if common:  # whatever the umask
                os.fchmod(descriptor, rights)
    if not common:
        _close_to_others(descriptor)
    return descriptor


def _close_to_others(descriptor: int) -> None:
    """Take the rights of others from a file of this user; versions before made it for all."""
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid() and found.st_mode & _OTHERS:
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~_OTHERS)
