"""Measures for how long a machine stops a thread that nothing should stop.

The thread has the highest priority on its core and does nothing but read the clock; what it misses
was taken by interrupts, firmware, or the host of a virtual machine (the idea of hwlatdetect of
rt-tests, without a tracer in the kernel).
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aegis_ros.errors import AegisError
from aegis_ros.host.finding import Finding, costs, good, unknown

__all__ = ["Standstill", "measure", "standstills"]

_LEAST_NS = 50_000  # shorter ones are timer interrupts and the like
_LIMIT_NS = 200_000
_PRIORITY = 98
_BUSY_NS = 18_000_000  # in turns with a pause, or the kernel would throttle it
_PAUSE_S = 0.002
_TICK_S = 0.1
_PATIENCE_S = 10.0
_CHILD = ["-W", "ignore", "-P", "-m", __name__]  # -P: nothing of the folder it is started in
_ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True, slots=True)
class Standstill:
    """What was seen on one core.

    Attributes:
        core: which.
        seconds: for how long it was watched.
        realtime: whether that was in SCHED_FIFO; else other programs are among the stops.
        stops_ns: every stop of more than 50 microseconds.
    """

    core: int
    seconds: float
    realtime: bool
    stops_ns: tuple[int, ...]


def measure(
    core: int, seconds: float, on_progress: Callable[[float], None] = lambda share: None
) -> Standstill:
    """Keep a core busy for a while, in a process of its own, and return how often it stood still.

    Args:
        core: which.
        seconds: for how long.
        on_progress: called with the share that is done, 0..1.

    Raises:
        AegisError: the core cannot be used.
    """
    command = [sys.executable, *_CHILD, str(core), str(seconds), str(os.getpid())]
    found = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH", "")]))
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": found},
    ) as child:
        begin = time.monotonic()
        out = problem = ""
        try:
            while child.returncode is None and time.monotonic() - begin < seconds + _PATIENCE_S:
                on_progress(min(1.0, (time.monotonic() - begin) / seconds))
                with suppress(subprocess.TimeoutExpired):
                    # Read as it comes: a pipe that is full would hold the child up for ever.
                    out, problem = child.communicate(timeout=_TICK_S)
        finally:
            child.kill()
    if child.returncode != 0:
        lines = problem.strip().splitlines() or ["it was killed"]
        raise AegisError(f"core {core} cannot be watched ({lines[-1]})")
    seen = json.loads(out)
    return Standstill(core, seconds, bool(seen["realtime"]), tuple(seen["stops_ns"]))


def standstills(seen: Sequence[Standstill]) -> Finding:
    """Return what the watched cores come to."""
    name = "standstills"
    worst = max(seen, key=lambda each: max(each.stops_ns, default=0))
    longest = max(worst.stops_ns, default=0)
    if longest > _LIMIT_NS and not worst.realtime:
        return unknown(name, f"core {worst.core} cannot be watched: SCHED_FIFO is refused")
    if not longest:
        return good(name, f"none above {_LEAST_NS / 1e3:.0f} µs in {worst.seconds:.0f} s")
    times = f"{len(worst.stops_ns)} time{'s' * (len(worst.stops_ns) != 1)}"
    here = f"core {worst.core}: {times} in {worst.seconds:.0f} s, up to {longest / 1e6:.2f} ms"
    if longest <= _LIMIT_NS:
        return good(name, here)
    return costs(
        name,
        here,
        "a segment that runs meanwhile takes that much longer, and budgets measured in quieter "
        "minutes do not cover it",
        "sudo apt install rt-tests && sudo hwlatdetect --duration=60 --threshold=50   # if it "
        "finds them too: firmware or a host; else interrupts: isolate the core",
    )


def _watch(core: int, seconds: float, parent: int) -> Standstill | None:
    """Keep a core busy; ``None`` if the process that asked is gone meanwhile."""
    os.sched_setaffinity(0, {core})
    realtime = False
    for priority in (_PRIORITY, resource.getrlimit(resource.RLIMIT_RTPRIO)[0]):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(min(priority, _PRIORITY)))
            realtime = True
            break
    gc.disable()
    clock, stops = time.perf_counter_ns, []
    before = clock()
    end = before + round(seconds * 1e9)
    while before < end:
        if os.getppid() != parent:  # it was killed: nobody else gives the core back
            return None
        stop = before + _BUSY_NS
        while before < stop:
            now = clock()
            if now - before > _LEAST_NS:
                stops.append(now - before)
            before = now
        time.sleep(_PAUSE_S)
        before = clock()
    return Standstill(core, seconds, realtime, tuple(stops))


if __name__ == "__main__":
    _seen = _watch(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
    if _seen is not None:
        print(json.dumps({"realtime": _seen.realtime, "stops_ns": _seen.stops_ns}))
