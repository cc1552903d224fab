"""What it means that the disk refuses what is made of a network."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.errors import StateError, load_error
from aegis_ros.rationale.loading import DiskFull, DiskRefuses, FileGone, LoadFailure

__all__ = ["kept_in", "refusal_of_disk", "storage_failure"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LEAST_FREE = 16 * 1024  # bytes: what a file needs to be begun


def storage_failure(number: int, path: str, detail: str) -> LoadFailure:
    """Return what an error of the disk means for what is made of a network.

    Args:
        number: of the error, as in :mod:`errno`.
        path: the file or folder at work.
        detail: what the system says.
    """
    if number in _FULL:
        return DiskFull(path)
    return FileGone(path) if number == errno.ENOENT else DiskRefuses(path, detail)


def refusal_of_disk(error: Exception, folder: Path) -> str:
    """Return why something cannot be written, as a person would say it.

    Args:
        error: of the system or of SQLite, which calls a full disk an "I/O error" now and then.
        folder: where it was to be written.
    """
    try:
        full = shutil.disk_usage(folder).free < _LEAST_FREE
    except OSError:  # it is not there
        full = False
    if full or getattr(error, "errno", None) in _FULL or "disk is full" in str(error):
        return "the disk is full"
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Have errors of the disk, while something is kept in a folder, say so.

    Raises:
        StateError: the disk is full, or the folder cannot be written to.
    """
    try:
        yield
    except OSError as error:
        failure = storage_failure(error.errno or 0, str(folder), error.strerror or str(error))
        raise load_error(failure, StateError) from error
