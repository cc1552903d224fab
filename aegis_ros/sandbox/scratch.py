"""Folders for what is made on the way, which nobody has to clean up after a process that died."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from aegis_ros.sandbox.tree_removal import remove_tree

__all__ = ["MEMORY", "Scratch", "remove_abandoned"]

#: A file system in memory, on Linux.
MEMORY = Path("/dev/shm")

_PREFIX = "aegis_scratch_"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_log = logging.getLogger(__name__)


class Scratch:
    """An empty folder of this user's own, removed when it is closed.

    That is also when nobody refers to it any more, and when the process ends in an orderly way.
    One that is killed leaves it, and the kernel takes away its lock (flock(2)) on the folder: by
    that, whoever makes a scratch folder beside it next, and the next node that starts, knows what
    is left over. The folder itself is locked, not a file in it, so that whoever works in it,
    as a contained child, finds it empty and can do nothing about the lock.

    Args:
        folder: where it is made; by default where temporary files belong.

    Attributes:
        path: of the folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Make the folder, and remove what is left over beside it.

        Raises:
            OSError: it cannot be made.
        """
        place = Path(tempfile.gettempdir()) if folder is None else folder
        remove_abandoned(place)
        self.path, descriptor = _made(place)
        self._end = weakref.finalize(self, _end, self.path, descriptor)

    @classmethod
    def in_memory(cls) -> Self:
        """Make one in memory, where the disk may be full; on it where there is no such place."""
        return cls(MEMORY if os.access(MEMORY, os.W_OK) else None)

    def close(self) -> None:
        """Remove the folder and what is in it; what cannot be removed is logged."""
        self._end()

    def __enter__(self) -> Path:
        """Return the path of the folder."""
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the folder."""
        self.close()


def remove_abandoned(*folders: Path | None) -> None:
    """Remove the scratch folders of this user that no process holds any more.

    What another user made is left alone, and so is all of it on a file system without locks, as
    some network mounts are: nothing tells there what is in use.

    Args:
        folders: where they were made; ``None`` is where temporary files belong.
    """
    for folder in folders:
        place = Path(tempfile.gettempdir()) if folder is None else folder
        try:
            with os.scandir(place) as entries:
                found = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
        except OSError:  # nothing was made there
            continue
        for path in found:
            _remove_unless_held(path)


def _made(place: Path) -> tuple[Path, int]:
    """Return a new folder, and the descriptor that holds its lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        try:
            descriptor = os.open(path, _FOLDER)
        except FileNotFoundError:
            continue  # another process found it before it was locked, and took it for left over
        with suppress(OSError):  # this file system has no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _same(path, descriptor):
            return path, descriptor
        os.close(descriptor)


def _same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_unless_held(path: Path) -> None:
    try:
        descriptor = os.open(path, _FOLDER)
    except OSError:  # no folder, another user's, or gone
        return
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)
    except OSError:  # somebody holds it, or this file system has no locks
        return
    finally:
        os.close(descriptor)


def _end(path: Path, descriptor: int) -> None:
    try:
        _remove(path)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    try:
        remove_tree(path)
    except OSError as error:
        _log.warning("%s cannot be removed: %s", path, error.strerror or error)
