"""Has a module of this package work on a stranger's file in a child process that can do no harm."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from aegis_ros.config import read_json
from aegis_ros.errors import ConfigError, ModelError, load_error
from aegis_ros.rationale import Rule
from aegis_ros.rationale.loading import Crashed, LoadFailure, MemoryUsedUp, TookTooLong
from aegis_ros.sandbox.contained import DISK_REFUSES, OUT_OF_MEMORY
from aegis_ros.sandbox.containment import Containment
from aegis_ros.sandbox.ctrl_c import kept_from_children
from aegis_ros.sandbox.disk_use import kept_bytes
from aegis_ros.sandbox.stopping import check_stop, ended_by_stop
from aegis_ros.sandbox.storage import storage_failure

__all__ = ["child_environment", "run_child"]

_ANSWER_BYTES = 8 * 1024 * 1024
_LAST_WORDS_BYTES = 8 * 1024
_WATCH_S = 0.1
_TAKEN = ("RssAnon", "RssShmem", "VmSwap")


def run_child(
    module: str,
    request: Mapping[str, Any],
    *,
    allowed: Containment,
    timeout_s: float,
    subject: str,
    descriptors: Sequence[int] = (),
    too_long: Callable[[float], LoadFailure] = TookTooLong,
) -> dict[str, Any]:
    """Have a child process call ``answer(request)`` of a module, and return its answer.

    The child ends when this thread does, after ``timeout_s``, and when it takes more memory or disk
    than it may; it has no network (:mod:`~aegis_ros.sandbox.containment`).

    Args:
        module: has ``answer``, which takes and returns plain JSON.
        request: what ``answer`` takes.
        allowed: what the child may do.
        timeout_s: how long it may take, of wall and of processor time.
        subject: the file at work, for messages.
        descriptors: open files that the child reads, under the same numbers.
        too_long: the failure, in seconds, of a child that is not done in time.

    Raises:
        ModelError: the child refused, crashed, used up its memory, or took too long.
        StoppedError: this thread was asked to stop; the child is gone.
    """
    check_stop()
    order = {
        "module": module,
        "request": request,
        "allowed": asdict(allowed),
        "timeout_s": timeout_s,
        "parent": os.getpid(),
    }
    with tempfile.TemporaryFile() as orders:
        orders.write(json.dumps(order).encode())
        orders.seek(0)
        with kept_from_children():  # it is for this process, which ends the child
            process = subprocess.Popen(
                [sys.executable, "-m", "aegis_ros.sandbox.contained"],
                stdin=orders,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=child_environment() | ({"TMPDIR": allowed.writes[0]} if allowed.writes else {}),
                pass_fds=tuple(descriptors),
                process_group=0,
            )
    with process:
        answer, said = _Pipe(process.stdout, _ANSWER_BYTES), _Pipe(process.stderr)
        try:
            with ended_by_stop(process.kill):
                code = _ended_within(process, timeout_s, allowed)
        except subprocess.TimeoutExpired as error:
            raise load_error(too_long(timeout_s), ModelError, subject) from error
        except _TakenError as error:
            failure = MemoryUsedUp(allowed.memory_bytes, of_disk=error.of_disk)
            raise load_error(failure, ModelError, subject) from error
        finally:
            process.kill()
            answer.join()
            said.join()
    check_stop()
    if code == -signal.SIGXCPU:
        raise load_error(too_long(timeout_s), ModelError, subject)
    if code != 0:
        raise load_error(_ended(code, said.content, allowed), ModelError, subject)
    return _understood(answer.content, allowed, subject)


def _ended_within(process: subprocess.Popen[bytes], timeout_s: float, allowed: Containment) -> int:
    """Return the code with which a child ended; watches the memory and the disk that it takes.

    Raises:
        TimeoutExpired: it has not ended.
        _TakenError: it has taken more than it may.
    """
    if not allowed.memory_bytes:
        return process.wait(timeout_s)
    # A folder may hold what an earlier child has left for this one.
    most_kept = allowed.memory_bytes + kept_bytes(process.pid, allowed.writes)
    end = time.monotonic() + timeout_s
    while True:
        try:
            return process.wait(min(_WATCH_S, max(0.0, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                raise
        if _taken_bytes(process.pid) > allowed.memory_bytes:
            raise _TakenError(of_disk=False)
        if kept_bytes(process.pid, allowed.writes) >= most_kept:
            raise _TakenError(of_disk=True)


def _taken_bytes(pid: int) -> int:
    """Return the memory that a process has taken: resident or swapped out, not of files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    return 1024 * sum(int(found.get(name, "0 kB").split()[0]) for name in _TAKEN)


