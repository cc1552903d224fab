"""Starts and ends the processes of a benchmark."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["process", "wait"]

_PATIENCE_S = 60.0
_END_S = 15.0


def wait(
    true: Callable[[], Any], what: str, running: subprocess.Popen[bytes] | None = None
) -> None:
    """Wait until ``true()``.

    Raises:
        SystemExit: it does not happen, or the process that should make it happen has ended.
    """
    end = time.monotonic() + _PATIENCE_S
    while not true():
        if running is not None and running.poll() is not None:
            raise SystemExit(f"{what}: the process ended with {running.returncode}")
        if time.monotonic() > end:
            raise SystemExit(f"{what}: this did not happen within {_PATIENCE_S:.0f} s")
        time.sleep(0.002)


@contextmanager
def process(log: Path, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m module`` and end it.

    It is in a session of its own, so that Ctrl-C ends this benchmark first, and what is measured
    only afterwards.
    """
    with log.open("ab") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
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
