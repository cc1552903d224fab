"""What the engine asks of the operating system so that its timing holds."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Sequence
from pathlib import Path

from aegis_ros.spec import LaneSpec

__all__ = [
    "claim_realtime",
    "collect_garbage",
    "freeze_memory",
    "keep_awake",
    "stay_off_lanes",
]

_LATENCY_DEVICE = "/dev/cpu_dma_latency"
_PR_SET_TIMERSLACK = 29
_MCL_CURRENT_AND_FUTURE = 3


def stay_off_lanes(lanes: Sequence[LaneSpec]) -> str:
    """Keep the calling thread, and those it starts, off the cores of lanes, if any core is left.

    A thread that holds the interpreter lock on the core of a real-time lane would wait there,
    lock in hand, for as long as the lane computes.
    """
    taken = {lane.cpu for lane in lanes}
    free = os.sched_getaffinity(0) - taken
    if not free or all(lane.cpu is None for lane in lanes):
        return ""
    try:
        os.sched_setaffinity(0, free)
    except OSError:
        return ""
    return "loop on core " + ", ".join(str(core) for core in sorted(free))


def keep_awake() -> str:
    """Keep idle cores from falling asleep for as long as this process lives.

    A core asleep takes some microseconds on bare metal and 50 and more in a virtual machine to
    begin with a frame (Linux, power management quality of service: the limit holds while the
    device is open, so nothing is left behind by a process that is killed).

    Returns:
        Why that is refused; empty where it is given.
    """
    try:
        device = os.open(_LATENCY_DEVICE, os.O_WRONLY | os.O_CLOEXEC)
        os.write(device, (0).to_bytes(4, "little"))  # longest wake-up that is borne, microseconds
    except OSError as error:
        return f"cores awake ({_LATENCY_DEVICE}: {error.strerror})"
    return ""


def claim_realtime(priority: int, affinity: str = "", *, awake: bool = False) -> str:
    """Ask for SCHED_FIFO, locked memory and exact timers; say in one sentence what was given.

    Args:
        priority: SCHED_FIFO priority of the calling thread, 0 to stay in the normal class.
        affinity: what :func:`stay_off_lanes` said.
        awake: whether to :func:`keep_awake`.
    """
    granted = [affinity] if affinity else []
    refused: list[str] = []
    if awake:
        reason = keep_awake()
        (refused if reason else granted).append(reason or "cores awake")
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl") and libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0) == 0:
        granted.append("timer slack 1 ns")
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            granted.append(f"SCHED_FIFO {priority}")
        except OSError as error:
            refused.append(f"SCHED_FIFO ({error.strerror}; allow it with: ulimit -r 99)")
    if hasattr(libc, "mlockall"):
        if libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0:
            granted.append("memory locked")
        else:
            reason = os.strerror(ctypes.get_errno())
            refused.append(f"memory lock ({reason}; allow it with: ulimit -l unlimited)")
    sentence = "given: " + (", ".join(granted) or "nothing")
    if refused:
        sentence += "; refused: " + ", ".join(refused)
    return sentence + _throttling(bool(priority))


def freeze_memory() -> None:
    """Move all objects out of the garbage collector's sight and switch it off."""
    gc.collect()
    gc.freeze()
    gc.disable()


def collect_garbage() -> None:
    """Collect the few objects made since :func:`freeze_memory`; only while nothing runs."""
    gc.collect()


def _throttling(realtime: bool) -> str:
    if not realtime:
        return ""
    try:
        runtime = int(Path("/proc/sys/kernel/sched_rt_runtime_us").read_text())
        period = int(Path("/proc/sys/kernel/sched_rt_period_us").read_text())
    except (OSError, ValueError):
        return ""
    if runtime < 0:
        return ""
    return (
        f"; the kernel stops real-time threads after {runtime / 1e3:.0f} ms in "
        f"{period / 1e3:.0f} ms (sched_rt_runtime_us)"
    )
