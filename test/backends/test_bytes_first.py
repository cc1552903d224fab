"""Bytes become float32 before anything else is done with them, and nothing else changes."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends.bytes_first import cast_bytes_first


def network(nodes, outputs, constants=()):
    graph = helper.make_graph(
        nodes,
        "bytes",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["h", "w", 3])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    return model


def run(model, frame):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"frame": frame})


FRAME = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
TO_FLOAT = helper.make_node("Cast", ["still_bytes"], ["out"], to=TensorProto.FLOAT)


def test_only_casts_read_bytes_afterwards_and_numbers_stay():
    model = network(
        [
            helper.make_node("Unsqueeze", ["frame", "first"], ["batch"]),
            helper.make_node("Pad", ["batch", "pads", "grey"], ["padded"]),
            helper.make_node("Shape", ["batch"], ["extents"]),
            helper.make_node("Transpose", ["padded"], ["still_bytes"], perm=[0, 3, 1, 2]),
            TO_FLOAT,
        ],
        [("out", TensorProto.FLOAT), ("extents", TensorProto.INT64)],
        [
            ("first", np.array([0], np.int64)),
            ("pads", np.array([0, 1, 1, 0, 0, 1, 1, 0], np.int64)),
            ("grey", np.uint8(114)),
        ],
    )
    changed = cast_bytes_first(model)
    readers = [node.op_type for node in changed.graph.node if "frame" in node.input]
    assert readers == ["Cast"]
    for before, after in zip(run(model, FRAME), run(changed, FRAME), strict=True):
        np.testing.assert_array_equal(before, after)


def test_resizing_no_longer_rounds_to_whole_grey_levels_and_differs_by_one_at_most():
    model = network(
        [
            helper.make_node("Resize", ["frame", "", "", "size"], ["still_bytes"], mode="linear"),
            TO_FLOAT,
        ],
        [("out", TensorProto.FLOAT)],
        [("size", np.array([4, 5, 3], np.int64))],
    )
    (before,), (after,) = run(model, FRAME), run(cast_bytes_first(model), FRAME)
    assert np.abs(before - after).max() <= 1.0
    assert np.any(after != np.round(after))


def test_an_output_of_bytes_stays_one():
    model = network(
        [
            helper.make_node("Transpose", ["frame"], ["out"], perm=[2, 0, 1]),
            helper.make_node("Identity", ["out"], ["again"]),
        ],
        [("out", TensorProto.UINT8), ("again", TensorProto.UINT8)],
    )
    for before, after in zip(run(model, FRAME), run(cast_bytes_first(model), FRAME), strict=True):
        assert after.dtype == np.uint8
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("elem_type", [TensorProto.UINT8, TensorProto.FLOAT])
def test_what_needs_no_change_is_not_changed(elem_type):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["frame"], ["out"], to=TensorProto.FLOAT)],
        "fine",
        [helper.make_tensor_value_info("frame", elem_type, [2])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [2])],
    )
    model = helper.make_model(graph)
    assert cast_bytes_first(model) is model
    assert cast_bytes_first(cast_bytes_first(model)) is model
