"""NaN and infinite numbers, which lidars and depth cameras send all the time, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from aegis_ros.srv import RegisterModel
from sensor_msgs.msg import Image, PointCloud2, PointField

from test.network.builders import identity_network
from test.nodes.system import SIZE, System, running


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


def _output(result: Any) -> np.ndarray:
    (tensor,) = result.tensors
    return np.frombuffer(bytes(tensor.data), tensor.dtype).reshape(list(tensor.shape))


def _cloud(system: System, points: np.ndarray) -> PointCloud2:
    message = PointCloud2(height=1, width=len(points), point_step=16, row_step=16 * len(points))
    message.fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(("x", "y", "z", "intensity"))
    ]
    message.header.stamp = system.robot.get_clock().now().to_msg()
    message.data = points.astype("<f4").tobytes()
    return message


def _depth(system: System, pixels: np.ndarray) -> Image:
    height, width = pixels.shape
    message = Image(height=height, width=width, encoding="32FC1", step=4 * width)
    message.header.stamp = system.robot.get_clock().now().to_msg()
    message.data = pixels.astype("<f4").tobytes()
    return message


def _status(system: System, name: str) -> Any:
    for state in reversed(system.statuses):
        for each in state.tasks:
            if each.spec.name == name:
                return each
    return None


def _register_cloud(system: System, name: str, **changes: Any) -> Any:
    model = identity_network(system.folder / "points.onnx", ("n", 4))
    task = system.task(name, model=str(model), input__max_size=[], input__max_points=100)
    task.input.type = "sensor_msgs/msg/PointCloud2"
    task.input.invalid = changes.pop("invalid", "")
    task.input.topic = changes.pop("topic", task.input.topic)
    task.preprocess = type(task.preprocess)(layout="points")
    answer = system.call(RegisterModel, task=task)
    assert answer.admitted, answer.rationale.sentence
    system.listen(name)
    return system.camera(name, PointCloud2)


CLOUD = np.arange(40, dtype=np.float32).reshape(10, 4)
CLOUD[2, 1] = CLOUD[5, 3] = np.nan
CLOUD[9, 0] = np.inf
WHOLE = CLOUD[np.isfinite(CLOUD).all(axis=1)]


def test_points_that_are_none_are_left_out_and_counted(system: System) -> None:
    lidar = _register_cloud(system, "lidar")
    system.until(lambda: system.results_of("lidar"), lambda: lidar.publish(_cloud(system, CLOUD)))
    np.testing.assert_array_equal(_output(system.results_of("lidar")[0]), WHOLE)
    status = system.until(lambda: (each := _status(system, "lidar")) and each.invalid and each)
    assert status.invalid % 3 == 0 and status.not_finite == 0
    nothing = np.full((5, 4), np.nan, np.float32)
    system.until(
        lambda: [
            each for each in system.rationales if (each.rule, each.task) == ("bad_frame", "lidar")
        ],
        lambda: lidar.publish(_cloud(system, nothing)),
    )
    said = system.rationale("bad_frame", "lidar").sentence
    assert "no point is left (got 5 points with NaN or infinite coordinates)" in said


def test_two_tasks_on_one_topic_each_have_their_own_choice(system: System) -> None:
    lidar = _register_cloud(system, "fewer")
    _register_cloud(system, "every", invalid="keep", topic="/fewer/image")
    system.until(
        lambda: system.results_of("fewer") and system.results_of("every"),
        lambda: lidar.publish(_cloud(system, CLOUD)),
    )
    np.testing.assert_array_equal(_output(system.results_of("fewer")[0]), WHOLE)
    np.testing.assert_array_equal(_output(system.results_of("every")[0]), CLOUD)


def test_depth_that_is_none_is_zero_and_counted(system: System) -> None:
    model = identity_network(system.folder / "depth.onnx", (1, 1, *SIZE))
    task = system.task("depth", model=str(model), preprocess__color="depth")
    task.preprocess.resize = "none"
    task.input.max_size = list(SIZE)
    answer = system.call(RegisterModel, task=task)
    assert answer.admitted, answer.rationale.sentence
    system.listen("depth")
    camera = system.camera("depth")
    pixels = np.linspace(0.5, 9.0, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)
    pixels[0, :3] = np.nan, np.inf, -np.inf
    system.until(lambda: system.results_of("depth"), lambda: camera.publish(_depth(system, pixels)))
    wanted = np.where(np.isfinite(pixels), pixels, np.float32(0))
    np.testing.assert_allclose(_output(system.results_of("depth")[0])[0, 0], wanted, rtol=1e-6)
    status = system.until(lambda: (each := _status(system, "depth")) and each.invalid and each)
    assert status.invalid % 3 == 0 and status.not_finite == 0


def test_results_that_hold_no_numbers_are_reported_counted_and_a_warning(system: System) -> None:
    lidar = _register_cloud(system, "kept", invalid="keep")

    def publish() -> None:
        lidar.publish(_cloud(system, CLOUD))

    system.until(lambda: system.results_of("kept"), publish)
    np.testing.assert_array_equal(_output(system.results_of("kept")[0]), CLOUD)
    said = system.rationale("not_finite", "kept").sentence
    assert said.startswith("Output 'output' holds NaN or infinite numbers in job ")
    assert "declare invalid: drop or zero" in said
    status = system.until(lambda: (each := _status(system, "kept")) and each.not_finite and each)
    assert status.invalid >= 3

    def warned() -> Any:
        for array in reversed(system.diagnostics):
            for each in array.status:
                if each.name.endswith("task kept") and "NaN" in each.message:
                    return each
        return None

    health = system.until(warned, publish)
    assert health.level == b"\1" and "results of the last" in health.message
    values = {item.key: item.value for item in health.values}
    assert int(values["not_finite"]) > 0 and int(values["invalid"]) > 0
