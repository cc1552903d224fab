"""Runtimes that load networks and run segments on lanes, behind one protocol."""

from aegis_ros.backends.base import (
    Backend,
    Capabilities,
    CompiledNetwork,
    Completion,
    Ended,
    LoadedNetwork,
    Part,
    Runtime,
    Work,
)
from aegis_ros.backends.cores import absent_cores
from aegis_ros.backends.lanes import (
    LaneClass,
    busy_cores,
    create_backends,
    lane_classes,
    lanes_on_one_core,
    lanes_to_open,
)
from aegis_ros.backends.registry import (
    backend_names,
    capabilities_of,
    create_backend,
    streaming_backends,
)
from aegis_ros.backends.streaming import Streams, plan_of, streamed

__all__ = [
    "Backend",
    "Capabilities",
    "CompiledNetwork",
    "Completion",
    "Ended",
    "LaneClass",
    "LoadedNetwork",
    "Part",
    "Runtime",
    "Streams",
    "Work",
    "absent_cores",
    "backend_names",
    "busy_cores",
    "capabilities_of",
    "create_backend",
    "create_backends",
    "lane_classes",
    "lanes_on_one_core",
    "lanes_to_open",
    "plan_of",
    "streamed",
    "streaming_backends",
]
