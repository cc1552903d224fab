"""ONNX files: find, check, fuse preprocessing in front, describe."""

from aegis_ros.network.description import Description, describe
from aegis_ros.network.feed import Feed, NetworkInput
from aegis_ros.network.geometry import Letterbox, letterbox
from aegis_ros.network.locate import digest, resolve_model, resolve_resource
from aegis_ros.network.prepare import PreparedNetwork, prepare
from aegis_ros.network.tensor import TensorInfo

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
