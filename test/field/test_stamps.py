"""A camera whose clock is not this machine's, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aegis_ros.msg import InferenceResult
from aegis_ros.srv import RegisterModel
from diagnostic_msgs.msg import DiagnosticStatus

from aegis_ros.nodes.conversions import time_from_ns
from test.nodes.system import System, running

MS = 1_000_000
S = 1000 * MS


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


def _results(system: System, name: str, ahead_ns: int, count: int) -> list[InferenceResult]:
    """Register a task and feed it frames with such stamps until so many results are there."""
    answer = system.call(RegisterModel, task=system.task(name, deadline_ms=50.0))
    assert answer.admitted, answer.rationale.sentence
    system.listen(name)
    camera = system.camera(name)

    def publish() -> None:
        frame = system.image()
        now = system.robot.get_clock().now().nanoseconds
        frame.header.stamp = time_from_ns(now + ahead_ns)
        camera.publish(frame)

    system.until(lambda: len(system.results_of(name)) >= count, publish)
    return system.results_of(name)


def _diagnosis(system: System, name: str, part: str) -> DiagnosticStatus:
    def said() -> Any:
        found = [
            each
            for message in system.diagnostics[-3:]
            for each in message.status
            if each.name == f"/orchestrator: task {name}" and part in each.message
        ]
        return found and found[-1]

    status: DiagnosticStatus = system.until(said)
    return status


@pytest.mark.parametrize(("name", "ahead_ns"), [("hasty", 3 * S), ("early", 100 * MS)])
def test_a_stamp_from_the_future_is_named_and_its_response_counts_from_reception(
    system: System, name: str, ahead_ns: int
) -> None:
    for result in _results(system, name, ahead_ns, 5):
        assert result.timing.response_ms >= 0
        stamped, received = result.timing.stamped, result.timing.received
        assert (stamped.sec, stamped.nanosec) == (received.sec, received.nanosec)
    status = _diagnosis(system, name, "ahead of this node's clock")
    assert status.level != DiagnosticStatus.OK
    reported = system.rationale("time_jump", name)
    assert reported.kind == "stamps_ahead" and 0 < reported.left <= ahead_ns / 1e6


def test_a_sender_that_is_seconds_behind_is_named_as_the_cause_of_late_results(
    system: System,
) -> None:
    for result in _results(system, "tardy", -4 * S, 8):
        assert not result.timing.met and result.timing.response_ms >= 4000
    status = _diagnosis(system, "tardy", "results were late")
    assert status.level == DiagnosticStatus.ERROR
    assert "frames on /tardy/image are at least 4.0 s old by their stamps" in status.message
    values = {each.key: float(each.value) for each in status.values if "stamp_age" in each.key}
    assert values["stamp_age_min_ms /tardy/image"] >= 4000
    assert system.rationale("time_jump", "tardy").kind == "stamps_behind"
