"""How large the outputs of a network are found to be, and on what it finds most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, PreparedNetwork, prepare, prepare_child
from aegis_ros.network.model_file import ModelFile
from aegis_ros.network.patterns import patterns
from aegis_ros.rationale import Rule
from aegis_ros.spec import Layout, PreprocessSpec

from .builders import detector, identity_network, save

SIZE = (12, 16)
IMAGE = (1, 3, *SIZE)
SPEC = PreprocessSpec(size=SIZE)


def node(operator: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def network(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    output: onnx.ValueInfoProto,
    shape: Sequence[int | str] = IMAGE,
    **constants: np.ndarray,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "finder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [output],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return save(graph, path)


def finder(path: Path) -> Path:
    """Finds where the first channel of the image is bright: int64 [rank, N]."""
    nodes = [
        node("Slice", "x zero one axis", "red"),
        node("Greater", "red threshold", "bright"),
        node("NonZero", "bright", "places"),
    ]
    return network(
        path,
        nodes,
        helper.make_tensor_value_info("places", TensorProto.INT64, [4, "n"]),
        zero=np.array([0]),
        one=np.array([1]),
        axis=np.array([1]),
        threshold=np.array(200.0, np.float32),
    )


def counter(path: Path) -> Path:
    """As many numbers as the image has bright values; nothing limits that."""
    nodes = [
        node("Greater", "x threshold", "bright"),
        node("Cast", "bright", "ones", to=TensorProto.INT64),
        node("ReduceSum", "ones", "n", keepdims=0),
        node("Range", "zero n one", "numbers"),
    ]
    return network(
        path,
        nodes,
        helper.make_tensor_value_info("numbers", TensorProto.INT64, ["n"]),
        zero=np.array(0),
        one=np.array(1),
        threshold=np.array(200.0, np.float32),
    )


def facts(path: Path, max_results: int = 0, feed: Feed | None = None) -> dict[str, Any]:
    with ModelFile(path) as file:
        found = prepare_child.answer(
            {
                "feeds": [asdict(feed or Feed(SPEC, (*SIZE, 3)))],
                "dimensions": {},
                "max_results": max_results,
                "source": str(path),
                "descriptor": file.descriptor,
                "digest": file.digest,
                "target": str(path.with_name("fused.onnx")),
            }
        )
    assert {each.name for each in path.parent.iterdir()} == {path.name, "fused.onnx"}
    return found


def test_what_the_graph_allows_is_kept_and_the_busiest_pattern_is_told(tmp_path: Path) -> None:
    found = facts(finder(tmp_path / "n.onnx"))
    (output,) = found["outputs"]
    assert output["shape"] == (4, 12 * 16) and output["rows_axis"] == 1
    assert found["differs"] == ["busy"]
    everything = 12 * 16
    assert found["busy"] == {
        "pattern": 3,
        "found": everything,
        "most": everything,
        "kept": everything,
    }
    (white,) = patterns((*SIZE, 3), "uint8", [3])
    assert white.min() == 255


def test_a_declared_number_is_kept_and_what_is_found_stays_what_it_is(tmp_path: Path) -> None:
    path = finder(tmp_path / "n.onnx")
    assert facts(path, 5)["outputs"][0]["shape"] == (4, 5)
    assert facts(path, 5)["busy"] == {"pattern": 3, "found": 192, "most": 192, "kept": 5}
    assert facts(path, 5000)["outputs"][0]["shape"] == (4, 192)


def test_what_nothing_limits_has_room_for_what_is_usual(tmp_path: Path) -> None:
    path = counter(tmp_path / "n.onnx")
    found = facts(path)
    assert found["outputs"][0]["shape"] == (8192,)  # 64 KiB
    assert (found["busy"]["found"], found["busy"]["most"]) == (3 * 192, 0)
    assert facts(path, 7)["outputs"][0]["shape"] == (7,)


@pytest.mark.parametrize("padded", [False, True])
def test_a_suppression_is_measured_where_it_has_most_to_do(tmp_path: Path, padded: bool) -> None:
    """Even where its result is filled up to a fixed number, and no output says how many."""
    path = detector(tmp_path / "n.onnx", IMAGE, most=10, padded=padded)
    found = facts(path)
    (output,) = found["outputs"]
    assert output["shape"] == (10, 6)
    assert output["rows_axis"] == (-1 if padded else 0)
    busy = found["busy"]
    assert busy["kept"] == (0 if padded else 10) and busy["most"] == 10
    session = onnxruntime.InferenceSession(str(path.with_name("fused.onnx")))
    (name,) = (each.name for each in session.get_inputs())
    rows = []
    for frame in patterns((*SIZE, 3), "uint8"):
        (boxes,) = session.run(None, {name: frame})
        rows.append(int((boxes[:, 4] > 0).sum()))
    assert busy["found"] == max(rows) == rows[busy["pattern"]] > 0


def test_a_suppression_inside_a_branch_of_an_if_has_its_limit_and_its_busiest_pattern(
    tmp_path: Path,
) -> None:
    """As torchvision exports its detectors."""
    path = detector(tmp_path / "n.onnx", IMAGE, most=10)
    graph = onnx.load_model(path).graph
    found, nothing = (
        helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, 1, ["n", 6])])
        for name, nodes in (
            ("objects", list(graph.node)),
            ("none", [node("Constant", "", "none", value=helper.make_tensor("c", 1, [0, 6], []))]),
        )
    )
    nodes = [
        node("ReduceMax", "image", "brightest", keepdims=0),
        node("Cast", "brightest", "bright", to=TensorProto.BOOL),
        node("If", "bright", "kept", then_branch=found, else_branch=nothing),
    ]
    output = helper.make_tensor_value_info("kept", TensorProto.FLOAT, ["n", 6])
    save(helper.make_graph(nodes, "g", list(graph.input), [output], list(graph.initializer)), path)
    made = facts(path)
    (kept,) = made["outputs"]
    assert (kept["rows_axis"], kept["shape"]) == (0, (10, 6))
    assert made["busy"]["found"] == made["busy"]["most"] == made["busy"]["kept"] == 10


def test_what_finds_nothing_inside_is_measured_on_random_frames(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    identity_network(path)
    found = facts(path)
    assert found["busy"] is None and found["differs"] == []


def test_a_number_without_effect_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    identity_network(path)
    with pytest.raises(ModelError, match=r"output\.max_results: .*Leave it out"):
        facts(path, 100)


def test_an_output_whose_rank_depends_on_the_data_is_refused(tmp_path: Path) -> None:
    flat, whole = (
        helper.make_graph(
            [helper.make_node("Reshape", ["x", name], [f"{name}_y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.array(shape), name)],
        )
        for name, shape in (("flat", [-1]), ("whole", [3, -1]))
    )
    nodes = [
        node("ReduceMax", "x", "most", keepdims=0),
        node("Greater", "most threshold", "bright"),
        node("If", "bright", "y", then_branch=flat, else_branch=whole),
    ]
    path = network(
        tmp_path / "n.onnx",
        nodes,
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"]),
        threshold=np.array(200.0, np.float32),
    )
    with pytest.raises(ModelError) as caught:
        facts(path)
    assert caught.value.problem == "output 'y' has 2 extents for one frame and 1 for another"
    assert caught.value.rule is Rule.MODEL_VALID and caught.value.hint


def test_outputs_as_large_as_the_frame_have_no_rows(tmp_path: Path) -> None:
    path = network(
        tmp_path / "n.onnx",
        [node("Relu", "x", "y")],
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4]),
        ("n", 4),
    )
    found = facts(path, feed=Feed(PreprocessSpec(layout=Layout.POINTS), (50, 4)))
    assert found["outputs"][0]["shape"] == (50, 4)
    assert found["busy"] is None and found["differs"] == []


def test_another_number_is_another_network(tmp_path: Path) -> None:
    path = finder(tmp_path / "n.onnx")

    def prepared(max_results: int) -> PreparedNetwork:
        feeds = (Feed(SPEC, (*SIZE, 3)),)
        return prepare(path, feeds, cache_dir=tmp_path / "c", max_results=max_results)

    few, many = prepared(5), prepared(0)
    assert few.key != many.key
    assert few.busy is not None and many.busy is not None
    assert (few.busy.kept, many.busy.kept) == (5, 192)
    assert prepared(5) == few
