"""Frames go in and nothing comes out: /diagnostics says so, with the last reason and its count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aegis_ros.srv import RegisterModel
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

from aegis_ros.rationale.frames import CannotSubscribe
from test.nodes.system import System, running


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


def _camera(system: System, name: str, **changes: Any) -> Any:
    answer = system.call(RegisterModel, task=system.task(name, **changes))
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


def test_a_task_that_failed_says_what_happened(system: System, tmp_path: Path) -> None:
    _camera(system, "gone")
    orchestrator = system.node._orchestrator
    assert orchestrator is not None
    reason = CannotSubscribe("gone", "/gone/image", "sensor_msgs/msg/Image", "type mismatch")
    orchestrator.fail("gone", reason)
    status = _diagnosis(system, "gone", DiagnosticStatus.ERROR)
    assert "cannot subscribe to /gone/image" in status.message
    assert "crash" not in status.message
