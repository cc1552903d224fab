"""The separate real-time process that owns backend, lanes and scheduler, and its client.

What only a client needs is imported when it is asked for: the engine process, which is started anew
while a robot waits, does without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aegis_ros.engine.types import ChannelSpec, EngineInfo, LaneState, LoadSpec

if TYPE_CHECKING:
    from aegis_ros.engine.channel import Channel, KeptFrame, SlotFrame
    from aegis_ros.engine.client import EngineClient
    from aegis_ros.engine.events import (
        EngineEvent,
        EngineStatus,
        JobResult,
        JobSkip,
        OverrunEvent,
        PartialResult,
    )
    from aegis_ros.engine.protocol import Engine

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
    "KeptFrame",
    "LaneState",
    "LoadSpec",
    "OverrunEvent",
    "PartialResult",
    "SlotFrame",
]

_OF_CLIENTS = {
    "Channel": "channel",
    "Engine": "protocol",
    "EngineClient": "client",
    "EngineEvent": "events",
    "EngineStatus": "events",
    "JobResult": "events",
    "JobSkip": "events",
    "KeptFrame": "channel",
    "OverrunEvent": "events",
    "PartialResult": "events",
    "SlotFrame": "channel",
}


def __getattr__(name: str) -> Any:
    """Import what only a client needs (PEP 562)."""
    if name not in _OF_CLIENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_OF_CLIENTS[name]}"), name)
    globals()[name] = found
    return found
