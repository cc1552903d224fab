"""What the engine asks of the operating system so that its timing holds."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

__all__ = ["claim_realtime", "freeze_memory"]

_PR_SET_TIMERSLACK = 29
_MCL_CURRENT_AND_FUTURE = 3


def claim_realtime(priority: int) -> str:
    """Ask for SCHED_FIFO, locked memory and exact timers; say in one sentence what was given.

    Args:
        priority: SCHED_FIFO priority of the calling thread, 0 to stay in the normal class.
    """
    given: list[str] = []
    refused: list[str] = []
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl") and libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0) == 0:
        given.append("timer slack 1 ns")
    if priority:
        try:
            # Threads started from here on begin in the normal class again.
            policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(0, policy, os.sched_param(priority))
            given.append(f"SCHED_FIFO {priority}")
        except OSError as error:
            refused.append(f"SCHED_FIFO ({error.strerror}; allow it with: ulimit -r 99)")
    if hasattr(libc, "mlockall"):
        if libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0:
            given.append("memory locked")
        else:
            reason = os.strerror(ctypes.get_errno())
            refused.append(f"memory lock ({reason}; allow it with: ulimit -l unlimited)")
    sentence = "given: " + (", ".join(given) or "nothing")
    if refused:
        sentence += "; refused: " + ", ".join(refused)
    return sentence + _throttling(bool(priority))


def freeze_memory() -> None:
    """Move all objects out of the garbage collector's sight and switch it off."""
    gc.collect()
    gc.freeze()
    gc.disable()


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
