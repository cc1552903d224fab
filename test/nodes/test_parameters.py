"""Every parameter takes effect when it is set, or is refused with the reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.parameters import Declaration, Parameters
from test.nodes.system import running

_DECLARED = (
    Declaration("name", "robot", "A name."),
    Declaration("period_s", 0.5, "A period.", low=0.1, high=60.0),
    Declaration("port", 80, "A port.", low=0, high=65535),
    Declaration("quiet", True, "Whether.", fixed="read at start only"),
)


@pytest.fixture
def context() -> Iterator[Context]:
    made = Context()
    rclpy.init(context=made)
    yield made
    rclpy.try_shutdown(context=made)


def node(context: Context, **given: Any) -> Node:
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    return Node("robot", context=context, parameter_overrides=overrides)


def test_whole_numbers_are_numbers_at_the_start_and_later(context: Context) -> None:
    made = node(context, period_s=1)
    parameters = Parameters(made, _DECLARED)
    assert parameters["period_s"] == 1.0 and isinstance(parameters["period_s"], float)
    (result,) = made.set_parameters([Parameter("period_s", value=5)])
    assert result.successful and isinstance(parameters["period_s"], float)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("period_s", "fast", "expected a number from 0.1 to 60"),
        ("period_s", 0.0, "expected a number from 0.1 to 60"),
        ("period_s", math.nan, "expected a number from 0.1 to 60"),
        ("period_s", math.inf, "expected a number from 0.1 to 60"),
        ("period_s", True, "expected a number from 0.1 to 60"),
        ("period_s", [1.0, 2.0], "expected a number from 0.1 to 60"),
        ("port", 70_000, "expected a whole number from 0 to 65535"),
        ("port", 80.5, "expected a whole number from 0 to 65535"),
        ("port", True, "expected a whole number"),
        ("name", 5, "expected text"),
        ("quiet", "yes", "expected true or false"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_at_the_start_and_later(
    context: Context, name: str, value: Any, expected: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: .*{expected}"):
        Parameters(node(context, **{name: value}), _DECLARED)
    made = node(context)
    parameters = Parameters(made, _DECLARED)
    before = parameters[name]
    (result,) = made.set_parameters([Parameter(name, value=value)])
    assert not result.successful and result.reason
    assert parameters[name] == before


def test_a_parameter_cannot_be_deleted(context: Context) -> None:
    made = node(context)
    parameters = Parameters(made, _DECLARED)
    (result,) = made.set_parameters([Parameter("name", Parameter.Type.NOT_SET)])
    assert not result.successful and "got no value" in result.reason
    assert parameters["name"] == "robot"


def test_one_that_is_fixed_says_why_and_may_be_set_to_what_it_is(context: Context) -> None:
    made = node(context)
    Parameters(made, _DECLARED)
    (result,) = made.set_parameters([Parameter("quiet", value=False)])
    assert not result.successful and result.reason == "quiet: read at start only"
    (same,) = made.set_parameters([Parameter("quiet", value=True)])
    assert same.successful
    assert "Read at start only." in made.describe_parameter("quiet").description


def test_what_is_set_is_applied_and_what_is_refused_is_not(context: Context) -> None:
    applied: list[float] = []
    made = node(context)
    Parameters(made, _DECLARED, apply={"period_s": applied.append})
    made.set_parameters([Parameter("period_s", value=5)])
    made.set_parameters([Parameter("period_s", value=500)])
    assert applied == [5.0]


def test_ranges_are_shown_to_tools(context: Context) -> None:
    made = node(context)
    Parameters(made, _DECLARED)
    (floats,) = made.describe_parameter("period_s").floating_point_range
    (whole,) = made.describe_parameter("port").integer_range
    assert (floats.from_value, floats.to_value, whole.to_value) == (0.1, 60.0, 65535)


def test_parameters_that_the_node_does_not_have_are_named_once_and_shown_nowhere(
    context: Context, capfd: pytest.CaptureFixture[str]
) -> None:
    strange = {"perod_s": 1.0, "zzz": 1, "clear\x1b[2J": 1}
    others = {"later.port": 1, "qos_overrides./clock.subscription.depth": 1, "use_sim_time": True}
    made = node(context, name="left", **strange, **others)
    capfd.readouterr()
    Parameters(made, _DECLARED, later=("later.",))
    (said,) = capfd.readouterr().err.splitlines()
    assert said.endswith(
        "robot has no parameter clear\\x1b[2J, perod_s (did you mean 'period_s'?), zzz: what was "
        "given is ignored; it has name, period_s, port, quiet, use_sim_time"
    )
    assert not any(made.has_parameter(name) for name in strange)


def test_a_node_that_is_given_what_it_has_is_not_warned(
    context: Context, capfd: pytest.CaptureFixture[str]
) -> None:
    made = node(context, name="left", period_s=1, use_sim_time=False)
    capfd.readouterr()
    Parameters(made, _DECLARED)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("/left/robot: {ros__parameters: {name: a}}", None),
        ("left/robot: {ros__parameters: {name: a}}", None),
        ("left: {robot: {ros__parameters: {name: a}}}", None),
        ("/**: {ros__parameters: {name: a}}", None),
        ("/*/robot: {ros__parameters: {name: a}}", None),
        ("/**/robot: {ros__parameters: {name: a}}", None),
        ("robto: {ros__parameters: {name: a}}\nleft: {robot: {ros__parameters: {}}}", None),
        ("robot: {ros__parameters: {name: a}}", "/robot"),
        ("/left/robto: {ros__parameters: {a: {ros__parameters: {}}}}", "/left/robto"),
        ("/*: {ros__parameters: {name: a}}", "/*"),
        ("a: {ros__parameters: {}}\nb: {c: {ros__parameters: {}}}", "/a, /b/c"),
        ("name: [", None),  # ROS has said so
        ("name: robot", None),
    ],
)
def test_a_file_that_has_nothing_for_the_node_is_named(
    context: Context,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    written: str,
    named: str | None,
) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(written)
    made = Node("robot", namespace="left", context=context)
    capfd.readouterr()
    monkeypatch.setattr("sys.argv", ["robot", "--ros-args", "--params-file", str(file)])
    Parameters(made, _DECLARED)
    said = capfd.readouterr().err
    wanted = f"{file} has parameters for {named} and none for /left/robot: nothing of it is used"
    assert (wanted in said) if named else said == ""


def test_the_periods_of_the_orchestrator_change_what_it_publishes(tmp_path: Any) -> None:
    with running(tmp_path) as system:

        def put(name: str, value: Any) -> Any:
            (result,) = system.node.set_parameters([Parameter(name, value=value)])
            return result

        for name, period_s in (
            ("status_period_s", 41.0),
            ("diagnostics_period_s", 42.0),
            ("device_period_s", 43.0),
        ):
            assert put(name, period_s).successful
            periods = [timer.timer_period_ns for timer in system.node.timers]
            assert periods.count(round(period_s * 1e9)) == 1, name
        for name, heard in (
            ("status_period_s", system.statuses),
            ("diagnostics_period_s", system.diagnostics),
        ):
            assert put(name, 60).successful
            assert put(name, 0.1).successful  # counted from now, not after the minute
            count = len(heard)
            system.until(lambda heard=heard, count=count: len(heard) >= count + 3)
        refused = put("config", "other.yaml")
        assert not refused.successful
        assert refused.reason == (
            "config: read when the node is configured, and it is active: clean it up first"
        )
        assert put("autostart", False).reason == "autostart: read at start only"
        assert not put("status_period_s", 0.001).successful
        system.node.trigger_deactivate()
        system.node.trigger_cleanup()
        assert put("config", "").successful
        system.node.trigger_configure()
        assert system.node._orchestrator is not None
        assert system.node._orchestrator.spec.tasks == ()
