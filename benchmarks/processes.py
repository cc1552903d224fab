"""Starts and ends the processes of a benchmark, and says at once why one does not do its work."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["INTERRUPTIBLE", "last_lines", "process", "start", "wait"]

# Before a command: a shell has what runs in its background ignore SIGINT, and its children as well.
INTERRUPTIBLE = ("env", "--default-signal=INT")
_PATIENCE_S = 60.0
_END_S = 15.0
_LINES = 6


def wait(
    true: Callable[[], Any],
    what: str,
    running: subprocess.Popen[bytes] | None = None,
    *,
    log: Path | None = None,
    refused: Callable[[], str] = str,
    patience_s: float = _PATIENCE_S,
) -> None:
    """Wait until ``true()``.

    Args:
        true: what is waited for.
        what: it is, in words.
        running: the process that should make it happen.
        log: of that process; its last lines go into the error.
        refused: returns why it will not happen; empty as long as it may.
        patience_s: seconds to wait at most.

    Raises:
        SystemExit: it does not happen, with the reason as far as it is known.
    """
    end = time.monotonic() + patience_s
    while not true():
        if reason := refused():
            raise SystemExit(f"{what}: {reason}")
        if running is not None and running.poll() is not None:
            _give_up(f"{what}: the process ended with code {running.returncode}", log)
        if time.monotonic() > end:
            _give_up(f"{what}: nothing within {patience_s:.0f} s", log)
        time.sleep(0.002)


def _give_up(text: str, log: Path | None) -> None:
    said = last_lines(log) if log is not None else ""
    raise SystemExit(f"{text}; it said last:\n{said}" if said else text)


def last_lines(log: Path, count: int = _LINES) -> str:
    """Return the last lines of a log that say something; empty where there are none."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join([line for line in lines if line.strip()][-count:])


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a process that ends with this one, also if this one is killed.

    The package of a commit before 0.2.0, which benchmarks are run on to compare, cannot see to that
    itself; then whatever has started the comparison does.

    Args:
        command: program and arguments.
        options: of ``subprocess.Popen``.
    """
    with suppress(ImportError):
        import_module("aegis_ros.sandbox.descendants").end_with_this_process()
    return subprocess.Popen(command, **options)


@contextmanager
def process(log: Path, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m module`` and end it.

    It is in a session of its own, so that Ctrl-C ends this benchmark first, and what is measured
    only afterwards.
    """
    with log.open("ab") as output:
        running = start(
            [*INTERRUPTIBLE, sys.executable, "-m", module, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        # Asked first: a node that is killed leaves shared memory that others trip over.
        running.send_signal(signal.SIGINT)
        try:
            running.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
