"""The work of the child process that describes one network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aegis_ros.network.metadata import bounded_metadata
from aegis_ros.network.operators import STANDARD_DOMAINS

__all__ = ["answer"]

_MOST_OPERATORS = 256  # kinds
_MOST_TEXT = 128  # characters
_REAL = (1, 10, 11, 16)  # onnx.TensorProto: float32, float16, float64, bfloat16
_MOVERS = ("Cast", "Concat", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the file that a request names says of its network."""
    from aegis_ros.network.graph import read_graph, tensor_infos

    source = Path(request["source"])
    model = read_graph(request["descriptor"], request["digest"], source)
    graph = model.graph
    made = {name: node for node in graph.node for name in node.output}

    def operator(name: str) -> str:
        for _ in range(len(graph.node) + 1):
            node = made.get(name)
            if node is None or node.op_type not in _MOVERS or not node.input:
                return "" if node is None else node.op_type
            name = node.input[0]
        return ""

    kinds = Counter(
        f"{node.domain}:{node.op_type}" if node.domain not in STANDARD_DOMAINS else node.op_type
        for node in graph.node
    )
    versions = {item.domain: item.version for item in model.opset_import}
    return {
        "opset": versions.get("", versions.get("ai.onnx", 0)),
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip()[:_MOST_TEXT],
        "operators": dict(kinds.most_common(_MOST_OPERATORS)),
        "parameters": sum(math.prod(tensor.dims) for tensor in _learned(graph)),
        "inputs": [asdict(item) for item in tensor_infos(graph.input)],
        "outputs": [asdict(item) for item in tensor_infos(graph.output)],
        "made_by": {item.name: operator(item.name) for item in graph.output},
        "metadata": bounded_metadata((item.key, item.value) for item in model.metadata_props),
    }


def _learned(graph: Any) -> Iterator[Any]:
    """Yield the tensors that are learned: real numbers, whether named or written into a node."""
    constants = (
        one.t for node in graph.node if node.op_type == "Constant" for one in node.attribute
    )
    yield from (each for each in (*graph.initializer, *constants) if each.data_type in _REAL)
