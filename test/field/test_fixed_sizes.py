"""A network of a fixed number of ranges, and scans that bring another, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from aegis_ros.srv import RegisterModel
from sensor_msgs.msg import LaserScan

from test.network.builders import identity_network
from test.nodes.system import System, running


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


def _scan(system: System, number: int) -> LaserScan:
    message = LaserScan(range_min=0.0, range_max=1000.0, angle_increment=0.01)
    message.ranges = np.arange(number, dtype=np.float32).tolist()
    message.header.stamp = system.robot.get_clock().now().to_msg()
    return message


def _ask(system: System, name: str, *, max_points: int = 0, resize: str = "") -> Any:
    model = identity_network(system.folder / "scan.onnx", (1, 360))
    task = system.task(name, model=str(model), input__max_size=[], input__max_points=max_points)
    task.input.type = "sensor_msgs/msg/LaserScan"
    task.preprocess = type(task.preprocess)(layout="ranges", resize=resize)
    system.listen(name)
    return system.call(RegisterModel, task=task)


def test_a_scan_of_another_number_is_refused_with_both_and_the_next_one_runs(
    system: System,
) -> None:
    assert _ask(system, "exact").admitted
    lidar = system.camera("exact", LaserScan)
    system.until(
        lambda: [
            each for each in system.rationales if (each.rule, each.task) == ("bad_frame", "exact")
        ],
        lambda: lidar.publish(_scan(system, 361)),
    )
    said = system.rationale("bad_frame", "exact").sentence
    assert "the network of exact takes exactly 360 ranges, and 361 came" in said
    assert "crop (more come), pad (fewer come) or sample (either)" in said
    assert not system.results_of("exact")
    lidar.publish(_scan(system, 300))
    system.until(lambda: system.results_of("exact"), lambda: lidar.publish(_scan(system, 360)))


def test_a_number_that_is_declared_is_compared_at_admission(system: System) -> None:
    answer = _ask(system, "declared", max_points=361)
    assert not answer.admitted and answer.rationale.rule == "model_valid"
    assert "takes exactly 360 ranges" in answer.rationale.sentence
    assert "(got 361); expected 360" in answer.rationale.sentence


@pytest.mark.parametrize(("resize", "number", "first"), [("crop", 362, 1), ("pad", 358, 0)])
def test_scans_are_brought_to_the_number_where_that_is_declared(
    system: System, resize: str, number: int, first: int
) -> None:
    points = 362 if resize == "crop" else 0
    answer = _ask(system, resize, max_points=points, resize=resize)
    assert answer.admitted, answer.rationale.sentence
    lidar = system.camera(resize, LaserScan)
    system.until(lambda: system.results_of(resize), lambda: lidar.publish(_scan(system, number)))
    (tensor,) = system.results_of(resize)[0].tensors
    values = np.frombuffer(bytes(tensor.data), "<f4")
    assert values.size == 360 and values[0] == first
    if resize == "crop":
        np.testing.assert_array_equal(values, np.arange(1, 361))
    else:
        np.testing.assert_array_equal(values[1:-1], np.arange(358))
