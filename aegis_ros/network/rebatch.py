"""Whether a network that was exported for several images at once does the same with one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx

from aegis_ros.network.binding import dtype_of, shape_of

__all__ = ["runs_alone"]

_TOLERANCE = 1e-3  # of the largest number: another order of sums, and no more
_Arrays = Sequence[npt.NDArray[np.generic]]


def runs_alone(model: onnx.ModelProto, batch: int) -> bool:
    """Return whether one image gives what it gives as one of the batch.

    Many networks state a batch and run with any; in others the number is inside (a Reshape), and
    one image would be cut into as many parts.

    Args:
        model: the network as it was exported; it has one input.
        batch: how many images it states.
    """
    if len(model.graph.input) != 1:
        return False
    alone = onnx.ModelProto()
    alone.CopyFrom(model)
    del alone.graph.value_info[:]
    alone.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    for output in alone.graph.output:
        for axis, dim in enumerate(output.type.tensor_type.shape.dim):
            dim.Clear()
            dim.dim_param = f"{output.name}_{axis}"
    (item,) = model.graph.input
    shape = tuple(each if isinstance(each, int) else 64 for each in shape_of(item.type.tensor_type))
    image = (np.random.default_rng(0).random((1, *shape[1:])) * 255).astype(
        dtype_of(item.type.tensor_type)
    )
    try:
        many = _run(model, item.name, np.repeat(image, batch, axis=0))
        one = _run(alone, item.name, image)
    except Exception:  # whatever the runtime says: it does not run so
        return False
    return all(_same(whole, part, batch) for whole, part in zip(many, one, strict=True))


def _run(model: onnx.ModelProto, name: str, images: npt.NDArray[np.generic]) -> _Arrays:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    made: _Arrays = session.run(None, {name: images})
    return made


def _same(many: npt.NDArray[np.generic], one: npt.NDArray[np.generic], batch: int) -> bool:
    if many.ndim == 0 or many.shape[0] != batch or one.shape != (1, *many.shape[1:]):
        return False
    first, only = many[:1].astype(np.float64), one.astype(np.float64)
    largest = float(np.max(np.abs(first), initial=1.0))
    return bool(np.allclose(first, only, rtol=0.0, atol=_TOLERANCE * largest, equal_nan=True))
