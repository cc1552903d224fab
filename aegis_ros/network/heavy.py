"""Networks that do nothing but load a device: its memory, or its arithmetic.

Whatever runtime is at hand runs them, on a lane as any other network, so that they do to their
neighbours what networks can do. Both read one number and return one, so that no time goes into
copies. That is the largest one of a tensor, since GPUs add up a whole tensor in the order in which
its parts come, and the last digit of the sum differs from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["arithmetic_heavy", "memory_heavy"]

_OPSET, _IR_VERSION = 17, 8
_INPUT, _OUTPUT = "number", "result"


def memory_heavy(path: Path, rows: int = 1 << 14, columns: int = 1 << 10, passes: int = 8) -> None:
    """Write a network that reads and writes all of a large tensor again and again.

    Each pass is a softmax over rows that cross those of the pass before, so that no runtime can
    join two of them and keep what lies between in a cache.

    Args:
        path: of the ONNX file.
        rows: extent of the tensor; with the default, 64 MiB are read and as many written.
        columns: its other extent.
        passes: how often.
    """
    from onnx import helper

    shapes = [(rows, columns), (columns, rows)]
    nodes = [helper.make_node("Expand", [_INPUT, "shape0"], ["t0"])]
    for index in range(passes):
        nodes += [
            helper.make_node("Reshape", [f"t{index}", f"shape{index % 2}"], [f"r{index}"]),
            helper.make_node("Softmax", [f"r{index}"], [f"t{index + 1}"], axis=-1),
        ]
    nodes.append(helper.make_node("ReduceMax", [f"t{passes}"], [_OUTPUT], keepdims=1))
    _save(path, nodes, {f"shape{at}": shape for at, shape in enumerate(shapes)}, {})


def arithmetic_heavy(path: Path, rows: int = 1 << 12, width: int = 1 << 10, times: int = 8) -> None:
    """Write a network that multiplies a matrix with another one, again and again.

    Args:
        path: of the ONNX file.
        rows: of the matrix; with the default, one product has enough parts for any GPU.
        width: of both; a product takes ``2 * rows * width ** 2`` operations.
        times: how often.
    """
    from onnx import helper

    # Positive, and about 1 in each column together: nothing grows, vanishes or cancels out.
    factor = (0.5 + np.random.default_rng(0).random((width, width), np.float32)) / width
    nodes = [helper.make_node("Expand", [_INPUT, "shape"], ["t0"])]
    nodes += [
        helper.make_node("MatMul", [f"t{index}", "factor"], [f"t{index + 1}"])
        for index in range(times)
    ]
    nodes.append(helper.make_node("ReduceMax", [f"t{times}"], [_OUTPUT], keepdims=1))
    _save(path, nodes, {"shape": (rows, width)}, {"factor": factor})


def _save(
    path: Path,
    nodes: Sequence[Any],
    shapes: Mapping[str, tuple[int, ...]],
    values: Mapping[str, npt.NDArray[np.generic]],
) -> None:
    """Write a network of these nodes, whose constants are shapes and values."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {name: np.array(shape, np.int64) for name, shape in shapes.items()} | dict(values)
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    onnx.save_model(model, str(path))
