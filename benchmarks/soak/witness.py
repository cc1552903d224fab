"""Watches one core with the highest priority: what stops this program stops a lane, too.

    python -m benchmarks.soak.witness CORE FILE

It wakes up every two milliseconds, for some microseconds, and writes a row to FILE (see ``ledger``)
for each time at which it could not: the host of a virtual machine took the core away, or the kernel
gave it to programs of the normal class (its fair server, from Linux 6.12 on).
"""

from __future__ import annotations

import gc
import os
import struct
import sys
import time

from benchmarks.soak.ledger import STOPPED

_EVERY_NS = 2_000_000
_LATE_NS = 1_000_000
_PRIORITY = 98
_ROW = struct.Struct("<qq")


def main() -> None:
    """Watch until killed."""
    assert _ROW.size == STOPPED.itemsize
    os.sched_setaffinity(0, {int(sys.argv[1])})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    gc.disable()
    clock, sleep = time.monotonic_ns, time.sleep
    due = clock()
    while True:
        due += _EVERY_NS
        rest = due - clock()
        if rest > 0:
            sleep(rest / 1e9)
        late = clock() - due
        if late > _LATE_NS:
            os.write(file, _ROW.pack(time.time_ns() - late, late))
            due = clock()


if __name__ == "__main__":
    main()
