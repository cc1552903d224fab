"""The driver: a camera for each task in a process of its own, that can be told to misbehave.

    python -m benchmarks.soak.camera TASKS_JSON SENT.bin FIRST_SEQ HEIGHT WIDTH PRIORITY

Each frame is written to SENT.bin before it is published, and has its number as `frame_id`, so that
a driver that is killed leaves an exact list. Commands come as lines on the standard input:
`pause SECONDS`, `stamps TASK_NUMBER SECONDS OFFSET_MS` (`none` for stamps of 0). It runs in the
normal class until it is ready to send: who imports for a second above a node's threads may stop one
that holds the interpreter lock or a lock of DDS, and results wait for it.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import Image

from benchmarks.driver import cameras, paced
from benchmarks.soak.ledger import SENT, USUAL, WRONG_STAMP
from benchmarks.soak.own_threads import claim_class

_ROW = struct.Struct("<BBIq")
_MATCH_S = 60.0
_WARM_UP_S = 0.5  # a reader may know of a writer a moment after the writer knows of it
_LOOK_S = 0.05
_SECOND_NS = 1_000_000_000
_NO_STAMP = "none"


@dataclass
class _Orders:
    """What was commanded; written by the thread that reads the commands."""

    paused_until: float = 0.0
    wrong: tuple[int, float, str] = (-1, 0.0, "")  # task, until when, offset


def main() -> None:
    """Publish until killed."""
    assert _ROW.size == SENT.itemsize
    tasks = json.loads(sys.argv[1])
    file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    first, height, width, priority = map(int, sys.argv[3:7])
    _node, image, publishers = cameras("driver", tasks, height, width)
    end = time.monotonic() + _MATCH_S
    while not all(each.get_subscription_count() for each in publishers):
        if time.monotonic() > end:
            raise SystemExit("nobody subscribes to the cameras")
        time.sleep(0.02)
    time.sleep(_WARM_UP_S)
    orders = _Orders()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    claim_class(priority)
    _publish(tasks, image, publishers, sent=(file, first), orders=orders)


def _listen(orders: _Orders) -> None:
    for line in sys.stdin:
        match line.split():
            case ["pause", seconds]:
                orders.paused_until = time.monotonic() + float(seconds)
            case ["stamps", task, seconds, offset_ms]:
                orders.wrong = int(task), time.monotonic() + float(seconds), offset_ms
            case _:
                print(f"unknown command: {line!r}", file=sys.stderr, flush=True)
    os._exit(0)  # whoever started it is gone


def _publish(
    tasks: list[dict[str, Any]],
    image: Image,
    publishers: list[Any],
    *,
    sent: tuple[int, int],
    orders: _Orders,
) -> None:
    file, seq = sent
    for at in paced(tasks):
        while (left := orders.paused_until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))
        now = time.time_ns()
        kind, stamp_ns = USUAL, now
        task, until, offset_ms = orders.wrong
        if at == task and time.monotonic() < until:
            kind = WRONG_STAMP
            stamp_ns = 0 if offset_ms == _NO_STAMP else now + round(float(offset_ms) * 1e6)
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp_ns, _SECOND_NS)
        image.header.frame_id = str(seq)
        os.write(file, _ROW.pack(at, kind, seq, now))
        publishers[at].publish(image)
        seq += 1


if __name__ == "__main__":
    main()
