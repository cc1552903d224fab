"""Removes the shared memory that Fast DDS left when a process was killed."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["remove_leftovers"]

_FOLDER = Path("/dev/shm")  # where Fast DDS puts it
# Names are random numbers, so that nobody ever opens the segment of a dead process again: it stays
# until the machine is switched off. Ports have numbers, and who opens one repairs what it finds.
_LOCK = re.compile(r"fast(?:rtps|dds)_[0-9a-f]{16}_el")
_SUFFIX = "_el"
# A process makes the file, and locks it a moment later.
_LEAST_AGE_S = 60.0


def remove_leftovers(folder: Path = _FOLDER) -> tuple[int, int]:
    """Remove the segments of this user whose owners are dead; return how many, and their bytes.

    The owner of a segment holds a lock (flock(2)) on the file of the same name with ``_el`` for as
    long as it lives, in whatever container it does: `fastdds shm clean` and Fast DDS itself decide
    by it, too. What is without such a file, belongs to another user, or is a minute old at most is
    left alone.
    """
    try:
        names = [entry.name for entry in os.scandir(folder) if _LOCK.fullmatch(entry.name)]
    except OSError:
        return 0, 0
    sizes = [size for name in names if (size := _remove(folder / name)) is not None]
    return len(sizes), sum(sizes)


def _remove(lock: Path) -> int | None:
    """Remove a segment and its lock file; return its bytes, ``None`` where that must not be."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not _is_old_and_ours(os.fstat(descriptor)):
            return None
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        segment = lock.with_name(lock.name.removesuffix(_SUFFIX))
        size = _unlink_segment(segment)
        with suppress(FileNotFoundError):  # Fast DDS in another process was faster
            lock.unlink()
        return size
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _unlink_segment(segment: Path) -> int:
    """Remove a segment; return the memory it took.

    Raises:
        OSError: it is another user's, or cannot be removed.
    """
    try:
        found = segment.lstat()
    except FileNotFoundError:
        return 0
    if not _is_old_and_ours(found):
        raise PermissionError(f"{segment} is not ours")
    segment.unlink()
    return found.st_blocks * 512


def _is_old_and_ours(found: os.stat_result) -> bool:
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_uid == os.geteuid()
        and found.st_nlink == 1
        and time.time() - found.st_mtime > _LEAST_AGE_S
    )
