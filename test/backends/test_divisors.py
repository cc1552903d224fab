"""A divisor of zero ends nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends.divisors import without_zeros
from test.backends.extras import needs
from test.backends.rare_frames import USUAL, loaded


@pytest.mark.parametrize("operator", ["Div", "Mod"])
def test_divisors_of_zero_are_one_and_others_stay(operator: str) -> None:
    divisors = np.array([0, 1, 2, -3, 0])
    graph = helper.make_graph(
        [helper.make_node(operator, ["all", "by"], ["output"])],
        "dividing",
        [helper.make_tensor_value_info("by", TensorProto.INT64, [5])],
        [helper.make_tensor_value_info("output", TensorProto.INT64, [5])],
        [numpy_helper.from_array(np.array([7, 7, 7, -7, -7]), "all")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        without_zeros(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"by": divisors})
    assert found.tolist() == ([7, 7, 3, 2, -7] if operator == "Div" else [0, 0, 1, -1, 0])


def test_divisors_in_branches_are_looked_at_constants_among_them() -> None:
    output = [helper.make_tensor_value_info("output", TensorProto.INT64, [1])]
    zero = numpy_helper.from_array(np.array([0]), "zero")
    branches = {
        "then_branch": helper.make_graph(
            [helper.make_node("Div", ["seven", "by"], ["output"])], "then", [], output
        ),
        "else_branch": helper.make_graph(
            [helper.make_node("Div", ["by", "zero"], ["output"])], "else", [], output, [zero]
        ),
    }
    graph = helper.make_graph(
        [helper.make_node("If", ["is_so"], ["output"], **branches)],
        "dividing",
        [
            helper.make_tensor_value_info("by", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("is_so", TensorProto.BOOL, []),
        ],
        output,
        [numpy_helper.from_array(np.array([7]), "seven")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        without_zeros(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for by, is_so, quotient in ((2, True, 3), (0, True, 7), (5, False, 5)):
        (found,) = session.run(None, {"by": np.array([by]), "is_so": np.array(is_so)})
        assert found.tolist() == [quotient]


def test_numbers_with_a_point_and_constants_are_left_as_they_are() -> None:
    node = helper.make_node("Div", ["all", "by"], ["output"])
    one = helper.make_tensor_value_info("all", TensorProto.FLOAT, [2])
    by = helper.make_tensor_value_info("by", TensorProto.FLOAT, [2])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [2])
    floats = helper.make_graph([node], "floats", [one, by], [output])
    assert list(without_zeros(helper.make_model(floats)).graph.node) == [node]
    two = numpy_helper.from_array(np.array([2, 2], np.float32), "by")
    constant: onnx.ModelProto = helper.make_model(
        helper.make_graph([node], "constant", [one], [output], [two])
    )
    assert without_zeros(constant) is constant


@pytest.mark.parametrize(
    ("backend", "operator"),
    [
        pytest.param("tvm", "Div", marks=needs("tvm")),
        pytest.param("tvm", "Mod", marks=needs("tvm")),
        pytest.param("openvino", "Range", marks=needs("openvino")),
        pytest.param("tvm", "Range", marks=needs("tvm")),  # a sum of nothing is zero
    ],
)
def test_a_frame_that_divides_by_zero_ends_no_engine(
    backend: str, operator: str, tmp_path: Path
) -> None:
    inputs = ["zero", "all", "asked"] if operator == "Range" else ["all", "asked"]
    run = loaded(
        backend,
        [helper.make_node(operator, inputs, ["found"])],
        tmp_path,
        usual=np.int64(2),
        rare=np.int64(0),
        all=np.int64(5),
        zero=np.int64(0),
    )
    usual, rare = {"Div": (2, 5), "Mod": (1, 0), "Range": (6, 0)}[operator]
    for pixel, found in ((USUAL[0], usual), (137, rare), (USUAL[1], usual)):
        np.testing.assert_allclose(run(pixel), found + pixel, rtol=1e-5)
