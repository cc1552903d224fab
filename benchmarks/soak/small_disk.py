"""A disk of a few megabytes that can be filled: a tmpfs of its own, where that may be mounted."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["SmallDisk", "small_disk"]

_PIECE = 1 << 20
_LEAST = 4096


class SmallDisk:
    """A folder on a disk of its own.

    Args:
        path: where it is mounted.
        small: whether it is one; else a usual folder, which is never filled.
    """

    def __init__(self, path: Path, small: bool) -> None:
        """Leave it empty."""
        self.path = path
        self.small = small
        self._filler = path / "filler"

    def fill(self) -> int:
        """Leave no room at all; return how many bytes were left before."""
        assert self.small
        written = 0
        with self._filler.open("wb", buffering=0) as file:
            size = _PIECE
            while size >= _LEAST:
                try:
                    written += os.write(file.fileno(), bytes(size))
                except OSError:
                    size //= 2
        return written

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(mib: int) -> Iterator[SmallDisk]:
    """Mount a disk for the time of the block.

    Args:
        mib: its size.
    """
    path = Path(tempfile.mkdtemp(prefix="soak_disk_"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "soak", str(path)],
        capture_output=True,
        check=False,
    )
    small = mounted.returncode == 0
    try:
        yield SmallDisk(path, small)
    finally:
        if small:  # lazily: whatever still has a file there does not keep it
            subprocess.run(["umount", "-l", str(path)], check=False)
            path.rmdir()
        else:
            shutil.rmtree(path, ignore_errors=True)
