"""Tasks as messages and back."""

from __future__ import annotations

import pytest
from aegis_ros.msg import ModelTask

from aegis_ros.config import parse_task
from aegis_ros.errors import ConfigError
from aegis_ros.nodes.task_message import task_from_message, task_to_message


@pytest.mark.parametrize("segments", ["auto", 1, 4])
def test_a_task_survives_its_journey_as_a_message(segments: object) -> None:
    spec = parse_task(
        {
            "name": "eye",
            "model": "eye.onnx",
            "input": {"topic": "/eye"},
            "output": {"topic": "/eye/out"},
            "period_ms": 50,
            "segments": segments,
        }
    )
    assert task_from_message(task_to_message(spec)) == spec


@pytest.mark.parametrize("exits", [{"logits": "aux"}, {"a: 1": "b,c", "true": "no", "x=y": "{}"}])
def test_early_exits_survive_their_journey_whatever_outputs_are_called(
    exits: dict[str, str],
) -> None:
    spec = parse_task(
        {
            "name": "eye",
            "model": "eye.onnx",
            "input": {"topic": "/eye"},
            "output": {"topic": "/eye/out", "options": {"threshold": 0.5}},
            "period_ms": 50,
            "on_overrun": "early_exit",
            "early_exit": exits,
        }
    )
    assert task_from_message(task_to_message(spec)) == spec


def test_a_message_that_says_nothing_of_segments_leaves_them_to_admission() -> None:
    message = ModelTask(name="eye", model="eye.onnx", period_ms=50.0)
    message.input.topic, message.output.topic = "/eye", "/eye/out"
    assert task_from_message(message).segments == 0


def eye() -> ModelTask:
    message = ModelTask(name="eye", model="eye.onnx", period_ms=50.0)
    message.input.topic, message.output.topic = "/eye", "/eye/out"
    return message


def test_an_old_field_counts_only_where_the_present_one_says_nothing() -> None:
    message = eye()
    message.criticality, message.max_decimation, message.thin_to = "low", 2, 5
    assert task_from_message(message).max_decimation == 2
    message.max_decimation = 0
    assert task_from_message(message).max_decimation == 5


@pytest.mark.parametrize(
    "text",
    ["2020-99-99", "{a: !!int ''}", "!!timestamp x", "{a: !!bool x}", "9" * 5000, "[" * 9000],
)
def test_options_that_are_no_yaml_in_any_way_are_refused(text: str) -> None:
    message = eye()
    message.output.options = text
    with pytest.raises(ConfigError, match=r"task\.output\.options"):
        task_from_message(message)


@pytest.mark.parametrize("extent", ["²", "-1", "x", "9" * 5000])
def test_extents_that_are_no_numbers_are_refused(extent: str) -> None:
    message = eye()
    message.dimensions = [f"batch={extent}"]
    with pytest.raises(ConfigError, match=r"task\.dimensions"):
        task_from_message(message)


@pytest.mark.parametrize("part", ["output.publish_ms", "output.constant_latency_ms", "jitter_ms"])
def test_times_that_would_be_rounded_to_none_are_refused(part: str) -> None:
    """As none they would mean the default, which is another time."""
    message = eye()
    owner = message.output if part.startswith("output") else message
    setattr(owner, part.rpartition(".")[2], 1e-9)
    with pytest.raises(ConfigError, match=rf"task: {part}: .* or at least 0.001"):
        task_from_message(message)


def test_an_extent_that_stands_twice_is_refused() -> None:
    message = eye()
    message.dimensions = ["batch=1", "batch=2"]
    with pytest.raises(ConfigError, match=r"stands twice \(got batch=2\)"):
        task_from_message(message)
