"""What an engine writes to stderr while it starts, which says why it does not."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["LastWords"]

_STDERR = 2
_MOST_BYTES = 65_536
_LINES = 4
_MOST_CHARACTERS = 600


class LastWords:
    """A file that a process has in place of stderr until it has started.

    A process that a runtime ends, by an abort or a library that is missing, says why there and
    nowhere else. Once it has started it takes the stderr of this process, and nothing lies between.

    Attributes:
        stderr_fd: this process's stderr, for the other one; -1 where it has none.
    """

    def __init__(self) -> None:
        """Make the file."""
        self._file = os.memfd_create("aegis-engine-stderr")
        try:
            self.stderr_fd = os.dup(_STDERR)
        except OSError:
            self.stderr_fd = -1

    def fileno(self) -> int:
        """Return the descriptor that the other process gets in place of stderr."""
        return self._file

    def handed_over(self) -> None:
        """Close what only the other process needs, which has its own by now."""
        if self.stderr_fd >= 0:
            os.close(self.stderr_fd)
            self.stderr_fd = -1

    def pass_on(self) -> str:
        """Write what was said to stderr, once; return its last lines as one, or nothing."""
        if self._file < 0:
            return ""
        file, self._file = self._file, -1
        try:
            size = os.fstat(file).st_size
            said = os.pread(file, _MOST_BYTES, max(0, size - _MOST_BYTES))
        finally:
            os.close(file)
        with suppress(OSError):  # nobody reads it
            left = memoryview(said)
            while left:
                left = left[os.write(_STDERR, left) :]
        lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
        text = "; ".join([line for line in lines if line][-_LINES:])
        return text if len(text) <= _MOST_CHARACTERS else f"…{text[1 - _MOST_CHARACTERS :]}"
