"""What a hostile network could make the process do that reads it; run in a contained child."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aegis_ros.errors import ModelError
from aegis_ros.rationale import Rule

_MAP_NORESERVE = 0x4000  # of Linux on x86-64 and arm64; Python knows it since 3.13


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do one thing and return what came of it."""
    return globals()[request["do"]](**request.get("how", {}))


def echo(**values: Any) -> dict[str, Any]:
    return values


def niceness() -> dict[str, Any]:
    return {"niceness": os.getpriority(os.PRIO_PROCESS, 0)}


def refuse() -> dict[str, Any]:
    raise ModelError(
        "no", where="model", value=3, expected="4", hint="Take 4", rule=Rule.MODEL_DIGEST
    )


def stay(place: str) -> dict[str, Any]:
    """Leave the number of this process in a file, and never end."""
    _leave_number(place)
    time.sleep(3600)
    return {}


def _leave_number(place: str) -> None:
    """Write the number of this process; who sees the file sees all of it."""
    Path(f"{place}.new").write_text(str(os.getpid()))
    Path(f"{place}.new").replace(place)


def read(path: str) -> dict[str, Any]:
    try:
        return {"content": Path(path).read_text()}
    except OSError as error:
        return {"refused": type(error).__name__}


def write(path: str) -> dict[str, Any]:
    try:
        Path(path).write_text("written")
    except OSError as error:
        return {"refused": type(error).__name__}
    return {}


def temporary() -> dict[str, Any]:
    """Make a file as libraries do that need one for a moment."""
    with tempfile.NamedTemporaryFile() as file:
        return {"folder": str(Path(file.name).parent)}


def connect(family: int, port: int) -> dict[str, Any]:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as made:
            made.connect(("127.0.0.1", port))
    except OSError as error:
        return {"refused": type(error).__name__}
    return {}


def local_socket(path: str) -> dict[str, Any]:
    """Talk to a program of this machine, which could do for this process what it may not."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
            made.connect(path)
    except OSError as error:
        return {"refused": type(error).__name__}
    return {}


def pair() -> dict[str, Any]:
    """Make two sockets without a name that are connected with each other."""
    try:
        for each in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM):
            each.close()
    except OSError as error:
        return {"refused": type(error).__name__}
    return {}


def open_pipes(most: int) -> dict[str, Any]:
    """Open pipes, which hold what is written to them in memory of the kernel's."""
    made: list[int] = []
    try:
        while len(made) < most:
            made.extend(os.pipe())
    except OSError as error:
        for each in made:
            os.close(each)
        return {"refused": errno.errorcode[error.errno or 0]}
    return {}


def call(number: int, *, bits: int = 64) -> dict[str, Any]:
    """Make a system call without arguments that would do, past every library."""
    if bits == 64:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        done = libc.syscall(number, 0, 0, 0, 0, 0, 0)
        return {"error": errno.errorcode[ctypes.get_errno()] if done < 0 else ""}
    # mov eax, edi; push rbx; xor ebx, ebx; xor ecx, ecx; xor edx, edx; int 0x80; pop rbx; ret
    code = bytes.fromhex("89f8 53 31db 31c9 31d2 cd80 5b c3")
    with mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(code)
        held = ctypes.c_char.from_buffer(page)
        done = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(ctypes.addressof(held))(number)
        del held
    return {"error": errno.errorcode[-done] if done < 0 else ""}


def signal(pid: int) -> dict[str, Any]:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return {"refused": type(error).__name__}
    return {}


def limits() -> dict[str, Any]:
    """Return the limits that the kernel holds this process to."""
    names = ("CPU", "CORE", "DATA", "FSIZE")
    return {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in names}


def begin_process(way: str) -> dict[str, Any]:
    """Make a process that would live on, with limits of its own."""
    try:
        if way == "fork":
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        else:
            subprocess.run(["true"], check=True, close_fds=way == "subprocess")
    except OSError as error:
        return {"refused": type(error).__name__}
    return {}


def begin_threads(count: int) -> dict[str, Any]:
    done: list[int] = []
    threads = [threading.Thread(target=done.append, args=(number,)) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return {"done": len(done)}


def fill_memory(size: int) -> dict[str, Any]:
    return {"sum": int(np.ones(size, np.uint8).sum())}


def hold_memory(size: int) -> dict[str, Any]:
    held = np.ones(size, np.uint8)
    while held[0]:
        time.sleep(0.01)
    return {}


def share_memory(size: int) -> dict[str, Any]:
    """Take memory that no limit of the kernel counts."""
    with mmap.mmap(-1, size) as held:
        for place in range(0, size, mmap.PAGESIZE):
            held[place] = 1
        while held[0]:
            time.sleep(0.01)
    return {}


def reserve_memory(size: int) -> dict[str, Any]:
    """Map memory without touching it, as drivers do."""
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE):
        return {}


def fill_disk(path: str, size: int) -> dict[str, Any]:
    with open(path, "wb") as file:
        for _ in range(size // 1024**2):
            file.write(bytes(1024**2))
    return {}


def fill_folder(folder: str, way: str, size: int) -> dict[str, Any]:
    """Take the disk with files of which none is too large, in a way that may hide them; stay."""
    held = []
    os.chdir(folder)
    if way == "deep":
        for _ in range(50):  # paths may have 4,096 characters
            os.mkdir("x" * 200)
            os.chdir("x" * 200)
    for number in range(20_000 if way == "empty" else 8):
        if way == "nested":
            os.mkdir("inner")
            os.chdir("inner")
        descriptor = os.open(str(number), os.O_WRONLY | os.O_CREAT)
        if way != "empty":
            os.posix_fallocate(descriptor, 0, size)
        if way == "unlinked":
            os.unlink(str(number))
            held.append(descriptor)
        else:
            os.close(descriptor)
    time.sleep(3600)
    return {}


def spin(note: str = "") -> dict[str, Any]:
    if note:
        _leave_number(note)
    while True:
        time.sleep(0.01)


def say(path: str) -> dict[str, Any]:
    """Answer with the text of a file, in place of what the program would."""
    reply = max(int(each) for each in os.listdir("/proc/self/fd") if _is_pipe(int(each)))
    with open(reply, "wb") as out:
        out.write(Path(path).read_bytes())
    os._exit(0)


def _is_pipe(descriptor: int) -> bool:
    try:
        return descriptor > 2 and os.readlink(f"/proc/self/fd/{descriptor}").startswith("pipe:")
    except OSError:
        return False


def crash() -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def end_by(number: int) -> dict[str, Any]:
    os.kill(os.getpid(), number)
    return {}


def open_file(path: str) -> dict[str, Any]:
    Path(path).read_bytes()
    return {}


def talk(size: int) -> dict[str, Any]:
    """Print a lot: what a library prints is no answer, and must not stop the work."""
    for _ in range(size // 1000):
        print("x" * 999)
        print("y" * 999, file=sys.stderr)
    os.write(1, b'{"not": "the answer"}')
    return {"printed": True}
