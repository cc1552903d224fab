"""Memory by kind: the footprint of each task, who holds what of the arena, and what gives way."""

from aegis_ros.memory.footprint import Footprint, Holding, Taken, without
from aegis_ros.memory.kv_cache import KvCache, KvShape, Reserved
from aegis_ros.memory.plan import ArenaPlan, Kind, Piece, arena_plan, block_for, placed
from aegis_ros.memory.pressure import (
    MemoryState,
    PressureChange,
    PressureGovernor,
    Sheddable,
)
from aegis_ros.memory.streaming import StreamedSegment, StreamPlan, most_resident, stream_plan

__all__ = [
    "ArenaPlan",
    "Footprint",
    "Holding",
    "Kind",
    "KvCache",
    "KvShape",
    "MemoryState",
    "Piece",
    "PressureChange",
    "PressureGovernor",
    "Reserved",
    "Sheddable",
    "StreamPlan",
    "StreamedSegment",
    "Taken",
    "arena_plan",
    "block_for",
    "most_resident",
    "placed",
    "stream_plan",
    "without",
]
