"""What a child process may do, and how it gives up the rest before it opens a stranger's file.

Each protection is the kernel's: limits (setrlimit(2)), files (Landlock, since Linux 5.13), sockets
and processes (seccomp(2)). What a kernel lacks is left out; the others hold.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import platform
import resource
import site
import struct
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Containment", "contain", "landlock_version", "memory_limit"]

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2

# A child holds the interpreter, the libraries and a few copies of the network at a time.
_OVERHEAD_BYTES = 2 * 1024**3
_COPIES = 4
_MOST_FILES = 1024  # each may hold memory of the kernel's, as a pipe does, that is nobody's own
_DEVICE_OVERHEAD_BYTES = 6 * 1024**3  # a context, libraries of kernels, kernels that are tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """What a child is allowed.

    Attributes:
        memory_bytes: limit of its private memory, of each file it writes and of all of them; 0:
            none. Whoever starts the child watches memory that it shares, and how much its files
            take together, which have no limit of the kernel's.
        reads: files and folders it reads, besides the interpreter's and the system's.
        writes: folders it reads from and writes to.
        devices: it opens a GPU. Drivers reserve far more memory than they take, read what they
            like, and talk to programs of this machine: whoever starts the child watches what it has
            taken, and only what it writes is confined, to ``writes`` and what drivers keep of their
            own.
    """

    memory_bytes: int
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    devices: bool = False


def memory_limit(network_bytes: int, *, devices: bool = False) -> int:
    """Return the memory limit of a child that works on a network of this size, bytes.

    Args:
        network_bytes: what the network takes.
        devices: whether the child opens a GPU, with its driver and libraries.
    """
    overhead = _OVERHEAD_BYTES + (_DEVICE_OVERHEAD_BYTES if devices else 0)
    return overhead + _COPIES * network_bytes


def contain(allowed: Containment, *, cpu_s: int) -> None:
    """Give up, for good, whatever is not allowed; to be called before a second thread starts.

    Args:
        allowed: what remains.
        cpu_s: processor time after which the kernel ends this process, seconds.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_NOFILE, _MOST_FILES)
    if allowed.memory_bytes:
        _limit(resource.RLIMIT_FSIZE, allowed.memory_bytes)
        if not allowed.devices:
            _limit(resource.RLIMIT_DATA, allowed.memory_bytes)
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl") or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return
    _restrict_files(libc, allowed)
    _restrict_calls(libc, devices=allowed.devices)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


# --- files: Landlock (https://docs.kernel.org/userspace-api/landlock.html) ---

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_VERSION_ONLY = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}  # of files and folders
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14
_NEWEST_RIGHTS = 3
_SCOPES_SINCE = 6
_SCOPE_SOCKETS_AND_SIGNALS = 0b11  # of other processes
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/opt", "/proc", "/sys", "/dev/urandom")
_NOWHERE = "/dev/null"


