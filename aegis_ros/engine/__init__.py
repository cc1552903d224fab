"""The separate real-time process that owns backend, lanes and scheduler, and its client.

Names are imported when they are asked for: the engine process, which is started anew while a robot
waits, does without what only a client needs.
"""

from typing import TYPE_CHECKING

from aegis_ros.on_demand import on_demand

if TYPE_CHECKING:
    from aegis_ros.engine.channel import Channel, KeptFrame, SlotFrame
    from aegis_ros.engine.client import EngineClient
    from aegis_ros.engine.conversation import Cycle
    from aegis_ros.engine.events import (
        EngineEvent,
        EngineStatus,
        JobResult,
        JobSkip,
        OverrunEvent,
        PartialResult,
    )
    from aegis_ros.engine.protocol import Engine
    from aegis_ros.engine.speech import Asked, LoadGenerator, Spoken
    from aegis_ros.engine.types import ChannelSpec, EngineInfo, LaneState, LoadSpec

__all__ = [
    "Asked",
    "Channel",
    "ChannelSpec",
    "Cycle",
    "Engine",
    "EngineClient",
    "EngineEvent",
    "EngineInfo",
    "EngineStatus",
    "JobResult",
    "JobSkip",
    "KeptFrame",
    "LaneState",
    "LoadGenerator",
    "LoadSpec",
    "OverrunEvent",
    "PartialResult",
    "SlotFrame",
    "Spoken",
]

__getattr__ = on_demand(
    __name__,
    {
        "Asked": "speech",
        "Channel": "channel",
        "ChannelSpec": "types",
        "Cycle": "conversation",
        "Engine": "protocol",
        "EngineClient": "client",
        "EngineEvent": "events",
        "EngineInfo": "types",
        "EngineStatus": "events",
        "JobResult": "events",
        "JobSkip": "events",
        "KeptFrame": "channel",
        "LaneState": "types",
        "LoadGenerator": "speech",
        "LoadSpec": "types",
        "OverrunEvent": "events",
        "PartialResult": "events",
        "SlotFrame": "channel",
        "Spoken": "speech",
    },
)
