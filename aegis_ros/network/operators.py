"""What is known of a graph's operators and tensors without running it."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

__all__ = ["STANDARD_DOMAINS", "bodies", "tensor_types"]

STANDARD_DOMAINS = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""


def tensor_types(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the element types of tensors by name, as far as they were inferred."""
    types = {item.name: item.data_type for item in graph.initializer}
    types |= {
        item.name: item.type.tensor_type.elem_type
        for item in (*graph.input, *graph.value_info, *graph.output)
    }
    return types


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that an operator runs: the body of a loop, the branches of a condition."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
