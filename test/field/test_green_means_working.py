"""Frames go in and nothing comes out: /diagnostics says so, with the last reason and its count."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aegis_ros.srv import RegisterModel, UnregisterModel
from diagnostic_msgs.msg import DiagnosticStatus
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from sensor_msgs.msg import CompressedImage, Image

from aegis_ros.nodes.monitor import Monitor
from aegis_ros.views.status import render_snapshot, summary_line
from test.network.builders import save
from test.nodes.system import SIZE, System, running


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


def _camera(system: System, name: str, **changes: Any) -> Any:
    # Results that are late on a busy machine would be an error of their own.
    task = system.task(name, deadline_ms=10_000.0, **changes)
    answer = system.call(RegisterModel, task=task)
    assert answer.admitted, answer.rationale.sentence
    system.listen(name)
    camera = system.camera(name)
    system.until(lambda: camera.get_subscription_count() > 0)
    return camera


def _diagnosis(
    system: System, name: str, level: bytes, feed: Callable[[], None] = lambda: None
) -> DiagnosticStatus:
    """Wait until the newest diagnosis of a task has this level."""

    def newest() -> DiagnosticStatus | None:
        found = [
            each
            for message in system.diagnostics[-2:]
            for each in message.status
            if each.name == f"/orchestrator: task {name}"
        ]
        return found[-1] if found and found[-1].level == level else None

    status: DiagnosticStatus = system.until(newest, feed)
    return status


def _large(system: System) -> Image:
    message = Image(height=480, width=640, encoding="rgb8", step=640 * 3)
    message.data = bytes(480 * 640 * 3)
    message.header.stamp = system.robot.get_clock().now().to_msg()
    return message


# First: it has systems of its own, and that of the other tests must not answer for them.
def test_what_is_configured_or_remembered_and_not_admitted_is_an_error_until_it_is_settled(
    tmp_path: Path,
) -> None:
    model = tmp_path / "kept.onnx"
    with running(tmp_path) as first:
        shutil.copy(first.model, model)
        assert first.call(RegisterModel, task=first.task("kept", model=str(model))).admitted
    model.unlink()
    with running(tmp_path, _MISSING.format(folder=tmp_path)) as system:
        filed = _diagnosis(system, "filed", DiagnosticStatus.ERROR)
        assert filed.message.startswith("not admitted: ") and "gone.onnx" in filed.message
        kept = _diagnosis(system, "kept", DiagnosticStatus.ERROR)
        assert "kept.onnx" in kept.message and "unregister it" in kept.message
        system.until(lambda: len(system.statuses[-1].rejected) == 2)
        shown = {each.name: each for each in system.statuses[-1].rejected}
        assert list(shown) == ["filed", "kept"]
        monitor = Monitor(system.robot, "/orchestrator")
        snapshot = system.until(monitor.snapshot)
        assert snapshot.rejected[0] == ("filed", shown["filed"].sentence)
        assert summary_line(snapshot).endswith(" | not admitted: filed, kept")
        console = Console(file=io.StringIO(), width=200)
        console.print(render_snapshot(snapshot, 200))
        assert "kept was not admitted" in console.file.getvalue()  # type: ignore[attr-defined]
        assert shown["filed"].origin == "from the configuration file"
        assert shown["kept"].origin.startswith("remembered from 20")
        assert shown["kept"].rule == "model_file"
        # Whoever asks gets an answer; what is asked in vain makes no robot ill.
        asked = system.call(RegisterModel, task=system.task("asked", period_ms=-1.0))
        assert not asked.admitted
        # A request of the same name that is rejected, too, changes nothing.
        assert not system.call(RegisterModel, task=system.task("filed", period_ms=-1.0)).admitted
        count = len(system.statuses)
        system.until(lambda: len(system.statuses) > count + 1)
        assert [each.name for each in system.statuses[-1].rejected] == ["filed", "kept"]
        assert "gone.onnx" in system.statuses[-1].rejected[0].sentence
        assert system.call(RegisterModel, task=system.task("filed")).admitted
        assert system.call(UnregisterModel, name="kept").success
        system.until(lambda: not system.statuses[-1].rejected)
        system.until(lambda: _diagnosis_level(system, "filed") == DiagnosticStatus.WARN)
        assert _diagnosis_level(system, "kept") is None


@pytest.mark.parametrize(
    ("name", "frame", "says"),
    [
        ("deep", lambda system: system.image(encoding="rgb16"), "rgb16"),
        ("large", _large, "max_size"),
    ],
)
def test_frames_that_cannot_be_used_are_an_error_until_a_good_one_comes(
    system: System, name: str, frame: Callable[[System], Image], says: str
) -> None:
    camera = _camera(system, name)
    status = _diagnosis(system, name, DiagnosticStatus.ERROR, lambda: camera.publish(frame(system)))
    assert status.message.startswith("no result from ") and says in status.message
    assert " by bad_frame, the last because a frame on " in status.message
    assert not system.results_of(name)
    counted = {each.key: int(each.value) for each in status.values if "last_result" in each.key}
    assert counted["since_last_result bad_frame"] >= 3
    system.until(lambda: system.results_of(name), lambda: camera.publish(system.image()))

    def good() -> None:
        camera.publish(system.image())

    # Results come again: what was lost lately is a warning at most.
    system.until(
        lambda: _diagnosis_level(system, name) in (DiagnosticStatus.OK, DiagnosticStatus.WARN),
        good,
    )


def _diagnosis_level(system: System, name: str) -> bytes | None:
    return next(
        (
            each.level
            for each in system.diagnostics[-1].status
            if each.name == f"/orchestrator: task {name}"
        ),
        None,
    )


def _fails_on_grey(path: Path) -> Path:
    """A network that fails on frames whose brightest value is neither 0 nor white.

    So it works on what it is checked with, which is black or noise.
    """
    constants = {
        "low": np.array(50, np.float32),
        "high": np.array(200, np.float32),
        "only": np.ones(1, np.float32),
        "shape": np.ones(1, np.int64),
    }
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["brightest"], keepdims=0),
        helper.make_node("Greater", ["brightest", "low"], ["not_black"]),
        helper.make_node("Less", ["brightest", "high"], ["not_white"]),
        helper.make_node("And", ["not_black", "not_white"], ["grey"]),
        helper.make_node("Cast", ["grey"], ["number"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["number", "shape"], ["index"]),
        helper.make_node("Gather", ["only", "index"], ["output"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "fails_on_grey",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *SIZE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1])],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return save(graph, path)


def test_a_network_that_fails_on_every_job_is_an_error_until_it_works(system: System) -> None:
    model = _fails_on_grey(system.folder / "grey.onnx")
    camera = _camera(system, "grey", model=str(model), preprocess__scale=1.0)

    def frame(value: int) -> Callable[[], None]:
        return lambda: camera.publish(system.image(value))

    status = _diagnosis(system, "grey", DiagnosticStatus.ERROR, frame(100))
    assert status.message.startswith("no result from ")
    assert " by run_failed, the last because job " in status.message
    assert "Gather" in status.message, "in the words of the runtime"
    assert not system.results_of("grey")
    counted = {each.key: int(each.value) for each in status.values if "last_result" in each.key}
    assert counted["since_last_result run_failed"] >= 3
    assert system.statuses[-1].engine_restarts == 0, "what fails is the job, not the engine"
    system.until(lambda: system.results_of("grey"), frame(255))
    system.until(
        lambda: _diagnosis_level(system, "grey") in (DiagnosticStatus.OK, DiagnosticStatus.WARN),
        frame(255),
    )


_MISSING = """\
- name: filed
  model: {folder}/gone.onnx
  input: {{topic: /filed/image, max_size: [64, 64]}}
  output: {{topic: /filed/result}}
  period_ms: 50
  wcet_ms: 1
