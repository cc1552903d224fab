"""A frame's values neither take all memory nor end the process."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.network.guards import MOST_ELEMENTS, guarded

MANY = 2 * MOST_ELEMENTS


def network(
    nodes: list[onnx.NodeProto], dtype: Any, shape: list[int], **constants: Any
) -> onnx.ModelProto:
    """Return a network that makes "made" of "frame"."""
    graph = helper.make_graph(
        nodes,
        "guarded",
        [helper.make_tensor_value_info("frame", helper.np_dtype_to_tensor_dtype(dtype), shape)],
        [onnx.ValueInfoProto(name="made")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def one(operator: str, *inputs: str, **given: Any) -> list[onnx.NodeProto]:
    return [helper.make_node(operator, inputs, ["made"], name=f"the {operator}", **given)]


def run(model: onnx.ModelProto, frame: Any, dtype: Any) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (made,) = session.run(None, {"frame": np.asarray(frame, dtype)})
    return np.asarray(made)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("given", [{}, {"fmod": 1}])
def test_a_quotient_that_has_no_place_ends_nothing(dtype: Any, given: dict[str, int]) -> None:
    least = np.iinfo(dtype).min
    dividends = np.array([least, least, 7, -7, 7, 0], dtype)
    divisors = np.array([-1, 2, -1, -1, 2, -1], dtype)
    quotient = guarded(network(one("Div", "all", "frame"), np.dtype(dtype), [6], all=dividends))
    found = run(quotient, divisors, dtype)
    np.testing.assert_array_equal(found, [least, least // 2, -7, 7, 3, 0])
    rest = one("Mod", "all", "frame", **given)
    found = run(guarded(network(rest, np.dtype(dtype), [6], all=dividends)), divisors, dtype)
    np.testing.assert_array_equal(found, [0, 0, 0, 0, 1, 0])


def test_a_constant_divisor_is_guarded_where_it_is_minus_one_only() -> None:
    by_two = network(one("Div", "frame", "two"), np.dtype(np.int64), [1], two=np.array([2]))
    assert guarded(by_two) is by_two
    negated = network(one("Div", "frame", "minus"), np.dtype(np.int64), [1], minus=np.array([-1]))
    assert run(guarded(negated), [-(2**63)], np.int64) == [-(2**63)]


@pytest.mark.parametrize(
    ("nodes", "shape", "constants", "fits", "elements"),
    [
        (one("ConstantOfShape", "frame"), [2], {}, [3, 4], 12),
        (one("Expand", "table", "frame"), [2], {"table": np.float32(1)}, [3, 4], 12),
        (one("Tile", "table", "frame"), [2], {"table": np.ones((2, 2))}, [3, 4], 48),
        (one("Range", "zero", "frame", "one"), [], {"zero": 0, "one": 1}, 12, 12),
        (one("Range", "end", "frame", "back"), [], {"end": 12, "back": -1}, 0, 12),
        (
            one("OneHot", "index", "frame", "values"),
            [1],
            {"index": np.arange(3), "values": np.float32([0, 1])},
            [4],
            12,
        ),
        (one("Pad", "table", "frame"), [4], {"table": np.ones((2, 2))}, [1, 2, 0, 0], 12),
        (
            one("Resize", "table", "", "", "frame"),
            [2],
            {"table": np.ones((2, 2), np.float32)},
            [3, 4],
            12,
        ),
        (one("HannWindow", "frame"), [], {}, 12, 12),
    ],
)
def test_a_tensor_as_large_as_a_frame_says_is_no_larger_than_is_stated(
    nodes: list[onnx.NodeProto], shape: list[int], constants: Any, fits: Any, elements: int
) -> None:
    plain = network(nodes, np.dtype(np.int64), shape, **constants)
    model = guarded(plain)
    made = run(model, fits, np.int64)
    assert made.size == elements
    np.testing.assert_array_equal(made, run(plain, fits, np.int64))
    asked = np.where(np.asarray(fits) == np.max(fits), MANY, fits)
    asked = np.full(shape, -MANY) if "back" in constants else asked
    with pytest.raises(Exception, match=f"at most {MOST_ELEMENTS} elements of {nodes[0].op_type}"):
        run(model, asked, np.int64)


def test_extents_that_follow_from_extents_are_not_guarded() -> None:
    nodes = [
        helper.make_node("Shape", ["frame"], ["shape"]),
        *one("ConstantOfShape", "shape"),
    ]
    model = network(nodes, np.dtype(np.int64), [3])
    assert guarded(model) is model


def test_bodies_of_loops_are_guarded_as_the_network_is() -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Div", ["carried", "frame"], ["quotient"]),
            helper.make_node("ConstantOfShape", ["quotient"], ["zeros"], name="inner"),
            helper.make_node("Shape", ["zeros"], ["extents"]),
        ],
        "body",
        [
            value("round", TensorProto.INT64, []),
            value("going", TensorProto.BOOL, []),
            value("carried", TensorProto.INT64, [1]),
        ],
        [
            value("goes_on", TensorProto.BOOL, []),
            value("quotient", TensorProto.INT64, [1]),
            value("extents", TensorProto.INT64, [1]),
        ],
    )
    loop = helper.make_node("Loop", ["once", "", "least"], ["last", "made"], body=body)
    constants = {"once": np.array(1), "least": np.array([-(2**63)])}
    plain = network([loop], np.dtype(np.int64), [1], **constants)
    model = guarded(plain)
    assert run(model, [-(2**61)], np.int64).tolist() == [[4]]
    with pytest.raises(Exception, match=f"at most {MOST_ELEMENTS} elements of ConstantOfShape"):
        run(model, [-(2**30)], np.int64)
    with pytest.raises(Exception, match=r"[Nn]egative|[Ss]ize|[Ss]hape"):
        run(model, [-1], np.int64)  # ended the process: the quotient has no place
