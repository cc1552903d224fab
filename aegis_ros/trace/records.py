"""What a trace is made of: fixed-size binary records of what happened to jobs and lanes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aegis_ros.rationale import Rule

__all__ = [
    "FIELDS",
    "LAYOUT",
    "NO_RANK",
    "RECORD",
    "RECORD_BYTES",
    "Record",
    "RecordKind",
    "rule_code",
    "rule_of",
    "unpacked",
]


class RecordKind(IntEnum):
    """What a record reports; the numbers are part of the format and never change their meaning.

    ``time_ns`` is when it happened. ``task`` and ``seq`` name the job, ``lane`` and ``segment``
    where and what, where that makes sense. The four values depend on the kind, see
    :data:`FIELDS`.
    """

    RELEASED = 1
    SEGMENT_STARTED = 2
    SEGMENT_ENDED = 3
    FINISHED = 4
    SKIPPED = 5
    LOST = 6
    OVERRUN = 7
    SHED = 8
    RESTORED = 9
    PUBLISHED = 10
    FRAME = 11
    GATED = 12


# Little-endian without gaps: kind, lane, segment, task, seq, time, four values, serial number.
LAYOUT = struct.Struct("<BBHIQqqqqqQ")
RECORD_BYTES = 64
RECORD = np.dtype(
    [
        ("kind", "<u1"),
        ("lane", "<u1"),
        ("segment", "<u2"),
        ("task", "<u4"),
        ("seq", "<u8"),
        ("time_ns", "<i8"),
        ("values", "<i8", (4,)),
        ("serial", "<u8"),
    ]
)


class Record(NamedTuple):
    """One element of RECORD in Python's numbers; see :class:`RecordKind` and :data:`FIELDS`."""

    kind: int
    lane: int
    segment: int
    task: int
    seq: int
    time_ns: int
    values: Sequence[int]
    serial: int


def unpacked(records: npt.NDArray[np.void]) -> Iterator[Record]:
    """Yield the elements of an array of RECORD, [N]; converted by the column, which is fast."""
    columns = (records[name].tolist() for name in Record._fields)
    return map(Record._make, zip(*columns, strict=True))


# What the four values of each kind are; times in monotonic nanoseconds, 0 for what is not known.
#   RELEASED: the scheduler took the job in. Nominal arrival (the engine's deadline counts from
#     here), reception of the message, absolute deadline of the execution, rank (smallest first)
#     within its lane.
#   SEGMENT_STARTED: the lane was given to the segment. Its rank now, and its budget: by how much
#     it raises what its job may have used by its end.
#   SEGMENT_ENDED: the lane was seen to be free. When the device began and ended it, and whether
#     it failed (1).
#   FINISHED: the last segment had ended, and the result was handed over. Arrival, absolute
#     deadline, lane time used, and whether that was at an early exit of the network (1).
#   SKIPPED: the job will never end. Code of the rule, see `rule_of`.
#   LOST: the job was in flight when the engine went.
#   OVERRUN: a segment took longer than its budget. How long it took, the budget, how many jobs
#     of its task are skipped for it.
#   SHED, RESTORED: the lane gives up tasks below high criticality, and takes them back.
#   PUBLISHED: the result left for its readers. When it was handed out by the engine's client,
#     when it was decoded, until when it was kept for its constant latency.
#   FRAME: the job's frame was in its slot. When it was stamped; 0 without a stamp to trust.
#   GATED: a frame became no job; `seq` is that of the next job. Code of the rule.
FIELDS: dict[RecordKind, tuple[str, ...]] = {
    RecordKind.RELEASED: ("arrival_ns", "received_ns", "deadline_ns", "rank"),
    RecordKind.SEGMENT_STARTED: ("rank", "budget_ns"),
    RecordKind.SEGMENT_ENDED: ("began_ns", "ended_ns", "failed"),
    RecordKind.FINISHED: ("arrival_ns", "deadline_ns", "used_ns", "early_exit"),
    RecordKind.SKIPPED: ("rule",),
    RecordKind.LOST: (),
    RecordKind.OVERRUN: ("taken_ns", "budget_ns", "skips"),
    RecordKind.SHED: (),
    RecordKind.RESTORED: (),
    RecordKind.PUBLISHED: ("handed_ns", "decoded_ns", "due_ns"),
    RecordKind.FRAME: ("stamped_ns",),
    RecordKind.GATED: ("rule",),
}

# The rank of a segment that no job asked for, such as a timed run of a network.
NO_RANK = -(1 << 63)

# Appended to only: a code is what old files hold.
_RULES = (
    Rule.NEWER_FRAME,
    Rule.RUN_FAILED,
    Rule.STATE,
    Rule.OPERATOR,
    Rule.LIMIT,
    Rule.OVERRUN,
    Rule.CRITICALITY,
    Rule.ENGINE_RESTART,
    Rule.RATE_GATE,
    Rule.BAD_FRAME,
    Rule.DECODER_FAILED,
    Rule.DECIMATION,
    Rule.SYNC,
    Rule.CHAIN,
    Rule.DEVICE_SPEED,
    Rule.MEMORY,
)
_CODES = {rule: code for code, rule in enumerate(_RULES)}


def rule_code(rule: Rule | None) -> int:
    """Return the number that stands for a rule in a record; -1 for one that has none."""
    return -1 if rule is None else _CODES.get(rule, -1)


def rule_of(code: int) -> Rule | None:
    """Return the rule a code stands for; ``None`` for one that is not known here."""
    return _RULES[code] if 0 <= code < len(_RULES) else None
