"""The fixed-size records that node and engine exchange for every frame."""

from __future__ import annotations

import struct
from enum import IntEnum

from aegis_ros.rationale import Rule
from aegis_ros.spec import OverrunPolicy

__all__ = [
    "DONE",
    "MAX_DIMS",
    "MAX_RECORD_BYTES",
    "OUTPUT_FREE",
    "OVERRUN",
    "POLICIES",
    "RESTORED",
    "SKIPPED",
    "SKIP_RULES",
    "SUBMIT",
    "Kind",
    "skip_code",
]

MAX_DIMS = 3
MAX_RECORD_BYTES = 512


class Kind(IntEnum):
    """First byte of every record."""

    SUBMIT = 1
    OUTPUT_FREE = 2
    DONE = 3
    SKIPPED = 4
    OVERRUN = 5
    RESTORED = 6


# kind, task, seq, channel, slot, rank, extents x3, arrival, received, deadline (all monotonic ns)
SUBMIT = struct.Struct("<BxxxIQIIIIIIqqq")
# kind, task, output slot
OUTPUT_FREE = struct.Struct("<BxxxII")
# kind, whether it ended at its early exit, task, seq, channel, slot, output slot, released,
# started, finished, execution
DONE = struct.Struct("<B?xxIQIIIqqqq")
# kind, rule, task, seq, channel, slot; followed by UTF-8 text
SKIPPED = struct.Struct("<BBxxIQII")

# kind, policy applied, whether the lane sheds from here on, whether it had room, lane, task, seq,
# segment, jobs skipped for it, taken, budget, used by the whole job
OVERRUN = struct.Struct("<BB??BxxxIQIIqqq")
# kind, lane, how long it had shed
RESTORED = struct.Struct("<BBxxxxxxq")

SKIP_RULES = (
    Rule.NEWER_FRAME,
    Rule.RUN_FAILED,
    Rule.STATE,
    Rule.OPERATOR,
    Rule.LIMIT,
    Rule.OVERRUN,
    Rule.CRITICALITY,
)
POLICIES: tuple[OverrunPolicy | None, ...] = (None, *OverrunPolicy)


def skip_code(rule: Rule) -> int:
    """Return the number that stands for a rule in a SKIPPED record."""
    return SKIP_RULES.index(rule)
