"""ONNX files: find, check, fuse preprocessing in front, describe.

What prepares a network is imported when it is asked for: the engine process, which is started anew
while a robot waits, needs only what describes one.
"""

from typing import TYPE_CHECKING

from aegis_ros.network.feed import Feed, NetworkInput
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.on_demand import on_demand

if TYPE_CHECKING:
    from aegis_ros.network.description import Description, describe
    from aegis_ros.network.geometry import Letterbox, letterbox
    from aegis_ros.network.locate import digest, resolve_model, resolve_resource
    from aegis_ros.network.preparing import PreparedNetwork, prepare

__all__ = [
    "Description",
    "Feed",
    "Letterbox",
    "NetworkInput",
    "PreparedNetwork",
    "TensorInfo",
    "describe",
    "digest",
    "letterbox",
    "prepare",
    "resolve_model",
    "resolve_resource",
]

__getattr__ = on_demand(
    __name__,
    {
        "Description": "description",
        "Letterbox": "geometry",
        "PreparedNetwork": "preparing",
        "describe": "description",
        "digest": "locate",
        "letterbox": "geometry",
        "prepare": "preparing",
        "resolve_model": "locate",
        "resolve_resource": "locate",
    },
)
