"""OpenVINO as it is installed, with one sentence for what is missing."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from aegis_ros.backends.reference import FLOAT32, TF32, Tolerance
from aegis_ros.errors import BackendError

__all__ = ["CPU", "GPU", "NPU", "Device", "installed_version", "load_openvino", "open_core"]

_MODULE = "openvino"
_CONVERTER = f"{_MODULE}.tools.ovc"


@dataclass(frozen=True, slots=True)
class Device:
    """One of OpenVINO's kinds of devices.

    Attributes:
        name: as OpenVINO calls it.
        properties: that every network is compiled and loaded with.
        tolerance: that its numbers are held to, those of ONNX Runtime.
        exact: whether a network in segments gives the whole one's numbers to the bit, or is not
            cut; they are held to ``tolerance`` elsewhere.
        driver: what makes it visible.
    """

    name: str
    properties: dict[str, Any] = field(hash=False)
    tolerance: Tolerance
    exact: bool = False
    driver: str = ""


# One network runs at a time on a lane. Precision is stated: a processor or GPU that has a shorter
# type would be given it, and is then less exact by far.
_ONE_AT_A_TIME = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
_FLOAT32 = {"EXECUTION_MODE_HINT": "ACCURACY", "INFERENCE_PRECISION_HINT": "f32"}

# A request that is run, not started, runs on the thread that calls it: the lane's. With one thread
# there is no other one to wait for, and where it may run is ours to say.
CPU = Device(
    "CPU",
    _ONE_AT_A_TIME | _FLOAT32 | {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False},
    FLOAT32,
    exact=True,
)
GPU = Device(
    "GPU",
    _ONE_AT_A_TIME | _FLOAT32,
    FLOAT32,
    driver="Intel's driver (Debian and Ubuntu: intel-opencl-icd) and a user in group render",
)
# It computes in float16, which keeps as many bits of a factor as TF32.
NPU = Device(
    "NPU",
    {"PERFORMANCE_HINT": "LATENCY"},
    TF32,
    driver="Intel's driver (linux-npu-driver) and a user in group render",
)


def installed_version(name: str) -> str:
    """Return the version of OpenVINO, without importing it.

    Args:
        name: of the backend that needs it.

    Raises:
        BackendError: it is not installed; one sentence says how to get it.
    """
    if find_spec(_MODULE) is None:
        raise BackendError(
            f"backend {name} needs OpenVINO, which is not installed: "
            "`pip install 'aegis_ros[openvino]'`, or use another backend"
        )
    from importlib.metadata import version  # what an engine loads only if it has this backend

    return version("openvino")


def load_openvino() -> Any:
    """Return the module, imported without its converter of models.

    That one reports each import to its maker over the network, from a thread of its own, and is of
    no use here. It is hidden while the module is imported, and can be imported afterwards.
    """
    if _MODULE in sys.modules or _CONVERTER in sys.modules:
        return import_module(_MODULE)
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # how Python is told "not there"
    try:
        return import_module(_MODULE)
    finally:
        del sys.modules[_CONVERTER]


def open_core(name: str, device: Device) -> Any:
    """Return what loads networks on a device.

    Args:
        name: of the backend that needs it.
        device: must be there.

    Raises:
        BackendError: OpenVINO is not installed, or sees no such device.
    """
    installed_version(name)
    core = load_openvino().Core()
    seen = list(core.available_devices)
    if device.name not in {each.partition(".")[0] for each in seen}:
        raise BackendError(
            f"backend {name} needs an Intel {device.name}, and OpenVINO sees only "
            f"{', '.join(seen) or 'no device'} here: it takes {device.driver}; or set "
            "`backend: openvino` to run on the CPU"
        )
    return core