"""


class _Full:
    """A publisher whose middleware takes nothing any more."""

    def publish(self, message: Any) -> None:
        raise RuntimeError(
            "Failed to publish: cannot publish data, at /project/src/rmw_publish.cpp:62, at "
            "/project/src/rcl/publisher.c:262"
        )


@pytest.mark.parametrize(("name", "held_ms"), [("stuck", 0.0), ("held", 20.0)])
def test_a_task_whose_every_result_cannot_be_published_is_an_error(
    system: System, name: str, held_ms: float
) -> None:
    camera = _camera(system, name, output__constant_latency_ms=held_ms)
    results = system.node._results
    assert results is not None
    (output,) = (each for each in results._outputs.values() if each.spec.name == name)
    real, output.results = output.results, _Full()

    def publish() -> None:
        camera.publish(system.image())

    status = _diagnosis(system, name, DiagnosticStatus.ERROR, publish)
    assert "the last because the result of job " in status.message
    assert "cannot publish data" in status.message and "/project" not in status.message
    assert not system.results_of(name)
    output.results = real
    system.until(lambda: system.results_of(name), publish)


def _failed(system: System, name: str) -> str:
    """What is said of a task that failed, on /diagnostics and in the status alike."""
    status = _diagnosis(system, name, DiagnosticStatus.ERROR)
    system.until(
        lambda: any(
            each.spec.name == name and each.problem == status.message
            for each in system.statuses[-1].tasks
        )
    )
    return str(status.message)


def test_a_task_whose_topic_cannot_be_subscribed_to_says_so(system: System) -> None:
    # One process has one type for each topic, and another node of it was there first.
    system.robot.create_publisher(CompressedImage, "/taken/image", 1)
    assert system.call(RegisterModel, task=system.task("taken")).admitted
    said = _failed(system, "taken")
    assert said == (
        "cannot subscribe to /taken/image as sensor_msgs/msg/Image: the topic is in use with type "
        "sensor_msgs/msg/CompressedImage; unregister taken and choose another topic"
    )


def test_a_task_whose_results_cannot_be_published_says_so_and_the_others_run(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **more: Any) -> Any:
        raise RuntimeError("a decoder that is made once only")

    with monkeypatch.context() as patch:
        patch.setattr("aegis_ros.nodes.orchestrator.create_decoder", refuse)
        assert system.call(RegisterModel, task=system.task("mute")).admitted
    said = _failed(system, "mute")
    assert said == (
        "cannot publish results of mute on /mute/result: a decoder that is made once only; "
        "unregister it and choose another topic"
    )
    camera = _camera(system, "beside")
    system.until(lambda: system.results_of("beside"), lambda: camera.publish(system.image()))
