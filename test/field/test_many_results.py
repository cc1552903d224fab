"""Networks whose results are as many as the objects in a frame, as Mask R-CNN's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aegis_ros.srv import RegisterModel
from onnx import TensorProto, helper, numpy_helper

from test.network.builders import save
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
    frame = system.image(value)
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
    system.listen(name)
    camera = system.camera(name)
    system.until(lambda: camera.get_subscription_count() > 0)
    assert _found(system, name, camera, 0) == {"boxes": [0, 4], "masks": [0, 4, *_MASK]}
    assert _found(system, name, camera, 100) == {"boxes": [kept, 4], "masks": [kept, 4, *_MASK]}
    left_out = system.rationale("limit", name)
    assert f"found {_PIXELS} rows of output " in left_out.sentence
    assert f"the first {kept} are in its result; raise output.max_results" in left_out.sentence


def test_a_bound_that_has_no_effect_is_refused(system: System) -> None:
    task = system.task("same")
    task.output.max_results = 5
    answer = system.call(RegisterModel, task=task)
    assert not answer.admitted and "output.max_results" in answer.rationale.sentence
