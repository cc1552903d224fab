"""A robot in a simulation: /clock is absent at first, runs, pauses, and jumps back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aegis_ros.srv import RegisterModel
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock_type import ClockType
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from aegis_ros.nodes.conversions import time_from_ns
from test.nodes.system import System, running

MS = 1_000_000
S = 1000 * MS
BEGIN = 1000 * S  # nothing a wall clock shows


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot"), simulated=True) as each:
        answer = each.call(RegisterModel, task=each.task("eye"))
        assert answer.admitted, answer.rationale.sentence
        each.listen("eye")
        yield each


@pytest.fixture(scope="module")
def camera(system: System) -> Any:
    found = system.camera("eye")
    system.until(lambda: found.get_subscription_count() > 0)
    return found


@pytest.fixture(scope="module")
def clock(system: System) -> Any:
    return system.robot.create_publisher(Clock, "/clock", 1)


def _entry(system: System, name: str) -> DiagnosticStatus | None:
    return next(
        (
            each
            for message in reversed(system.diagnostics)
            for each in message.status
            if each.name == f"/orchestrator: {name}"
        ),
        None,
    )


def _image(system: System, stamp_ns: int) -> Image:
    message = system.image()
    message.header.stamp = time_from_ns(stamp_ns)
    return message


def _response_ms(system: System, camera: Any, stamp_ns: int) -> float:
    """Publish a frame until its result is there; return the response that it names."""
    frame = _image(system, stamp_ns)
    count = len(system.results)
    system.until(
        lambda: any(each.header == frame.header for each in system.results[count:]),
        lambda: camera.publish(frame),
    )
    result = next(each for each in system.results[count:] if each.header == frame.header)
    return float(result.timing.response_ms)


def _still_published(system: System) -> None:
    """Wait for three more statuses, diagnoses and readings of the device."""
    for reported in (system.statuses, system.diagnostics):
        count = len(reported)
        system.until(lambda reported=reported, count=count: len(reported) >= count + 3)  # type: ignore[misc]


def _show(system: System, clock: Any, now_ns: int) -> None:
    """Have the node's clock show a time."""
    own = system.node.intake_node.get_clock()
    message = Clock(clock=time_from_ns(now_ns))
    system.until(lambda: own.now().nanoseconds == now_ns, lambda: clock.publish(message))


def test_without_a_clock_everything_is_told_and_responses_count_from_reception(
    system: System, camera: Any
) -> None:
    _still_published(system)
    entry = system.until(lambda: _entry(system, "clock"))
    assert entry.level == DiagnosticStatus.WARN and "nothing has arrived on /clock" in entry.message
    system.until(
        lambda: (device := _entry(system, "device")) and device.message.endswith("nominal speed")
    )
    assert 0 <= _response_ms(system, camera, BEGIN) < 10_000
    assert not [each for each in system.rationales if each.rule == "time_jump"]


def test_no_timer_of_the_orchestrator_stops_with_a_simulation(system: System) -> None:
    timers = [*system.node.timers, *system.node.intake_node.timers]
    assert len(timers) >= 4, "status, diagnostics, device and namesakes"
    assert {each.clock.clock_type for each in timers} == {ClockType.STEADY_TIME}


def test_stamps_are_held_against_the_clock_of_the_simulation(
    system: System, camera: Any, clock: Any
) -> None:
    _show(system, clock, BEGIN)
    assert _response_ms(system, camera, BEGIN - 7 * S) >= 7000
    # A simulator sends frames before the clock that they were taken at.
    assert 0 <= _response_ms(system, camera, BEGIN + 50 * MS) < 7000
    assert not [each for each in system.rationales if each.rule == "time_jump"]


def test_a_pause_stops_nothing(system: System, camera: Any, clock: Any) -> None:
    _show(system, clock, BEGIN + 5 * S)
    _still_published(system)
    assert _response_ms(system, camera, BEGIN + 5 * S) < 7000
    paused = system.until(
        lambda: (found := _entry(system, "clock")) and "paused for" in found.message and found
    )
    assert paused.level == DiagnosticStatus.OK


def test_the_parameter_may_change_while_the_node_runs(system: System, camera: Any) -> None:
    from rclpy.parameter import Parameter

    system.node.set_parameters([Parameter("use_sim_time", value=False)])
    assert not system.node.intake_node.get_clock().ros_time_is_active
    now = system.robot.get_clock().now().nanoseconds
    assert _response_ms(system, camera, now - 3 * S) >= 3000
    count = len(system.diagnostics)
    system.until(lambda: len(system.diagnostics) > count + 1)
    assert not any(each.name.endswith(": clock") for each in system.diagnostics[-1].status)
