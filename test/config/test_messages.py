"""What is wrong with a configuration is said in its own words, not in those of Python."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from aegis_ros.config import parse_config, parse_task
from aegis_ros.config.file_model import Config
from aegis_ros.errors import ConfigError
from aegis_ros.network.fuse import DTYPES
from aegis_ros.planning.task_set import read_task_set

# Regular expressions, names of classes, and the library's own words.
FOREIGN = re.compile(r"\^|\[a-z|\b_[A-Z]|\[key\]|<class|pydantic|[Vv]alid (dict|string|int|number)")
TASK: dict[str, Any] = {
    "name": "a",
    "model": "m.onnx",
    "input": {"topic": "/t"},
    "period_ms": 100,
    "output": {"topic": "/o"},
}
WRONG: list[Any] = [
    "",
    "ÄÖ x",
    -1,
    2.5,
    True,
    None,
    [],
    [1],
    ["x"],
    {},
    {"x": 1},
    {"": 1},
    "1" * 99,
]


def keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        yield (*path, name)
        for inner in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from keys(inner, (*path, name))


def with_value(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A configuration with one task whose key at ``path`` has this value."""
    whole = json.loads(json.dumps({"tasks": [TASK]}))
    place = whole
    for name in path[:-1]:
        inner = place.setdefault(name, [{}] if name == "lanes" else {})
        place = inner[0] if isinstance(inner, list) else inner
        if name == "input":
            place.setdefault("topic", "/t")
    place[path[-1]] = value
    return typing.cast("dict[str, Any]", whole)


@pytest.mark.parametrize("path", keys(Config), ids=".".join)
def test_a_wrong_value_is_refused_without_foreign_words(path: tuple[str, ...]) -> None:
    for value in WRONG:
        try:
            parse_config(json.dumps(with_value(path, value)), "robot.yaml")
        except ConfigError as error:
            assert not FOREIGN.search(str(error)), error


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Face"}, "name: not valid (got 'Face'); expected at most 63 lower-case letters"),
        ({"sha256": "abc"}, "expected 64 hexadecimal digits, as `sha256sum` prints them"),
        ({"lane": "Ä"}, "expected the name of a lane"),
        ({"input": {"topic": "/t", "qos": "reliabel"}}, "Did you mean 'reliable'?"),
        ({"preprocess": {"dtype": "double"}}, "'float32', 'float16', 'float64'"),
        ({"input": None, "inputs": {5: {"topic": "/a"}}}, "inputs: a name in it is not valid"),
        ({"input": None, "inputs": {"": {"topic": "/a"}}}, "(got ''); expected text of at least 1"),
        ({"model": "m" * 5000}, "(got 5000 characters); expected text of at most 4096 characters"),
    ],
)
def test_says_what_text_should_look_like(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_task({**TASK, **changes})
    assert said in str(caught.value)
    assert not FOREIGN.search(str(caught.value))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_key_takes_every_element_type_that_an_error_may_ask_for(dtype: str) -> None:
    assert parse_task({**TASK, "preprocess": {"dtype": dtype}}).preprocess.dtype == dtype


def test_names_of_a_task_set_are_described_too(tmp_path: typing.Any) -> None:
    path = tmp_path / "set.yaml"
    path.write_text("tasks: [{name: 'a b', period_ms: 10, wcet_ms: 1}]")
    with pytest.raises(ConfigError, match="letters, digits, underscores, dots and hyphens"):
        read_task_set(path)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sensor_msgs/msg/CameraInfo", ""),  # LaserScan was suggested: the package is the same
        ("sensor_msgs/msg/Imu", ""),
        ("sensor_msgs/Image", "sensor_msgs/msg/Image"),
        ("Image", "sensor_msgs/msg/Image"),
        ("sensor_msgs/msg/PointCloud", "sensor_msgs/msg/PointCloud2"),
    ],
)
def test_a_type_is_suggested_by_the_name_of_the_message(given: str, meant: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_task(TASK | {"input": {"topic": "/t", "type": given}})
    assert ("did you mean" in str(refused.value)) == bool(meant)
    assert not meant or f"did you mean {meant!r}" in str(refused.value)


def test_a_layout_that_does_not_fit_is_shown_at_the_key_that_was_given() -> None:
    text = (
        "tasks:\n  - name: a\n    model: m.onnx\n    period_ms: 100\n    output: {topic: /o}\n"
        "    input:\n      topic: /t\n      type: sensor_msgs/msg/PointCloud2\n"
    )
    with pytest.raises(ConfigError) as refused:
        parse_config(text, "robot.yaml")
    assert refused.value.where == "robot.yaml:8: tasks[0].input.type"
    assert "preprocess: {layout: points or ranges}" in refused.value.expected
    with pytest.raises(ConfigError) as refused:
        parse_config(text.replace("PointCloud2", "Image") + "    preprocess:\n      layout: points")
    assert refused.value.where == "configuration:10: tasks[0].preprocess.layout"
    assert "sensor_msgs/msg/PointCloud2 goes with layout points" in refused.value.hint
