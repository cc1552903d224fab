"""Tasks that were admitted and could not work, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aegis_ros.srv import RegisterModel, UnregisterModel
from sensor_msgs.msg import CompressedImage

from test.nodes.system import System, running


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


def _refusal(system: System, **changes: Any) -> str:
    answer = system.call(RegisterModel, task=system.task("doomed", **changes))
    assert not answer.admitted
    assert answer.rationale.rule == "schema"
    return str(answer.rationale.sentence)


def test_a_key_that_would_be_ignored_is_refused_by_the_service(system: System) -> None:
    said = _refusal(system, input__max_points=5000)
    assert "input.max_points: has no effect with sensor_msgs/msg/Image (got 5000)" in said
    assert "Give max_size, the largest height and width" in said
    said = _refusal(system, preprocess__pad=0.5)
    assert "task.preprocess.pad: has no effect without pad_set" in said


def test_compressed_depth_is_refused_and_told_where_it_comes_as_a_picture(system: System) -> None:
    compressed = "sensor_msgs/msg/CompressedImage"
    said = _refusal(system, input__type=compressed, preprocess__color="depth")
    assert "preprocess.color: depth is not read from compressed images" in said
    said = _refusal(system, input__type=compressed, input__topic="/camera/depth/compressedDepth")
    assert "input.topic: compressed depth is not read" in said
    assert "image_transport republish" in said
    task = system.task("picture", input__type=compressed)
    assert system.call(RegisterModel, task=task).admitted
    camera = system.camera("picture", CompressedImage)
    frame = CompressedImage(format="16UC1; compressedDepth png", data=bytes(12) + b"\x89PNG\r\n")
    system.until(
        lambda: [
            each
            for each in system.rationales
            if each.task == "picture" and each.job >= 0 and each.rule == "bad_frame"
        ],
        lambda: camera.publish(frame),
    )
    said = system.rationale("bad_frame", "picture").sentence
    assert "compressed depth is not read" in said and "color depth" in said
    assert system.call(UnregisterModel, name="picture").success