class _TakenError(Exception):
    """A child has taken more memory, or more of the disk, than it may."""

    def __init__(self, *, of_disk: bool) -> None:
        super().__init__()
        self.of_disk = of_disk


def _understood(content: bytes, allowed: Containment, subject: str) -> dict[str, Any]:
    """Return an answer; raise where it says that the child could not do it."""
    limit = allowed.memory_bytes
    senseless = Crashed("an answer that cannot be read", "", limit)
    try:
        answer = read_json(content, "answer", most_bytes=_ANSWER_BYTES, any_number=True)
    except ConfigError as error:
        raise load_error(senseless, ModelError, subject) from error
    if not isinstance(answer, dict):
        raise load_error(senseless, ModelError, subject)
    if "problem" not in answer:
        return answer
    try:
        raise _refusal(answer, allowed, subject)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise load_error(senseless, ModelError, subject) from error


def _refusal(answer: dict[str, Any], allowed: Containment, subject: str) -> ModelError:
    """Return the error that an answer describes; raise in some way where it describes none."""
    limit = allowed.memory_bytes
    if answer["problem"] == OUT_OF_MEMORY:
        return load_error(MemoryUsedUp(limit), ModelError, subject)
    if answer["problem"] == DISK_REFUSES:
        path = answer["file"] or ", ".join(allowed.writes)
        failure: LoadFailure = storage_failure(answer["number"], path, answer["detail"])
        if answer["number"] == errno.EFBIG:
            failure = MemoryUsedUp(limit, of_disk=True)
        return load_error(failure, ModelError, subject)
    rule = Rule(answer.pop("rule", Rule.MODEL_VALID))
    return ModelError(**answer, rule=rule)


def _ended(code: int, said: bytes, allowed: Containment) -> LoadFailure:
    """Return why a child ended that did not answer."""
    if code == -signal.SIGKILL:  # of the system, for want of memory, in all likelihood
        return MemoryUsedUp()
    lines = said.decode(errors="replace").strip().splitlines()[-1:]
    how = f"code {code}"
    with suppress(ValueError):
        how = signal.Signals(-code).name
    return Crashed(how, lines[0][:200] if lines else "", allowed.memory_bytes)


class _Pipe:
    """Reads a pipe to its end, so that its writer never waits; keeps a bounded part of it.

    Args:
        pipe: is read in a thread.
        limit: keep the first so many bytes; by default a few of the last ones are kept.
    """

    def __init__(self, pipe: IO[bytes] | None, limit: int = 0) -> None:
        """Start to read."""
        assert pipe is not None
        self.content = b""
        self._pipe, self._limit = pipe, limit
        self._thread = threading.Thread(target=self._read, name="child-output", daemon=True)
        self._thread.start()
        self.join = self._thread.join

    def _read(self) -> None:
        first = bytearray()
        with suppress(ValueError):  # whoever asked was interrupted, and has closed it
            while data := self._pipe.read1(65536):  # type: ignore[attr-defined]
                if self._limit:
                    first += data[: self._limit - len(first)]
                else:
                    first = (first + data)[-_LAST_WORDS_BYTES:]
        self.content = bytes(first)


def child_environment() -> dict[str, str]:
    """Return the environment for a child interpreter that finds this very package.

    ROS wheels leave a marker that makes a child skip setting up its library path; the child does
    not need ROS at all. It imports nothing of the folder it is started in, as ``python -m`` would:
    in /tmp, every user can put a module there.
    """
    environment = dict(os.environ)
    environment["PYTHONSAFEPATH"] = "1"
    root = str(Path(__file__).resolve().parents[2])
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join([root, *(path for path in paths if path)])
    return environment