def landlock_version() -> int:
    """Return the version of Landlock that this kernel has, 0 where it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syscall"):
        return 0
    return max(0, int(libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _VERSION_ONLY)))


def _restrict_files(libc: ctypes.CDLL, allowed: Containment) -> None:
    version = landlock_version()
    if not version:
        return
    everything = _RIGHTS_BY_VERSION[min(version, _NEWEST_RIGHTS)]
    if allowed.devices:
        everything &= ~_READ
    scoped = version >= _SCOPES_SINCE and not allowed.devices and _SCOPE_SOCKETS_AND_SIGNALS
    attributes = struct.pack("=QQQ", everything, 0, scoped)
    size = len(attributes) if scoped else 8
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, size, 0)
    if rules < 0:
        return
    try:
        if not allowed.devices:
            for path in {*_SYSTEM, *_interpreter(), *allowed.reads}:
                _allow(libc, rules, path, _READ)
        for path in {_NOWHERE, *allowed.writes, *(_of_drivers() if allowed.devices else ())}:
            _allow(libc, rules, path, everything)
        libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no permission
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES & ~(_EXECUTE if rights != _READ else 0)
        beneath = struct.pack("=Qi", rights, place)
        libc.syscall(_LANDLOCK_ADD_RULE, rules, _RULE_PATH_BENEATH, beneath, 0)
    finally:
        os.close(place)


def _of_drivers() -> Iterable[str]:
    """Return where the driver of a GPU writes: its devices, processes, its cache, its pipe.

    Tried on an H200: without /proc it does not start. Memory that has a name (/dev/shm) and
    folders for temporary files belong to all programs, and are not needed.
    """
    yield from glob.glob("/dev/nv*")  # nvidia0 …; nvmap, nvgpu, nvhost … of a Jetson
    yield from ("/dev/dri", "/dev/accel", "/dev/zero", "/proc")  # accel: NPUs
    yield os.environ.get("CUDA_CACHE_PATH") or os.path.expanduser("~/.nv")
    yield os.environ.get("CUDA_MPS_PIPE_DIRECTORY") or "/tmp/nvidia-mps"


def _interpreter() -> Iterable[str]:
    """Return the folders that Python and our own package are read from."""
    yield from (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    yield from sysconfig.get_paths().values()
    yield site.getusersitepackages()
    yield str(Path(__file__).resolve().parents[1])
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    for path in (*sys.path, *libraries):
        if path:
            yield path
            yield os.path.realpath(path)


# --- calls: seccomp (https://docs.kernel.org/userspace-api/seccomp_filter.html) ---


@dataclass(frozen=True, slots=True)
class _Calls:
    """Numbers of an architecture.

    Attributes:
        architecture: audit number.
        socket, pair, io_uring, clone, clone3: of socket(2), socketpair(2), io_uring_setup(2),
            clone(2) and clone3(2).
        memory: of calls that make memory which is nobody's own: memfd_create(2), shmget(2),
            memfd_secret(2).
        forks: of older calls that make a process.
    """

    architecture: int
    socket: int
    pair: int
    io_uring: int
    clone: int
    clone3: int
    memory: tuple[int, ...]
    forks: tuple[int, ...] = ()


_CALLS = {
    "x86_64": _Calls(0xC000003E, 41, 53, 425, 56, 435, (319, 29, 447), (57, 58)),
    "aarch64": _Calls(0xC00000B7, 198, 199, 425, 220, 435, (279, 194, 447)),
}
_AF_UNIX = 1
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_REFUSE, _ABSENT = _ERRNO | errno.EACCES, _ERRNO | errno.ENOSYS


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _restrict_calls(libc: ctypes.CDLL, *, devices: bool) -> None:
    """Refuse sockets, io_uring, which could make one, memory that nobody counts, and processes.

    A process that a child made would have limits of its own, and live on without it. So would one
    that a program of this machine makes on request: only drivers get sockets to talk to those.
    glibc makes threads with clone(2) where there is no clone3(2), whose flags no filter can see.
    """
    calls = _CALLS.get(platform.machine())
    if calls is None or sys.byteorder != "little" or struct.calcsize("P") != 8:
        return
    code = b"".join(struct.pack("=HBBI", *each) for each in _filter(calls, devices=devices))
    held = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(held))
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)


def _filter(calls: _Calls, *, devices: bool) -> list[tuple[int, int, int, int]]:
    """Return instructions of the kernel's filter machine: code, jumps if true and if not, value."""
    refused = (calls.io_uring, *calls.forks)
    if not devices:
        refused += (calls.socket, calls.pair, *calls.memory)
    code = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, calls.architecture),
        (_RETURN, 0, 0, _REFUSE),  # 32-bit calls have numbers of their own
        (_LOAD_WORD, 0, 0, _NUMBER_AT),
        (_JUMP_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE),
    ]
    for number in refused:
        code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    code += [(_JUMP_EQUAL, 0, 1, calls.clone3), (_RETURN, 0, 0, _ABSENT)]
    for number, (jump, value) in (
        (calls.clone, (_JUMP_SET, _CLONE_THREAD)),
        (calls.socket, (_JUMP_EQUAL, _AF_UNIX)),
        (calls.pair, (_JUMP_EQUAL, _AF_UNIX)),
    ):
        code += [
            (_JUMP_EQUAL, 0, 4, number),
            (_LOAD_WORD, 0, 0, _FIRST_ARGUMENT_AT),
            (jump, 1, 0, value),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    return [*code, (_RETURN, 0, 0, _ALLOW)]
