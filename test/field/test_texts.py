"""Text from the network, from files and from networks that stopped every task, or ended a start."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from aegis_ros.msg import ModelTask

from aegis_ros.config import parse_config, parse_task, to_mapping
from aegis_ros.errors import ConfigError, ModelError
from aegis_ros.network import resolve_model
from aegis_ros.nodes.task_message import task_from_message, task_to_message
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.spec import InputSpec, OutputSpec, TaskSpec

SPEC = TaskSpec(
    name="detector",
    model="net.onnx",
    input=InputSpec("/camera"),
    output=OutputSpec("/out"),
    period_ns=100_000_000,
    deadline_ns=100_000_000,
)
# Seven lines of aliases, each ten times the one before: 27 s in which no task gave a result.
ALIASES = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 7)
)


def asked(**changes: object) -> ModelTask:
    message = task_to_message(SPEC)
    for name, value in changes.items():
        setattr(message.output, name, value)
    return message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ALIASES, r"task\.output\.options:2: .*aliases"),
        ("{a: " * 8000, r"task\.output\.options:1: .*more than 32"),
        ("a: [" + "x, " * 5_000 + "]", r"task\.output\.options:1: .*more than 4,000 keys"),
        ("a: " + "x" * 70_000, r"task\.output\.options: too long \(got 70003 characters\)"),
        ("{when: !!timestamp x}", r"task\.output\.options:1: .*'x' is no timestamp"),
        ("[1, 2]", r"task\.output\.options: not a mapping \(got list\); expected YAML such as"),
    ],
    ids=["aliases", "depth", "values", "length", "tag", "list"],
)
def test_options_by_service_are_bounded(options: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        task_from_message(asked(options=options))


@pytest.mark.parametrize("extent", ["9" * 10, "9" * 5_000, "-1", "", "one"])
def test_extents_by_service_are_bounded(extent: str) -> None:
    message = task_to_message(SPEC)
    message.dimensions = [f"batch={extent}"]
    with pytest.raises(ConfigError, match=r"task\.dimensions: not name=value"):
        task_from_message(message)


def test_options_of_a_file_are_bounded_too() -> None:
    """The journal, every status and every list hold them."""
    values = to_mapping(SPEC)
    values["output"] = {**values["output"], "options": {"a": "x" * 65_536}}
    with pytest.raises(ConfigError, match=r"output\.options.*at most 65536 characters"):
        parse_task(values)


@pytest.mark.parametrize("text", ["device: {keep_awake: !!bool 3}", "a: !!timestamp x", "- ~"])
def test_a_configuration_of_strange_values_is_refused_with_its_reason(text: str) -> None:
    with pytest.raises(ConfigError, match=r"robot\.yaml"):
        parse_config(text, "robot.yaml")


def test_the_home_folder_of_nobody_is_a_file_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"there is no such file \(got ~nosuch/x\.onnx\)"):
        resolve_model("~nosuch/x.onnx", ["~nosuch"])


def test_a_journal_entry_that_is_too_deep_costs_that_entry_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite", lambda reason: None)
    journal.open()
    journal.add(SPEC)
    deep = json.dumps(to_mapping(SPEC)).replace('"options": {}', '"options": ' + "[" * 90_000)
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        connection.execute("INSERT INTO task (name, spec) VALUES (?, ?)", ("deep", deep))
    entries = {each.name: each for each in journal.open()}
    assert entries["detector"].spec == SPEC
    assert entries["deep"].spec is None and "journal entry deep" in entries["deep"].problem
