"""Makes a network's first operators compute in float32, not in the camera's bytes.

Our preprocessing resizes bytes first, since that moves fewer of them. TensorRT takes uint8 as an
input, and then only a Cast; other runtimes round bytes in ways of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["cast_bytes_first", "written_bytes_first"]

_EXTENTS = ("Shape", "Size")  # what they return does not depend on the type


def written_bytes_first(original: Path, path: Path) -> Path:
    """Write what :func:`cast_bytes_first` makes of a file to another one, and return that."""
    onnx.save_model(cast_bytes_first(onnx.load_model(str(original))), str(path))
    return path


def cast_bytes_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with every uint8 input cast to float32 before anything else.

    Operators up to the network's own Cast then compute in float32 and no longer round to whole
    grey levels. A model in which a Cast comes first already is returned as it is.
    """
    graph = model.graph
    inputs = {
        item.name for item in graph.input if item.type.tensor_type.elem_type == TensorProto.UINT8
    }
    first = {name for node in graph.node if node.op_type != "Cast" for name in node.input}
    wanted = sorted(inputs & first)
    if not wanted:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    renamed = {name: f"{name}_as_float" for name in wanted}
    floats = set(renamed.values())
    bytes_before = {
        item.name: item for item in graph.initializer if item.data_type == TensorProto.UINT8
    }
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        if not floats.intersection(node.input) or node.op_type == "Cast":
            continue
        for place, name in enumerate(node.input):
            if name in bytes_before:
                node.input[place] = _as_float(graph, bytes_before[name])
        if node.op_type not in _EXTENTS:
            floats.update(name for name in node.output if name)
    casts = [
        helper.make_node("Cast", [name], [new], name=f"{new}_cast", to=TensorProto.FLOAT)
        for name, new in renamed.items()
    ]
    nodes = [*casts, *graph.node]
    for item in graph.output:
        if item.name in floats and item.type.tensor_type.elem_type == TensorProto.UINT8:
            nodes.append(_back(nodes, item.name))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # some of it is no longer true
    return changed


def _as_float(graph: onnx.GraphProto, constant: onnx.TensorProto) -> str:
    name = f"{constant.name}_as_float"
    if all(item.name != name for item in graph.initializer):
        values = numpy_helper.to_array(constant).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _back(nodes: list[onnx.NodeProto], output: str) -> onnx.NodeProto:
    """Rename what makes a uint8 output, and return the Cast that makes it a uint8 one again."""
    new = f"{output}_as_float"
    for node in nodes:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == output:
                    names[place] = new
    return helper.make_node("Cast", [new], [output], name=f"{output}_cast", to=TensorProto.UINT8)
