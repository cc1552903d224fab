"""Opens a file that was made earlier only if it still holds what was made."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from aegis_ros.errors import AegisError, load_error

__all__ = ["all_verified", "digest_of", "verified"]


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def verified(path: str, digest: str, kind: type[AegisError]) -> Iterator[str]:
    """Yield a name that opens exactly the file that was hashed, whatever ``path`` leads to by then.

    Args:
        path: of the file.
        digest: SHA-256 in hex of what was made; where it is empty, ``path`` is taken as it is.
        kind: class of the error.

    Raises:
        AegisError: of that kind: the file is gone, cannot be read, or holds something else.
    """
    if not digest:
        yield path
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        from aegis_ros.sandbox.storage import storage_failure  # what an engine has no use for

        failure = storage_failure(error.errno or 0, path, error.strerror or str(error))
        raise load_error(failure, kind) from error
    try:
        if _digest(descriptor) != digest:
            from aegis_ros.rationale.loading import FileDamaged

            raise load_error(FileDamaged(path), kind)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def all_verified(
    files: Iterable[tuple[str, str]], kind: type[AegisError]
) -> Iterator[tuple[str, ...]]:
    """Yield names that open files as :func:`verified` does, in their order.

    Args:
        files: path and digest of each.
        kind: class of the error.

    Raises:
        AegisError: of that kind: one is gone, cannot be read, or holds something else.
    """
    with ExitStack() as opened:
        yield tuple(opened.enter_context(verified(*each, kind)) for each in files)


def _digest(descriptor: int) -> str:
    """Return the SHA-256 of an open file; empty where it has none, as a folder."""
    try:
        with open(descriptor, "rb", closefd=False) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
