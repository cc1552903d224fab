"""The program that a contained child runs: ``python -m aegis_ros.sandbox.contained``.

It reads an order on stdin, gives up what the order does not allow, and only then imports the
module that does the work and calls its ``answer(request)``.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from typing import Any

from aegis_ros.errors import AegisError
from aegis_ros.sandbox.containment import Containment, contain
from aegis_ros.sandbox.parent import die_with_parent

__all__ = ["DISK_REFUSES", "OUT_OF_MEMORY", "main", "make_way"]

DISK_REFUSES = "the disk refuses"
OUT_OF_MEMORY = "its memory is used up"

# What takes seconds makes way for frames and quick requests, with which it may share one core.
_YIELDS = 10


def main() -> None:
    """Answer one request: a JSON object, or ``{"problem": …}``, as the only line on stdout."""
    order: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    die_with_parent(order["parent"])
    make_way()
    reply = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints goes elsewhere
    contain(
        Containment(**order["allowed"]), cpu_s=math.ceil(order["timeout_s"] * (os.cpu_count() or 1))
    )
    answer: dict[str, Any]
    try:
        answer = importlib.import_module(order["module"]).answer(order["request"])
    except AegisError as error:
        answer = {
            "problem": error.problem,
            "where": error.where,
            "value": error.value or None,
            "expected": error.expected,
            "hint": error.hint,
            "rule": str(error.rule),
        }
    except MemoryError:
        answer = {"problem": OUT_OF_MEMORY}
    except OSError as error:
        answer = {
            "problem": DISK_REFUSES,
            "number": error.errno or 0,
            "file": str(error.filename or ""),
            "detail": error.strerror or str(error),
        }
    with open(reply, "w", encoding="utf-8") as out:
        json.dump(answer, out)


def make_way() -> None:
    """Run behind others in the normal class, whatever class whoever started this process is in."""
    if os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # niceness means nothing there
    os.nice(_YIELDS)


if __name__ == "__main__":
    main()
