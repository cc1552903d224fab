"""Where the kernels end that OpenVINO fuses a network's operators to, and how long each takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.openvino.network import named_as
from aegis_ros.backends.openvino.toolkit import Device, load_openvino

__all__ = ["kernel_times"]

_TIMED_RUNS = 7
_FUSED = "originalLayersNames"


def kernel_times(
    core: Any,
    device: Device,
    model: Any,
    frames: Mapping[str, npt.NDArray[np.generic]],
) -> dict[str, float]:
    """Return the execution time of kernels, nanoseconds, by the tensors that they end with.

    A cut elsewhere would go through a kernel: its halves compute other last bits.

    Args:
        core: of OpenVINO.
        device: to run on.
        model: as OpenVINO has read it from ONNX; is left as it is.
        frames: a frame for each input, by name.
    """
    openvino = load_openvino()
    tensors: dict[str, list[str]] = {}
    for operator in model.get_ops():
        for port in operator.outputs():
            tensors.setdefault(operator.get_friendly_name(), []).extend(port.get_names())
    compiled = core.compile_model(model, device.name, device.properties | {"PERF_COUNT": True})
    request = compiled.create_infer_request()
    for port, name in enumerate(named_as(compiled.inputs, frames)):
        request.set_input_tensor(port, openvino.Tensor(frames[name], shared_memory=True))
    runs: list[dict[str, float]] = []
    for _ in range(_TIMED_RUNS):
        request.infer(share_outputs=True)
        runs.append({each.node_name: _ns(each) for each in request.get_profiling_info()})
    found: dict[str, float] = {}
    for kernel in compiled.get_runtime_model().get_ops():
        name, last = kernel.get_friendly_name(), _last_fused(kernel)
        taken = float(np.median([run.get(name, 0.0) for run in runs]))
        for tensor in tensors.get(last, ()):
            found[tensor] = found.get(tensor, 0.0) + taken
    return found


def _last_fused(kernel: Any) -> str:
    """Return the last operator that a kernel computes; empty for one that OpenVINO added."""
    info = kernel.get_rt_info()
    if _FUSED not in info:
        return ""
    names: Sequence[str] = str(info[_FUSED].value).split(",")
    return names[-1]


def _ns(profiled: Any) -> float:
    taken: float = profiled.real_time.total_seconds() * 1e9
    return taken
