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
    from aegis_ros.network.locate import open_model, resolve_model, resolve_resource
    from aegis_ros.network.model_file import ModelFile
    from aegis_ros.network.preparing import PreparedNetwork, prepare

__all__ = [
    "Description",
    "Feed",
    "Letterbox",
    "ModelFile",
    "NetworkInput",
    "PreparedNetwork",
    "TensorInfo",
    "describe",
    "letterbox",
    "open_model",
    "prepare",
    "resolve_model",
    "resolve_resource",
]

__getattr__ = on_demand(
    __name__,
    {
        "Description": "description",
        "Letterbox": "geometry",
        "ModelFile": "model_file",
        "PreparedNetwork": "preparing",
        "describe": "description",
        "letterbox": "geometry",
        "open_model": "locate",
        "prepare": "preparing",
        "resolve_model": "locate",
        "resolve_resource": "locate",
    },
)
