"""An index that points nowhere reads and writes nothing that is not the network's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends.outputs import output_arrays
from aegis_ros.backends.tvm.backend import TvmBackend, load_network
from aegis_ros.backends.tvm.indices import within_bounds
from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, prepare
from aegis_ros.spec import PreprocessSpec
from test.backends.extras import needs

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
    bounded = within_bounds(model)
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
    assert within_bounds(model) is model


def test_a_tensor_whose_extents_a_frame_decides_is_refused() -> None:
    model = indexing("Gather", (2,))
    del model.graph.initializer[:]
    model.graph.input.append(helper.make_tensor_value_info("table", TensorProto.FLOAT, ["n", 3]))
    with pytest.raises(ModelError, match="index of Gather that a run computes") as caught:
        within_bounds(model)
    assert "fixed extents" in caught.value.hint


@needs("tvm")
def test_a_frame_that_makes_an_index_point_nowhere_harms_nothing(tmp_path: Path) -> None:
    """None of the frames that a network is tried on does: they are neither all 137 nor near it."""
    operators = ["Gather", "GatherElements", "GatherND", "ScatterElements"]
    nodes = [
        helper.make_node("ReduceMin", ["input"], ["least"], keepdims=0),
        helper.make_node("Sub", ["least", "rare"], ["off"]),
        helper.make_node("Abs", ["off"], ["away"]),
        helper.make_node("Less", ["away", "half"], ["is_rare"]),
        helper.make_node("Where", ["is_rare", "beyond", "there"], ["at"]),
        helper.make_node("Reshape", ["at", "one"], ["index"]),
        helper.make_node("Reshape", ["at", "tuple"], ["index of GatherND"]),
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
    ]
    for operator in operators:
        index = "index of GatherND" if operator == "GatherND" else "index"
        inputs = ["table", index] + ["new"] * operator.startswith("Scatter")
        nodes += [
            helper.make_node(operator, inputs, [f"found by {operator}"]),
            helper.make_node("Add", [f"found by {operator}", "mean"], [operator]),
        ]
    constants: dict[str, Any] = {
        "rare": np.float32(137),
        "half": np.float32(0.5),
        "beyond": np.int64(8),  # the one after the last
        "there": np.int64(1),
        "one": np.array([1]),
        "tuple": np.array([1, 1]),
        "table": np.arange(8, dtype=np.float32),
        "new": np.array([99], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "indexing",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(each, TensorProto.FLOAT, None) for each in operators],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    path = tmp_path / "indexing.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(made, path)
    feed = Feed(PreprocessSpec(size=(8, 8)), (16, 24, 3))
    prepared = prepare(path, [feed], cache_dir=tmp_path / "cache")
    compiled = TvmBackend().compile(prepared, tmp_path)
    with compiled.opened() as files:
        network = load_network(compiled, files)
    for value, index in ((5, 1), (137, 7), (9, 1)):
        outputs = output_arrays(compiled)
        network.run(0, [np.full((16, 24, 3), value, np.uint8)], outputs)
        replaced = np.arange(8, dtype=np.float32)
        replaced[index] = 99
        expected = dict.fromkeys(operators, np.array([index], np.float32))
        expected["ScatterElements"] = replaced
        for info, found in zip(compiled.outputs, outputs, strict=True):
            np.testing.assert_allclose(
                found, expected[info.name] + value, rtol=1e-5, err_msg=info.name
            )
