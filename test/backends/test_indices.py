"""An index that points nowhere reads and writes nothing that is not the network's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends.indices import within_bounds
from aegis_ros.errors import ModelError
from test.backends.extras import needs
from test.backends.rare_frames import USUAL, loaded

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def indexing(operator: str, indices: tuple[int, ...], **given: int) -> onnx.ModelProto:
    """Return a network that looks up, or replaces, what an input points to."""
    inputs, constants = ["table", "index"], [numpy_helper.from_array(TABLE, "table")]
    if operator.startswith("Scatter"):
        inputs.append("new")
        shape = indices[:-1] + TABLE.shape[indices[-1] :] if operator == "ScatterND" else indices
        constants.append(numpy_helper.from_array(np.full(shape, 99, np.float32), "new"))
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["output"], **given)],
        "indexing",
        [helper.make_tensor_value_info("index", TensorProto.INT64, indices)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, index: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (output,) = session.run(None, {"index": index})
    return np.asarray(output)


@pytest.mark.parametrize(
    ("operator", "indices", "given", "counts"),
    [
        ("Gather", (5,), {}, 4),
        ("Gather", (2, 2), {"axis": -1}, 3),
        ("GatherElements", (2, 3), {"axis": 0}, 4),
        ("GatherElements", (4, 2), {"axis": 1}, 3),
        ("GatherND", (5, 1), {}, [4]),
        ("GatherND", (5, 2), {}, [4, 3]),
        ("GatherND", (4, 1), {"batch_dims": 1}, [3]),
        ("ScatterElements", (1, 3), {"axis": 0}, 4),
        ("ScatterND", (1, 1), {}, [4]),
        ("ScatterND", (1, 2), {}, [4, 3]),
    ],
)
def test_indices_that_are_there_stay_and_others_are_moved_to_the_nearest(
    operator: str, indices: tuple[int, ...], given: dict[str, Any], counts: Any
) -> None:
    model = indexing(operator, indices, **given)
    bounded = within_bounds(model, "TVM")
    rng = np.random.default_rng(3)
    there = rng.integers(np.negative(counts), counts, indices)
    np.testing.assert_array_equal(run(bounded, there), run(model, there))
    beyond = rng.integers(-(2**40), 2**40, indices)
    nearest = np.clip(beyond, np.negative(counts), np.subtract(counts, 1))
    np.testing.assert_array_equal(run(bounded, beyond), run(model, nearest))
    with pytest.raises(Exception, match=r"bounds|[Oo]ut of range|[Ii]nvalid ind"):
        run(model, beyond)  # ONNX Runtime looks by itself


def test_a_network_without_such_indices_stays_as_it_is() -> None:
    model = indexing("Gather", (2,))
    del model.graph.input[:]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2]), "index"))
    assert within_bounds(model, "TVM") is model


def test_a_tensor_whose_extents_a_frame_decides_is_refused() -> None:
    model = indexing("Gather", (2,))
    del model.graph.initializer[:]
    model.graph.input.append(helper.make_tensor_value_info("table", TensorProto.FLOAT, ["n", 3]))
    with pytest.raises(ModelError, match="index of Gather that a run computes") as caught:
        within_bounds(model, "TVM")
    assert caught.value.value == "output" and "fixed extents" in caught.value.hint


@pytest.mark.parametrize("operator", ["Gather", "GatherElements", "GatherND"])
def test_places_are_counted_in_a_run_where_the_runtime_can(operator: str) -> None:
    parts = 1 if operator == "GatherND" else 3
    model = indexing(operator, (2, parts))
    del model.graph.initializer[:]
    model.graph.input.append(helper.make_tensor_value_info("table", TensorProto.FLOAT, ["n", 3]))
    counted = within_bounds(model, "OpenVINO", counting=True)
    session = onnxruntime.InferenceSession(
        counted.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for table in (TABLE, TABLE[:2]):
        index = np.array([[9, 1, 0], [-9, -1, 1]])[:, :parts]
        (found,) = session.run(None, {"index": index, "table": table})
        nearest = np.clip(index, -len(table), len(table) - 1)
        wanted = {
            "Gather": table[nearest],
            "GatherElements": np.take_along_axis(table, nearest, 0),
            "GatherND": table[nearest[:, 0]],
        }
        np.testing.assert_array_equal(found, wanted[operator])


def test_what_pools_and_what_aligns_point_into_counts_from_the_beginning() -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 1, 1])
    index = helper.make_tensor_value_info("index", TensorProto.INT64, [1, 1, 1, 1])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    pooled = helper.make_node(
        "MaxUnpool", ["image", "index"], ["output"], kernel_shape=[2, 2], strides=[2, 2]
    )
    graph = helper.make_graph([pooled], "unpooling", [image, index], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        within_bounds(model, "TVM").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for asked, place in ((2, 2), (9, 3), (-1, 0)):
        frame = {"image": np.ones((1, 1, 1, 1), np.float32), "index": np.full((1, 1, 1, 1), asked)}
        (made,) = session.run(None, frame)
        assert np.flatnonzero(made).tolist() == [place]


def looping() -> onnx.ModelProto:
    """Return a network whose loop looks up, in a branch, what an input points to in a table.

    Its body claims that the table has four rows, as it has at first.
    """
    scalar = helper.make_tensor_value_info("cond_in", TensorProto.BOOL, [])
    found = helper.make_tensor_value_info("found", TensorProto.FLOAT, None)
    missed = helper.make_tensor_value_info("missed", TensorProto.FLOAT, None)
    gather = helper.make_node("Gather", ["rows", "index"], ["found"])
    same = helper.make_node("Identity", ["rows"], ["missed"])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["cond_in"], ["cond_out"]),
            helper.make_node(
                "If",
                ["cond_in"],
                ["rows_out"],
                then_branch=helper.make_graph([gather], "then", [], [found]),
                else_branch=helper.make_graph([same], "else", [], [missed]),
            ),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            scalar,
            helper.make_tensor_value_info("rows", TensorProto.FLOAT, [4, 3]),
        ],
        [
            helper.make_tensor_value_info("cond_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("rows_out", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["twice", "", "table"], ["output"], body=body)],
        "looping",
        [helper.make_tensor_value_info("index", TensorProto.INT64, [2])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(TABLE, "table"), numpy_helper.from_array(np.array(2), "twice")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_indices_in_bodies_are_held_to_what_a_run_has_not_to_what_bodies_claim() -> None:
    model = looping()
    bounded = within_bounds(model, "OpenVINO", counting=True)
    there = np.array([1, -2])
    np.testing.assert_array_equal(run(bounded, there), run(model, there))
    first = TABLE[[3, 0]]  # 9 is moved to the fourth of four rows, and then to the second of two
    np.testing.assert_array_equal(run(bounded, np.array([9, -9])), first[[1, 0]])
    with pytest.raises(ModelError, match="index of Gather that a run computes"):
        within_bounds(model, "TVM")


@pytest.mark.parametrize(
    "backend", [pytest.param(name, marks=needs(name)) for name in ("openvino", "tvm")]
)
def test_a_frame_that_makes_an_index_point_nowhere_harms_nothing(
    backend: str, tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Reshape", ["asked", "one"], ["index"]),
        helper.make_node("Reshape", ["asked", "tuple"], ["index of GatherND"]),
    ]
    factors = {"Gather": 1, "GatherElements": 10, "GatherND": 100, "ScatterElements": 1000}
    for operator in factors:
        index = "index of GatherND" if operator == "GatherND" else "index"
        inputs = ["table", index] + ["new"] * operator.startswith("Scatter")
        nodes += [
            helper.make_node(operator, inputs, [f"found by {operator}"]),
            helper.make_node("Mul", [f"found by {operator}", operator], [f"part of {operator}"]),
        ]
    nodes.append(
        helper.make_node("Concat", [f"part of {each}" for each in factors], ["found"], axis=0)
    )
    table = np.arange(8, dtype=np.float32)
    run = loaded(
        backend,
        nodes,
        tmp_path,
        usual=np.int64(1),
        rare=np.int64(100_000_000),
        one=np.array([1]),
        tuple=np.array([1, 1]),
        table=table,
        new=np.array([99], np.float32),
        **{operator: np.float32(factor) for operator, factor in factors.items()},
    )
    for pixel, index in ((USUAL[0], 1), (137, 7), (USUAL[1], 1)):
        replaced = 99 + table.sum() - table[index]
        found = 111 * table[index] + 1000 * replaced
        np.testing.assert_allclose(run(pixel), found + pixel, rtol=1e-6)
