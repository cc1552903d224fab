"""Counts what a child process keeps on the disk, however it hides it."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable

__all__ = ["kept_bytes"]

_MOST_ENTRIES = 10_000  # no build makes as many files, and each look counts all of them
_BLOCK_BYTES = 512  # of st_blocks, whatever the disk's own are


def kept_bytes(pid: int, folders: Iterable[str]) -> float:
    """Return the bytes on the disk in folders, and in files that a process has open without a name.

    Args:
        pid: of the process.
        folders: that it may write to; a file takes part by itself.

    Returns:
        Infinity where that cannot be counted: very many files, or a path too long to be opened.
    """
    kept, entries = _unnamed_bytes(pid), 0
    waiting = list(folders)
    while waiting:
        try:
            found = os.scandir(waiting.pop())
        except (FileNotFoundError, NotADirectoryError):  # it is gone
            continue
        except OSError:
            return math.inf
        with found:
            for entry in found:
                entries += 1
                if entries > _MOST_ENTRIES:
                    return math.inf
                try:
                    kept += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                except FileNotFoundError:
                    continue
                except OSError:
                    return math.inf
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return kept


def _unnamed_bytes(pid: int) -> int:
    """Return what the files take that were removed while they are open."""
    folder = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(folder)
    except OSError:  # it has ended, or the system keeps this to itself
        return 0
    kept = 0
    for number in numbers:
        try:
            status = os.stat(f"{folder}/{number}")
        except OSError:  # closed meanwhile
            continue
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
            kept += status.st_blocks * _BLOCK_BYTES
    return kept
