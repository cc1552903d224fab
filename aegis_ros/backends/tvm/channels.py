"""Brings channels to where TVM takes them to be when it resizes an image.

TVM reads every Resize of ONNX as one of [N, C, H, W], and resizes the last two extents whatever the
operator says. Our preprocessing resizes the camera's [N, H, W, C].
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from aegis_ros.backends.tvm.refusals import extents_decided

__all__ = ["resized_by_channels"]

_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_SCALES, _SIZES = 2, 3  # places among the inputs of Resize


def resized_by_channels(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network in which every image that is resized has its channels before its extents.

    Raises:
        ModelError: a run decides to which extents an image is resized, which TVM cannot compile.
    """
    graph = model.graph
    if all(node.op_type != "Resize" for node in graph.node):
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    known = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "Resize":
            nodes.append(node)
            continue
        place, by = _target(node, known)
        # An image of 3 channels that has 3 rows, and is to have 3, needs no resizing in any order.
        if len(by) != 4 or not _keeps_last(node, by, place):
            nodes.append(node)
            continue
        source, result = node.input[0], node.output[0]
        first, resized = f"{result}_channels_first", f"{result}_resized"
        node.input[0], node.output[0] = first, resized
        node.input[place] = f"{result}_target"
        graph.initializer.append(numpy_helper.from_array(by[list(_TO_FIRST)], node.input[place]))
        nodes += [
            helper.make_node("Transpose", [source], [first], perm=_TO_FIRST),
            node,
            helper.make_node("Transpose", [resized], [result], perm=_TO_LAST),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    return changed


def _target(
    node: onnx.NodeProto, known: Mapping[str, npt.NDArray[np.generic]]
) -> tuple[int, npt.NDArray[np.generic]]:
    """Return which input says to what an image is resized, and what that says."""
    for place in (_SIZES, _SCALES):
        name = node.input[place] if len(node.input) > place else ""
        if not name:
            continue
        if name not in known:
            break
        return place, known[name]
    raise extents_decided()


def _keeps_last(node: onnx.NodeProto, by: npt.NDArray[np.generic], place: int) -> bool:
    """Return whether the last extent stays as it is, and the second one does not."""
    if place == _SCALES:
        return bool(by[3] == 1.0 and by[1] != 1.0)
    return bool(by[3] in (1, 3) and by[1] not in (1, 3))
