"""What it means that the disk refuses what is made of a network."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.errors import StateError, load_error
from aegis_ros.rationale.loading import DiskFull, DiskRefuses, FileGone, LoadFailure

__all__ = ["kept_in", "storage_failure"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


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
