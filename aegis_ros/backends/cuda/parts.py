"""Cuts a network at tensors that can stay on the device between two segments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_ros.backends.reference import session

if TYPE_CHECKING:
    from aegis_ros.network.cut import Cut

__all__ = ["cut_source"]

_CROSSES = ("float32", "float16")  # others may be extents, which are wanted on the host


def cut_source(source: Path, parts: int) -> Cut:
    """Return the network in parts.

    Raises:
        ModelError: there are too few places to cut at.
    """
    import onnx

    from aegis_ros.network.cut import cut, runtime_tensors

    model = onnx.load_model(str(source))
    tensors = {
        name: info
        for name, info in runtime_tensors(model, _session).items()
        if info.static and info.dtype in _CROSSES
    }
    try:
        shown = onnx.shape_inference.infer_shapes(model)
    except Exception:  # it only improves the estimate of costs
        shown = model
    return cut(shown, parts, tensors=tensors)


def _session(model: Any) -> Any:
    return session(model.SerializeToString())
