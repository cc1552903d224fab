"""Memory for weights of which only some are there at a time, each where its reader expects it.

ONNX Runtime maps a file of weights and keeps the addresses. Here those mappings are replaced by
memory that is filled with read(2): a file that is shortened while it is mapped ends the process
(SIGBUS), a read only fails. What takes turns lies in pages that are taken once, at the beginning;
mremap(2) moves them to whoever has its turn, so that no page is allocated, freed or zeroed later,
and whatever the kernel counts (resident set, cgroup) is what is really there.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aegis_ros.errors import BackendError

__all__ = ["Place", "WeightsFile", "Window", "fill", "windows_of"]

_MAP_NORESERVE = 0x4000
_MAP_FIXED = 0x10
_MREMAP_MAYMOVE, _MREMAP_FIXED, _MREMAP_DONTUNMAP = 1, 2, 4  # the last since Linux 5.7
_MOVES = _MREMAP_MAYMOVE | _MREMAP_FIXED | _MREMAP_DONTUNMAP
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_NOTHING = 0  # PROT_NONE
_BOTH = mmap.PROT_READ | mmap.PROT_WRITE
_FAILED = ctypes.c_void_p(-1).value

_Address, _Size, _Flags = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = _Address
_libc.mmap.argtypes = (_Address, _Size, _Flags, _Flags, _Flags, ctypes.c_long)
_libc.munmap.argtypes = _libc.munlock.argtypes = (_Address, _Size)
_libc.mremap.restype = _Address
_libc.mremap.argtypes = (_Address, _Size, _Size, _Flags, _Address)


@dataclass(frozen=True, slots=True)
class Window:
    """Where a part of a file is expected.

    Attributes:
        address: of the first page.
        nbytes: whole pages.
        offset: where the part begins in the file.
    """

    address: int
    nbytes: int
    offset: int


class WeightsFile:
    """A file of weights, read past the page cache or through it.

    It stays open: a file that is removed or replaced is read on as it was.

    Args:
        name: name under which it opens.
        path: of the file, for people.
        cold: whether nothing of it stays in the page cache.

    Raises:
        BackendError: it cannot be opened.
    """

    def __init__(self, name: str, path: str, *, cold: bool) -> None:
        """Open the file."""
        self._path = path
        self._forget = False
        try:
            self._fd = self._opened(name, cold=cold)
            weakref.finalize(self, os.close, self._fd)
            self._state = self._now()
        except OSError as error:
            raise BackendError(self._said(error)) from error

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._state[0]

    def read(self, views: list[memoryview], offset: int, nbytes: int) -> None:
        """Read a part of the file.

        Args:
            views: one piece of memory, page aligned and large enough.
            offset: where the part begins.
            nbytes: of the part.

        Raises:
            BackendError: it cannot be read, or the file is not what it was.
        """
        try:
            done = os.preadv(self._fd, views, offset)
            while 0 < done < nbytes:
                more = os.preadv(self._fd, [views[0][done:]], offset + done)
                if not more:
                    break
                done += more
            if self._forget:
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
            if done < nbytes or self._now() != self._state:
                raise BackendError(
                    "the file of a segment's weights was changed while the network ran",
                    value=self._path,
                    hint="Register the task again: what is damaged is then made anew",
                )
        except OSError as error:
            raise BackendError(self._said(error)) from error

    def _opened(self, name: str, *, cold: bool) -> int:
        flags = os.O_RDONLY | os.O_CLOEXEC
        if cold:
            with suppress(OSError):  # a file system that knows no direct reads
                return os.open(name, flags | os.O_DIRECT)
            self._forget = True
        return os.open(name, flags)

    def _now(self) -> tuple[int, int]:
        found = os.fstat(self._fd)
        return found.st_size, found.st_mtime_ns

    def _said(self, error: OSError) -> str:
        return f"weights cannot be loaded from {self._path} ({error.strerror or error})"


class Place:
    """Pages in which the weights of several segments lie in turn.

    Args:
        turns: for each segment that takes turns, by its index: its file and where its parts are
            expected, as :func:`windows_of` found them. They are taken over.

    Attributes:
        nbytes: of all pages; as much as the largest of the segments needs.
        home: address where the pages are while nobody has them.

    Raises:
        BackendError: there is no memory, or this kernel moves none.
    """

    def __init__(self, turns: Sequence[tuple[int, WeightsFile, Sequence[Window]]]) -> None:
        """Take the pages; nobody has them yet."""
        self.nbytes = max(
            (sum(each.nbytes for each in windows) for _, _, windows in turns), default=0
        )
        self._held: _Turn | None = None
        self._broken = ""
        self._turns: dict[int, _Turn] = {}
        self.home = 0
        if not self.nbytes:
            return
        self.home = _mapped(None, self.nbytes, _BOTH, 0)
        weakref.finalize(self, _libc.munmap, self.home, self.nbytes)
        ctypes.memset(self.home, 0, self.nbytes)  # so that no page is missing later
        for index, file, windows in turns:
            for window in windows:
                _mapped(window.address, window.nbytes, _NOTHING, _MAP_FIXED | _MAP_NORESERVE)
            self._turns[index] = _Turn(file, windows, self.home)
        for turn in self._turns.values():
            self._give(turn)
            self._take_back()

    def bring(self, index: int) -> None:
        """Have the weights of a segment in memory, if it takes turns; those of another one go.

        Raises:
            BackendError: they cannot be read; none are in memory then.
        """
        turn = self._turns.get(index)
        if turn is None or turn is self._held:
            return
        self._take_back()
        for views, offset, nbytes in turn.reads:
            turn.file.read(views, offset, nbytes)
        self._give(turn)

    def _give(self, turn: _Turn) -> None:
        self._held = turn
        for address, nbytes, at in turn.moves:
            self._move(at, address, nbytes)

    def _take_back(self) -> None:
        if self._broken:
            raise BackendError(self._broken)
        if self._held is not None:
            for address, nbytes, at in self._held.moves:
                self._move(address, at, nbytes)
            self._held = None

    def _move(self, source: int, target: int, nbytes: int) -> None:
        if _libc.mremap(source, nbytes, nbytes, _MOVES, target) != target:
            reason = os.strerror(ctypes.get_errno())
            # Some pages are here and some there: more would be taken if this went on.
            self._broken = f"pages of weights cannot be moved ({reason}); this needs Linux 5.7"
            raise BackendError(self._broken)


class _Turn:
    """What is read, and moved, when a segment has its turn.

    Attributes:
        file: what is read.
        reads: (memory, offset in the file, bytes) of each part.
        moves: (address where it is expected, bytes, address in the place) of each part.
    """

    __slots__ = ("file", "moves", "reads")

    def __init__(self, file: WeightsFile, windows: Iterable[Window], home: int) -> None:
        self.file = file
        self.moves: list[tuple[int, int, int]] = []
        parts: list[tuple[int, int, int]] = []
        for window in sorted(windows, key=lambda each: each.offset):
            self.moves.append((window.address, window.nbytes, home))
            parts.append((home, window.nbytes, window.offset))
            home += window.nbytes
        self.reads = _reads(parts, file.size)


def fill(file: WeightsFile, windows: Iterable[Window]) -> None:
    """Put memory in place of mappings of a file, with what was in the file; for weights that stay.

    Raises:
        BackendError: there is no memory, or the file cannot be read.
    """
    for window in windows:
        _mapped(window.address, window.nbytes, _BOTH, _MAP_FIXED)
        for views, offset, nbytes in _reads(
            [(window.address, window.nbytes, window.offset)], file.size
        ):
            file.read(views, offset, nbytes)


def windows_of(name: str) -> tuple[Window, ...]:
    """Return where this process has a file mapped, the first part of the file first.

    Args:
        name: name under which it opens.
    """
    path = os.path.realpath(name).replace("\n", "\\012")
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == path:
            low, high = (int(each, 16) for each in fields[0].split("-"))
            found.append(Window(low, high - low, int(fields[2], 16)))
    return tuple(sorted(found, key=lambda each: each.offset))


def _reads(
    parts: Iterable[tuple[int, int, int]], size: int
) -> list[tuple[list[memoryview], int, int]]:
    """Return reads for parts (address, bytes, offset), those that follow each other as one."""
    joined: list[list[int]] = []
    for address, nbytes, offset in parts:
        last = joined[-1] if joined else [0, 0, 0]
        if nbytes and (last[0] + last[1], last[2] + last[1]) == (address, offset):
            last[1] += nbytes
        else:
            joined.append([address, nbytes, offset])
    return [
        (
            [memoryview((ctypes.c_ubyte * nbytes).from_address(address)).cast("B")],
            offset,
            min(nbytes, size - offset),  # the last page may be longer than the file
        )
        for address, nbytes, offset in joined
    ]


def _mapped(address: int | None, nbytes: int, protection: int, flags: int) -> int:
    """Return the address of memory without a file.

    It is not locked, whatever the process locks: locked pages are counted again with each move.

    Raises:
        BackendError: there is none.
    """
    found = _libc.mmap(address, nbytes, protection, _PRIVATE | flags, -1, 0)
    if found is None or found == _FAILED:
        raise BackendError(f"no memory for weights ({os.strerror(ctypes.get_errno())})")
    _libc.munlock(found, nbytes)
    return int(found)
