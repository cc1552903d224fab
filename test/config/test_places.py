"""Mistakes that are found after a file was read name its line, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from aegis_ros.config import Places, parse_placed
from aegis_ros.config.several import together
from aegis_ros.errors import BackendError, ConfigError

_TEXT = """\
device:
  backend: onnxruntime
tasks:
  - name: faces
    model: net.onnx
    input: {topic: /camera}
    output: {topic: /out}
    period_ms: 100
"""


@pytest.fixture
def places() -> Places:
    return parse_placed(_TEXT, "robot.yaml")[1]


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("device.backend", "robot.yaml:2: device.backend"),
        ("device.arena_mib", "robot.yaml:1: device.arena_mib"),
        ("tasks[0].input.topic", "robot.yaml:6: tasks[0].input.topic"),
        ("tasks[7].model", "robot.yaml:3: tasks[7].model"),
        ("models.roots", "robot.yaml: models.roots"),
    ],
)
def test_a_key_has_the_line_of_what_the_file_has_of_it(
    places: Places, key: str, place: str
) -> None:
    assert places.of(key) == place


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("model: there is none", "robot.yaml:5: tasks[0].model (faces): there is none."),
        ("input.shape: wrong", "robot.yaml:6: tasks[0].input.shape (faces): wrong."),
        ("beware: it is late", "robot.yaml:4: tasks[0] (faces): beware: it is late."),
    ],
)
def test_a_refusal_is_at_its_key(places: Places, problem: str, said: str) -> None:
    assert str(places.refused("faces", problem)) == said


def test_a_task_of_no_file_has_no_place(places: Places) -> None:
    assert places.of_task("other") == ""
    assert str(places.refused("other", "it is late")) == "other: it is late."


def test_an_error_keeps_all_but_its_place(places: Places) -> None:
    with pytest.raises(BackendError) as caught, places.shown():
        raise BackendError(
            "cannot be had", where="device.backend", value="x", expected="y", hint="Take y"
        )
    assert str(caught.value) == (
        "robot.yaml:2: device.backend: cannot be had (got x); expected y. Take y."
    )


def test_what_names_no_key_of_the_file_stays_as_it_is(places: Places) -> None:
    for where in ("", "/robot/state", "--format", "wcet"):
        with pytest.raises(ConfigError) as caught, places.shown():
            raise ConfigError("wrong", where=where)
        assert caught.value.where == where


def test_several_mistakes_are_one_error_and_a_single_one_is_itself(tmp_path: Path) -> None:
    mistakes = [ConfigError(f"wrong {number}", where="tasks") for number in range(25)]
    assert together(mistakes[:1], "robot.yaml") is mistakes[0]
    text = str(together(mistakes, "robot.yaml"))
    assert "25 mistakes" in text and "wrong 19" in text and "and 5 more" in text
