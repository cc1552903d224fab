"""A specification is written into a message once, however often it is shown."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from aegis_ros.config import parse_task
from aegis_ros.nodes import spec_messages
from aegis_ros.nodes.conversions import status_to_message, task_status
from aegis_ros.nodes.spec_messages import SpecMessages
from aegis_ros.nodes.task_message import task_from_message, task_to_message
from aegis_ros.spec import TaskSpec
from test.orchestrator.house import House


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[TaskSpec]:
    found: list[TaskSpec] = []

    def write(spec: TaskSpec) -> object:
        found.append(spec)
        return task_to_message(spec)

    monkeypatch.setattr(spec_messages, "task_to_message", write)
    return found


def task(name: str) -> TaskSpec:
    return parse_task(
        {
            "name": name,
            "model": "net.onnx",
            "input": {"topic": "/image"},
            "output": {"topic": "/result", "options": {"labels": ["cat", "dog"]}},
            "period_ms": 100,
        }
    )


def test_status_and_list_write_the_specification_of_a_task_once(
    tmp_path: Path, written: list[TaskSpec]
) -> None:
    house = House(tmp_path)
    orchestrator = house.start()
    for name in ("left", "right"):
        assert orchestrator.register(house.task(name)).accepted
    for _ in range(3):
        state = orchestrator.status()
        message = status_to_message(state, "active", 1)
        listed = [task_status(each) for each in state.tasks]
        assert [task_from_message(each.spec) for each in listed] == [
            each.spec for each in state.tasks
        ]
        assert message.tasks == listed
    assert [each.name for each in written] == ["left", "right"]
    orchestrator.cleanup()


def test_a_task_that_is_admitted_anew_is_shown_as_it_is_now(written: list[TaskSpec]) -> None:
    messages = SpecMessages()
    before, after = task("left"), task("left")
    assert messages.of(before) is messages.of(before)
    assert messages.of(after) is not messages.of(before)
    assert len(written) == 2


def test_the_message_of_a_task_that_is_gone_goes_with_it(written: list[TaskSpec]) -> None:
    messages = SpecMessages()
    stays = task("stays")
    for _ in range(3):
        messages.of(stays)
        messages.of(task("guest"))
        written[1:] = []
    gc.collect()
    assert len(messages) == 1
    assert [each.name for each in written] == ["stays"]
