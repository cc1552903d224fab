"""The fixed-size records that node and engine exchange for every frame."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

from aegis_ros.errors import InputError
from aegis_ros.network.generator.ending import Ending
from aegis_ros.rationale import Rule
from aegis_ros.spec import OverrunPolicy

__all__ = [
    "DONE",
    "ENDINGS",
    "MAX_RANK",
    "MAX_RECORD_BYTES",
    "OUTPUT_FREE",
    "OVERRUN",
    "PARTIAL",
    "PLACE_BYTES",
    "POLICIES",
    "RESTORED",
    "SKIPPED",
    "SKIP_RULES",
    "SPOKEN",
    "SUBMIT",
    "Kind",
    "pack_place",
    "pack_submit",
    "skip_code",
    "unpack_places",
]

MAX_RANK = 7
MAX_RECORD_BYTES = 512


class Kind(IntEnum):
    """First byte of every record."""

    SUBMIT = 1
    OUTPUT_FREE = 2
    DONE = 3
    SKIPPED = 4
    OVERRUN = 5
    RESTORED = 6
    PARTIAL = 7
    SPOKEN = 8


# kind, number of frames, task, seq, arrival, received, deadline (all monotonic ns); the place of
# each frame follows
SUBMIT = struct.Struct("<BBxxIQqqq")
# channel, slot, rank, extents x7
_PLACE = struct.Struct("<10I")
PLACE_BYTES = _PLACE.size
# kind, task, output slot
OUTPUT_FREE = struct.Struct("<BxxxII")
# kind, whether it ended at its early exit, task, seq, output slot, released, started, finished,
# execution
DONE = struct.Struct("<B?xxIQIqqqq")
# kind, rule, whether it was stopped for an overrun, task, seq; followed by UTF-8 text
SKIPPED = struct.Struct("<BB?xIQ")
# kind, task, seq, output slot, how many came before it, complete outputs (bit 0 for the first)
PARTIAL = struct.Struct("<BxxxIQIIQ")

# kind, why the answer ended, task, slot, tokens it has, number of the request; followed by UTF-8
# text
SPOKEN = struct.Struct("<BBxxIIIq")

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
_SUBMIT = int(Kind.SUBMIT)
_PADDING = tuple((0,) * (MAX_RANK - rank) for rank in range(MAX_RANK + 1))
ENDINGS: tuple[Ending | None, ...] = (None, *Ending)
POLICIES: tuple[OverrunPolicy | None, ...] = (None, *OverrunPolicy)


def pack_submit(task_id: int, seq: int, times_ns: tuple[int, int, int], places: bytes) -> bytes:
    """Return a SUBMIT record.

    Args:
        task_id: whose job it is.
        seq: sequence number of the job.
        times_ns: arrival, reception and absolute deadline.
        places: of its frames, one after the other, from :func:`pack_place`; at most
            :data:`~aegis_ros.backends.MOST_INPUTS`.
    """
    count = len(places) // PLACE_BYTES
    return SUBMIT.pack(_SUBMIT, count, task_id, seq, *times_ns) + places


def pack_place(channel: int, slot: int, shape: tuple[int, ...]) -> bytes:
    """Return where a frame lies, as it stands in a SUBMIT record.

    Raises:
        InputError: the shape has too many extents.
    """
    rank = len(shape)
    if rank > MAX_RANK:
        raise InputError(
            "a frame has too many extents", value=shape, expected=f"at most {MAX_RANK}"
        )
    return _PLACE.pack(channel, slot, rank, *shape, *_PADDING[rank])


def unpack_places(places: bytes) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield channel, slot and shape of each place of a SUBMIT record."""
    for channel, slot, rank, *extents in _PLACE.iter_unpack(places):
        yield channel, slot, tuple(extents[:rank])


def skip_code(rule: Rule) -> int:
    """Return the number that stands for a rule in a SKIPPED record."""
    return SKIP_RULES.index(rule)
