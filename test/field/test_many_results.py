"""Networks whose results are as many as the objects in a frame, as Mask R-CNN's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aegis_ros.srv import RegisterModel, UnregisterModel
from onnx import TensorProto, helper, numpy_helper

from test.network.builders import detector, save
from test.nodes.system import SIZE, System, running

_MASK = (64, 64)
_PIXELS = 3 * SIZE[0] * SIZE[1]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


@pytest.fixture(scope="module")
def model(system: System) -> Path:
    """A network that finds an object, with a mask, in every value that is 100."""
    constants = {
        "low": np.array(99.5, np.float32),
        "high": np.array(100.5, np.float32),
        "column": np.array([-1, 4, 1, 1], np.int64),
        "mask": np.array([1, 4, *_MASK], np.int64),
    }
    nodes = [
        helper.make_node("Greater", ["input", "low"], ["above"]),
        helper.make_node("Less", ["input", "high"], ["below"]),
        helper.make_node("And", ["above", "below"], ["found"]),
        helper.make_node("NonZero", ["found"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"], perm=[1, 0]),
        helper.make_node("Cast", ["rows"], ["boxes"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["boxes", "column"], ["pixels"]),
        helper.make_node("Expand", ["pixels", "mask"], ["masks"]),
    ]
    graph = helper.make_graph(
        nodes,
        "objects",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *SIZE])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("masks", TensorProto.FLOAT, ["n", 4, *_MASK]),
        ],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return save(graph, system.folder / "objects.onnx")


def _found(system: System, name: str, camera: Any, value: int) -> dict[str, list[int]]:
    """Return the shapes of the outputs in the result of a frame of one grey value."""
    return _shapes(system, name, camera, system.image(value))


def _shapes(system: System, name: str, camera: Any, frame: Any) -> dict[str, list[int]]:
    count = len(system.results)
    result = system.until(
        lambda: next((each for each in system.results[count:] if each.task == name), None),
        lambda: camera.publish(frame),
    )
    return {each.name: list(each.shape) for each in result.tensors}


@pytest.mark.parametrize(("name", "declared", "kept"), [("usual", 0, 100), ("few", 7, 7)])
def test_more_objects_than_are_kept_are_left_out_of_all_outputs_alike_and_reported(
    system: System, model: Path, name: str, declared: int, kept: int
) -> None:
    task = system.task(name, model=str(model), period_ms=500.0, preprocess__scale=1.0)
    task.output.max_results = declared
    answer = system.call(RegisterModel, task=task)
    assert answer.admitted, answer.rationale.sentence
    asked = "rows its results have: the first 100 are kept; declare output.max_results for another"
    assert (asked in answer.rationale.sentence) == (not declared)
    system.listen(name)
    camera = system.camera(name)
    system.until(lambda: camera.get_subscription_count() > 0)
    assert _found(system, name, camera, 0) == {"boxes": [0, 4], "masks": [0, 4, *_MASK]}
    assert _found(system, name, camera, 100) == {"boxes": [kept, 4], "masks": [kept, 4, *_MASK]}
    left_out = system.rationale("limit", name)
    assert f"found {_PIXELS} rows of output " in left_out.sentence
    assert f"the first {kept} are in its result; raise output.max_results" in left_out.sentence
    assert system.call(UnregisterModel, name=name).success


def test_a_bound_that_has_no_effect_is_refused(system: System) -> None:
    task = system.task("same")
    task.output.max_results = 5
    answer = system.call(RegisterModel, task=task)
    assert not answer.admitted and "output.max_results" in answer.rationale.sentence


@pytest.mark.parametrize(("name", "declared", "kept"), [("graph", 0, 10), ("first", 4, 4)])
def test_a_detector_with_its_suppression_inside_gives_a_result_whatever_it_finds(
    system: System, name: str, declared: int, kept: int
) -> None:
    """Nothing, one object, as many as are kept, and more; its budget is that of a full frame."""
    model = detector(system.folder / f"{name}.onnx", (1, 3, *SIZE), most=10)
    task = system.task(name, model=str(model), period_ms=500.0, preprocess__scale=1.0, wcet_ms=0.0)
    task.output.max_results = declared
    answer = system.call(RegisterModel, task=task)
    assert answer.admitted, answer.rationale.sentence
    assert "output.max_results" not in answer.rationale.sentence, "the network has a limit"
    assert "measured budget" in answer.rationale.sentence
    assert "generated pattern in which it finds 10, the most it can" in answer.rationale.sentence
    system.listen(name)
    camera = system.camera(name)
    system.until(lambda: camera.get_subscription_count() > 0)
    for objects in (0, 1, kept, kept + 1):
        frame = system.image(0)
        data = bytearray(frame.data)
        for each in range(objects):
            data[each * 3 * 7] = 255  # apart from each other
        frame.data = bytes(data)
        rows = min(objects, kept)
        assert _shapes(system, name, camera, frame) == {"objects": [rows, 6]}
    if declared:  # more than its suppression keeps never comes out of it
        left_out = system.rationale("limit", name)
        assert f"found {kept + 1} rows of output objects" in left_out.sentence
    cut = system.until(lambda: _figures(system, name))
    assert cut.truncated == (1 if declared else 0)
    assert system.call(UnregisterModel, name=name).success


def _figures(system: System, name: str) -> Any:
    """Return what the status says of a task once all its results are counted."""
    tasks = [
        each for status in system.statuses[-1:] for each in status.tasks if each.spec.name == name
    ]
    return next((each for each in tasks if each.completed == 4), None)
