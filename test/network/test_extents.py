"""What limits outputs that are as long as what a network finds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.network.extents import Extents, largest_extents

BOXES = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 100, 4])
SCORES = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3, 100])


def node(operator: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def limits(
    folder: Path, nodes: Sequence[onnx.NodeProto], outputs: str, **constants: object
) -> dict[str, tuple[Extents, Extents]]:
    """By name of an output, its extents as far as they are fixed, and at most."""
    real = {"half", "mask"}
    graph = helper.make_graph(
        nodes,
        "g",
        [BOXES, SCORES],
        [],
        initializer=[
            numpy_helper.from_array(
                np.asarray(value, np.float32 if name in real else np.int64), name
            )
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {item.name: item for item in inferred.graph.value_info}
    for name in outputs.split():
        model.graph.output.append(known[name])
    fixed, most = largest_extents(model, folder)
    assert list(folder.iterdir()) == []
    return {name: (fixed[name], most[name]) for name in outputs.split()}


def test_a_suppression_is_limited_by_its_number_of_boxes(tmp_path: Path) -> None:
    nodes = [
        node("NonMaxSuppression", "boxes scores most half half", "chosen"),
        node("Slice", "chosen two three one", "places"),
        node("Squeeze", "places one", "flat"),
        node("Squeeze", "boxes zero", "all"),
        node("Gather", "all flat", "kept"),
    ]
    found = limits(
        tmp_path, nodes, "kept", most=[10], half=[0.5], zero=[0], one=[1], two=[2], three=[3]
    )
    assert found == {"kept": ((None, 4), (3 * 10, 4))}


def test_a_suppression_without_a_number_keeps_no_more_than_there_are(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMax", "scores", "most_real", keepdims=0),
        node("Cast", "most_real", "most", to=TensorProto.INT64),
        node("NonMaxSuppression", "boxes scores most half half", "chosen"),
    ]
    assert limits(tmp_path, nodes, "chosen", half=[0.5]) == {"chosen": ((None, 3), (3 * 100, 3))}


def test_limits_follow_each_other_as_in_a_two_stage_detector(tmp_path: Path) -> None:
    """Scores above a threshold, the best 50 of them, of those 20, and a mask for each."""
    nodes = [
        node("Greater", "scores half", "likely"),
        node("NonZero", "likely", "places"),
        node("Transpose", "places", "rows", perm=[1, 0]),
        node("GatherND", "scores rows", "values"),
        node("Shape", "values", "count"),
        node("Min", "count fifty", "best"),
        node("TopK", "values best", "top order"),
        node("Slice", "top zero twenty", "few"),
        node("Unsqueeze", "few one", "column"),
        node("Mul", "column mask", "masks"),
    ]
    found = limits(
        tmp_path,
        nodes,
        "few masks order",
        half=0.5,
        fifty=[50],
        zero=[0],
        twenty=[20],
        one=[1],
        mask=np.ones((1, 28)),
    )
    assert found["few"] == ((None,), (20,))
    assert found["masks"] == ((None, 28), (20, 28))
    assert found["order"] == ((None,), (50,))


@pytest.mark.parametrize(
    ("nodes", "most"),
    [
        ([node("NonZero", "scores", "y")], (3, 300)),
        ([node("Greater", "scores half", "g"), node("Compress", "scores g", "y")], (300,)),
        (
            [
                node("ReduceMax", "scores", "m", axes=[0, 1], keepdims=0),
                node("Greater", "m half", "g"),
                node("Compress", "scores g", "y", axis=2),
            ],
            (1, 3, 100),
        ),
        ([node("Unique", "scores", "y")], (300,)),
        ([node("Unique", "scores", "y u", axis=1)], (1, 3, 100)),
        (
            [
                node("ReduceMax", "scores", "m", keepdims=0),
                node("Cast", "m", "n", to=TensorProto.INT64),
                node("Unsqueeze", "n zero", "k"),
                node("Slice", "scores zero k two", "y"),
            ],
            (1, 3, 100),
        ),
        (
            [
                node("ReduceMax", "scores", "m", keepdims=0),
                node("Cast", "m", "n", to=TensorProto.INT64),
                node("Unsqueeze", "n zero", "k"),
                node("TopK", "scores k", "y order"),
            ],
            (1, 3, 100),
        ),
    ],
    ids=["NonZero", "Compress", "Compress an axis", "Unique", "Unique an axis", "Slice", "TopK"],
)
def test_every_operator_whose_result_depends_on_data_has_its_limit(
    tmp_path: Path, nodes: Sequence[onnx.NodeProto], most: Extents
) -> None:
    found = limits(tmp_path, nodes, "y", half=0.5, zero=[0], two=[2])
    assert None in found["y"][0]
    assert found["y"][1] == most


def test_what_counts_has_no_limit(tmp_path: Path) -> None:
    nodes = [
        node("ReduceSum", "scores", "sum", keepdims=0),
        node("Cast", "sum", "n", to=TensorProto.INT64),
        node("Range", "zero n one", "y"),
    ]
    found = limits(tmp_path, nodes, "y", zero=0, one=1)
    assert found == {"y": ((None,), (None,))}


def test_extents_that_only_depend_on_the_input_are_fixed(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "scores", "shape"),
        node("Gather", "shape two", "n"),
        node("Range", "zero n one", "y"),
    ]
    assert limits(tmp_path, nodes, "y", zero=0, one=1, two=2) == {"y": ((100,), (100,))}


def branch(name: str, nodes: Sequence[onnx.NodeProto]) -> onnx.GraphProto:
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])
    return helper.make_graph(nodes, name, [], [output])


def likely(name: str) -> onnx.GraphProto:
    """A branch that gives the scores above a half, 300 at most."""
    nodes = [
        node("Greater", "scores half", f"{name}_likely"),
        node("Compress", f"scores {name}_likely", name),
    ]
    return branch(name, nodes)


def counted(name: str) -> onnx.GraphProto:
    """A branch that gives as many numbers as a sum says, without a limit."""
    nodes = [
        node("ReduceSum", "scores", f"{name}_sum", keepdims=0),
        node("Cast", f"{name}_sum", f"{name}_n", to=TensorProto.INT64),
        node("Range", f"zero {name}_n one", f"{name}_whole"),
        node("Cast", f"{name}_whole", name, to=TensorProto.FLOAT),
    ]
    return branch(name, nodes)


def first(name: str) -> onnx.GraphProto:
    return branch(name, [node("Reshape", "scores flat", f"{name}_all"),
                         node("Slice", f"{name}_all begin five", name)])  # fmt: skip


def either(one: onnx.GraphProto, other: onnx.GraphProto, name: str) -> onnx.NodeProto:
    return node("If", "any", name, then_branch=one, else_branch=other)


@pytest.mark.parametrize(
    ("one", "other", "most"),
    [
        (likely("a"), first("b"), (300,)),
        (first("a"), likely("b"), (300,)),
        (branch("a", [either(likely("c"), first("d"), "a")]), first("b"), (300,)),
        (likely("a"), counted("b"), (None,)),
    ],
    ids=["then", "else", "inside another", "a branch without a limit"],
)
def test_limits_inside_the_branches_of_an_if_count(
    tmp_path: Path, one: onnx.GraphProto, other: onnx.GraphProto, most: Extents
) -> None:
    nodes = [
        node("ReduceMax", "scores", "brightest", keepdims=0),
        node("Cast", "brightest", "any", to=TensorProto.BOOL),
        either(one, other, "y"),
    ]
    constants = {"half": 0.5, "zero": 0, "one": 1, "flat": [-1], "begin": [0], "five": [5]}
    assert limits(tmp_path, nodes, "y", **constants) == {"y": ((None,), most)}
