"""The separate real-time process that owns backend, lanes and scheduler, and its client."""

from aegis_ros.engine.channel import Channel, SlotFrame
from aegis_ros.engine.client import EngineClient
from aegis_ros.engine.protocol import Engine
from aegis_ros.engine.types import (
    ChannelSpec,
    EngineEvent,
    EngineInfo,
    EngineStatus,
    JobResult,
    JobSkip,
    LaneState,
    LoadSpec,
    OverrunEvent,
    PartialResult,
)

__all__ = [
    "Channel",
    "ChannelSpec",
    "Engine",
    "EngineClient",
    "EngineEvent",
    "EngineInfo",
    "EngineStatus",
    "JobResult",
    "JobSkip",
    "LaneState",
    "LoadSpec",
    "OverrunEvent",
    "PartialResult",
    "SlotFrame",
]
