"""A network's file, opened once: what is found allowed, what is hashed and what is read are one."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from aegis_ros.errors import ModelError, load_error
from aegis_ros.rationale.loading import FileChanged

__all__ = ["ModelFile", "hashed_content"]

_CHUNK_BYTES = 1024 * 1024


class ModelFile:
    """Holds a file open; whoever puts another one in its place later changes nothing here.

    Args:
        path: the file; is opened at once, and nothing waits if it is a pipe.

    Attributes:
        path: as given; for names and messages, never to be opened again.
        descriptor: of the open file, for a child process to read it with :func:`hashed_content`.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._size = os.fstat(self.descriptor).st_size

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        os.close(self.descriptor)

    @property
    def is_regular(self) -> bool:
        """Whether it is a file with contents, and not a folder, a pipe or a device."""
        return stat.S_ISREG(os.fstat(self.descriptor).st_mode)

    @property
    def size(self) -> int:
        """Size in bytes when it was opened; what is added later is not read."""
        return self._size

    @property
    def place(self) -> Path:
        """Where the file that is open lies; ``path`` unless links led elsewhere when it was."""
        return Path(os.readlink(f"/proc/self/fd/{self.descriptor}"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the contents in hex."""
        return self._hashed("sha256").hex()

    def matches(self, algorithm: str, encoded: str) -> bool:
        """Return whether the contents have a digest as RECORD files of distributions write it.

        Args:
            algorithm: as :mod:`hashlib` names it.
            encoded: the digest in URL-safe base64; its padding may be left out.
        """
        found = base64.urlsafe_b64encode(self._hashed(algorithm)).decode()
        return found.rstrip("=") == encoded.rstrip("=")

    def head(self, most_bytes: int) -> bytes:
        """Return the first bytes."""
        return os.pread(self.descriptor, most_bytes, 0)

    def _hashed(self, algorithm: str) -> bytes:
        found = hashlib.new(algorithm)
        for chunk in _chunks(self.descriptor, _CHUNK_BYTES, self._size):
            found.update(chunk)
        return found.digest()


def hashed_content(descriptor: int, digest: str, name: str) -> bytes:
    """Return the contents of an open file, which are those that were hashed.

    Args:
        descriptor: of the file.
        digest: SHA-256 in hex that it had.
        name: of the file, for messages.

    Raises:
        ModelError: they have changed since.
    """
    size = os.fstat(descriptor).st_size
    parts = list(_chunks(descriptor, size, size))
    content = parts[0] if len(parts) == 1 else b"".join(parts)
    if hashlib.sha256(content).hexdigest() != digest:
        raise load_error(FileChanged(), ModelError, name)
    return content


def _chunks(descriptor: int, most_bytes: int, end: int) -> Iterator[bytes]:
    """Yield the contents up to ``end``, which a file that grows meanwhile does not move.

    The place that all who hold the descriptor share does not move either.
    """
    at = 0
    while chunk := os.pread(descriptor, min(most_bytes, end - at), at):
        yield chunk
        at += len(chunk)
