"""Watches what one input costs: time, memory, and the files that are opened for it."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import resource
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "Watch"]

_LIBC = ctypes.CDLL(None)
_ROOT = Path(__file__).resolve().parents[2]
_PEAK = re.compile(rb"VmHWM:\s+(\d+) kB")
_RESET_PEAK = b"5"  # proc_pid_clear_refs(5)
# mallopt(3), and the values that a program begins with.
_ALLOCATOR = {-1: 128 * 1024, -3: 128 * 1024, -4: 65_536}  # trim, own mappings from, how many
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events (https://docs.python.org/3/library/audit_events.html) that name a file first.
_READS = frozenset(["open", "os.listdir", "os.scandir"])
_CHANGES = frozenset(["sqlite3.connect", "os.mkdir", "os.remove", "os.rmdir", "os.rename"])
_STARTS = frozenset(["subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"])


@dataclass(frozen=True, slots=True)
class Cost:
    """What an input took.

    Attributes:
        seconds: of wall time, without the time in which other programs had the core.
        memory_bytes: by how much the process grew at most, since it was ready.
        outside: files that were opened, and programs that were started, and may not be.
    """

    seconds: float
    memory_bytes: int
    outside: tuple[str, ...]


class Watch:
    """Measures pieces of work, one at a time, in this process.

    Files are seen that Python opens, through an audit hook; a library written in C that opens one
    by itself is not. The interpreter's and this project's code may be read at any time.

    Args:
        scratch: folder that may be read and written.
        reads: further files and folders that may be read.
        strangers: threads that have nothing to do with the work; what they open is not seen.
    """

    def __init__(
        self, scratch: Path, reads: Iterable[str] = (), strangers: Iterable[int] = ()
    ) -> None:
        """Begin with what the process has now."""
        self._strangers = frozenset(strangers)
        self._writable = (os.path.realpath(scratch), "/dev/null")
        self._readable = (
            *self._writable,
            *_code(),
            *(os.path.realpath(each.replace("~", str(scratch))) for each in reads),
        )
        self._memory, self._wait = _Memory(), _Wait()
        _give_back_at_once()
        self.ready()

    def ready(self) -> None:
        """Take what the process has now as what it needs by itself."""
        gc.collect()  # what others have left would be given back while something is measured
        if hasattr(_LIBC, "malloc_trim"):
            _LIBC.malloc_trim(0)
        self._ready = self._memory.reset()

    def cost(self, work: Callable[[], object]) -> Cost:
        """Work, and return what it took; whatever the work raises is raised."""
        noted: list[str] = []
        self._ready = min(self._ready, self._memory.reset())
        _notes.append(lambda event, name: self._note(noted, event, name))
        begin = time.perf_counter() - self._wait.seconds()
        try:
            work()
        finally:
            seconds = time.perf_counter() - self._wait.seconds() - begin
            _notes.pop()
        grown = max(0, self._memory.peak() - self._ready)
        return Cost(seconds, grown, tuple(dict.fromkeys(noted)))

    def _note(self, noted: list[str], event: str, arguments: tuple[object, ...]) -> None:
        if threading.get_ident() in self._strangers:
            return
        first = arguments[0] if arguments else None
        if isinstance(first, int) or first is None:
            return  # a descriptor that is open already
        name = os.fsdecode(first) if isinstance(first, str | bytes | os.PathLike) else str(first)
        if event in _STARTS:
            if name != sys.executable:
                noted.append(f"{event} {name}")
            return
        writes = event in _CHANGES or _is_written(arguments)
        allowed = self._writable if writes else self._readable
        path = os.path.realpath(os.path.join(_folder(event, arguments), name))
        if name == ":memory:" or any(_below(path, each) for each in allowed):
            return
        if writes and "__pycache__" in path and any(_below(path, each) for each in self._readable):
            return
        noted.append(f"{'write' if writes else 'read'} {path}")


def _give_back_at_once() -> None:
    """Have what is freed go back to the system, so that each input is seen by itself.

    What earlier work asked of the allocator, or had it learn, would hide what fits into free memory
    that it keeps. Naming a value ends the learning, even where it is the one at the beginning.
    """
    if hasattr(_LIBC, "mallopt"):
        for name, value in _ALLOCATOR.items():
            _LIBC.mallopt(name, value)


class _Memory:
    """The resident memory of this process, and its peak since a moment."""

    def __init__(self) -> None:
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._peak = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:  # a kernel without it: the peak never falls again
            self._peak = -1

    def __del__(self) -> None:
        for each in (self._status, self._peak):
            if each >= 0:
                os.close(each)

    def reset(self) -> int:
        """Begin a new peak; return what it is now, bytes."""
        if self._peak >= 0:
            os.write(self._peak, _RESET_PEAK)
        return self.peak()

    def peak(self) -> int:
        """Return the most that this process had, bytes."""
        found = _PEAK.search(os.pread(self._status, 8192, 0))
        if found is None:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return int(found[1]) * 1024


class _Wait:
    """For how long the thread that made this could have run, and had no core to run on."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a kernel that does not count it
            self._file = -1

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

    def seconds(self) -> float:
        """Return it since the thread began (proc(5): time on the core, time waited, slices)."""
        if self._file < 0:
            return 0.0
        return int(os.pread(self._file, 128, 0).split()[1]) * 1e-9


def _code() -> Iterable[str]:
    """Return what Python, its libraries and this project are read from."""
    found = {sys.prefix, sys.exec_prefix, sys.base_prefix, *sysconfig.get_paths().values()}
    found |= {path for path in sys.path if path and Path(path) != _ROOT}
    ours = [_ROOT / name for name in ("aegis_ros", "test", "benchmarks", "install", "build")]
    return [os.path.realpath(each) for each in (*found, *ours, "/proc/self", "/dev/urandom")]


def _is_written(arguments: tuple[object, ...]) -> bool:
    """Return whether a file is opened to be written: ``arguments`` are (path, mode, flags)."""
    flags = arguments[2] if len(arguments) > 2 else 0
    return isinstance(flags, int) and bool(flags & _WRITES)


def _folder(event: str, arguments: tuple[object, ...]) -> str:
    """Return what a relative name is relative to: ``arguments`` of a removal are (path, folder)."""
    if event in ("os.remove", "os.rmdir") and isinstance(arguments[1], int) and arguments[1] >= 0:
        return f"/proc/self/fd/{arguments[1]}"
    return ""


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


# An audit hook stays for good, so there is one, for whoever listens now.
_notes: list[Callable[[str, tuple[object, ...]], None]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _notes and (event in _READS or event in _CHANGES or event in _STARTS):
        _notes[-1](event, arguments)


sys.addaudithook(_hook)
