"""Loads the other cores while a network is measured; each load is a process on one core."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from aegis_ros.errors import ConfigError
from aegis_ros.sandbox.children import child_environment
from aegis_ros.sandbox.ctrl_c import kept_from_children
from aegis_ros.wcet.condition import Stress

__all__ = ["other_cores", "stressed"]

_MEMORY_BYTES = 64 * 1024 * 1024  # beyond any last-level cache's share of one core
_MATRIX = 256
_START_TIMEOUT_S = 20.0


def other_cores(lanes: Sequence[int | None], cores: frozenset[int]) -> tuple[int, ...]:
    """Return the cores a load may take, so that it does not run where the network does.

    Args:
        lanes: core of each lane, ``None`` for one that may run anywhere.
        cores: those this process may use.
    """
    free = sorted(cores - {core for core in lanes if core is not None})
    if any(core is None for core in lanes):
        free = free[1:]  # a lane that floats is pushed to the one that is left alone
    return tuple(free)


@contextmanager
def stressed(stress: Stress, cores: Sequence[int]) -> Iterator[None]:
    """Load cores until the block ends.

    Args:
        stress: the kind; ``none`` starts nothing.
        cores: one process each.

    Raises:
        ConfigError: there is no core for it.
    """
    if stress is Stress.NONE:
        yield
        return
    if not cores:
        raise ConfigError(
            "no core is left for a load",
            where="--stress",
            value=stress,
            expected="a core that is not a lane's",
            hint="Measure with --stress none, or give this process more cores",
        )
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.extend(_start(stress, core) for core in cores)
        for process in started:
            _wait_until_it_loads(process)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


def _start(stress: Stress, core: int) -> subprocess.Popen[bytes]:
    environment = child_environment()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = "1"
    with kept_from_children():  # it is for the command that measures
        return subprocess.Popen(
            [sys.executable, "-m", "aegis_ros.wcet.stress", stress, str(core)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=0,
        )


def _wait_until_it_loads(process: subprocess.Popen[bytes]) -> None:
    timer = threading.Timer(_START_TIMEOUT_S, process.kill)
    timer.start()
    try:
        if process.stdout is None or not process.stdout.readline():
            raise ConfigError("the load did not start", where="--stress")
    finally:
        timer.cancel()


def _load_memory() -> None:
    """Move data through the memory bus, a cache-full and more at a time."""
    source = np.ones(_MEMORY_BYTES, np.uint8)
    target = np.zeros(_MEMORY_BYTES, np.uint8)
    while True:
        np.copyto(target, source)
        np.copyto(source, target)


def _load_compute() -> None:
    """Keep the arithmetic units busy, out of the first cache levels."""
    left = np.full((_MATRIX, _MATRIX), 0.5, np.float32)
    right = np.full((_MATRIX, _MATRIX), 0.25, np.float32)
    product = np.empty_like(left)
    while True:
        np.matmul(left, right, out=product)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # nothing is ever written: it ends when whoever started us does
    os._exit(0)


def _main(stress: str, core: int) -> None:
    with suppress(OSError):
        os.sched_setaffinity(0, {core})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print("loading", flush=True)
    if stress == Stress.MEMORY:
        _load_memory()
    else:
        _load_compute()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
