"""A machine that is short of memory: what is shed, unloaded, reported and loaded again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.memory import MemoryState
from aegis_ros.orchestrator import TaskState
from aegis_ros.orchestrator.pressure import MemoryPressure
from aegis_ros.rationale import Decision, Rule
from aegis_ros.rationale.memory import RestoredForMemory, ShedForMemory, StillShort
from test.orchestrator.house import House

MIB, S = 2**20, 1_000_000_000
WELL = MemoryState(1000 * MIB, 800 * MIB, 0.0, source="made up")
LOW = replace(WELL, available_bytes=30 * MIB)
ALMOST_NONE = replace(WELL, available_bytes=10 * MIB)

At = Callable[[int, MemoryState], None]


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.start()
    for name, criticality in (("pilot", "high"), ("map", "low"), ("vlm", "best_effort")):
        task = made.task(name, criticality=criticality)
        assert made.orchestrator.register(task).accepted
    made.reported.clear()
    made.engine.calls.clear()
    return made


@pytest.fixture
def at(house: House, monkeypatch: pytest.MonkeyPatch) -> At:
    """Reads the memory at a second, and waits until the engine holds what it is to hold."""
    now = [0]
    real = MemoryPressure.changed
    monkeypatch.setattr(
        MemoryPressure, "changed", lambda self, state, now_ns: real(self, state, now[0])
    )

    def read(second: int, state: MemoryState) -> None:
        now[0] = second * S
        house.orchestrator.memory_changed(state)
        house.orchestrator.settle()

    return read


def states(house: House) -> dict[str, TaskState]:
    return {task.spec.name: task.state for task in house.orchestrator.status().tasks}


def task_id(house: House, name: str) -> int:
    return next(t.task_id for t in house.orchestrator.status().tasks if t.spec.name == name)


def test_best_effort_gives_its_memory_back_and_nothing_else_does(house: House, at: At) -> None:
    used = house.orchestrator.status().arena_used_bytes
    at(0, WELL)
    assert house.reported == []
    at(1, ALMOST_NONE)
    assert [name for name, state in states(house).items() if state is TaskState.SHED] == ["vlm"]
    assert house.engine.calls == [("unload", task_id(house, "vlm"))]
    (shed,) = house.reported
    assert (shed.task, shed.decision, shed.rule) == ("vlm", Decision.SHED, Rule.MEMORY)
    assert "10 MiB of 1000 MiB are free (made up), and 50 MiB must be" in shed.sentence
    assert isinstance(shed.reason, ShedForMemory) and shed.reason.nbytes > 0
    status = house.orchestrator.status()
    assert (status.shed_for_memory, status.memory) == (("vlm",), ALMOST_NONE)
    assert status.arena_used_bytes == used  # its place stays its own
    intake = house.orchestrator.intake
    taken = {each.topic: intake.take(each.key, 10**9) is not None for each in intake.streams()}
    assert taken == {"/pilot/image": True, "/map/image": True, "/vlm/image": False}


def test_it_is_loaded_again_when_memory_has_been_free_for_a_while(house: House, at: At) -> None:
    at(0, LOW)
    at(29, WELL)
    at(58, WELL)
    assert states(house)["vlm"] is TaskState.SHED
    number = task_id(house, "vlm")
    at(59, WELL)
    assert states(house)["vlm"] is TaskState.WAITING
    assert number in house.engine.loaded and house.engine.calls[-1] == ("load", number)
    back = house.reported[-1]
    assert isinstance(back.reason, RestoredForMemory) and back.decision is Decision.RESTORED
    intake = house.orchestrator.intake
    assert all(intake.take(each.key, 10**9) is not None for each in intake.streams())
    assert house.orchestrator.status().shed_for_memory == ()


def test_what_cannot_be_loaded_again_stays_shed_and_is_tried_later(house: House, at: At) -> None:
    at(0, LOW)
    at(10, WELL)
    house.engine.refuses_load = True
    at(40, WELL)
    assert states(house)["vlm"] is TaskState.SHED
    assert isinstance(house.reported[-1].reason, StillShort)
    house.engine.refuses_load = False
    at(41, WELL)
    at(70, WELL)
    assert states(house)["vlm"] is TaskState.SHED
    at(71, WELL)
    assert states(house)["vlm"] is TaskState.WAITING


def test_a_task_that_is_removed_or_registered_anew_meanwhile_is_followed(
    house: House, at: At
) -> None:
    at(0, LOW)
    house.orchestrator.unregister("vlm")
    at(1, LOW)
    assert house.orchestrator.status().shed_for_memory == ()
    assert house.orchestrator.register(house.task("vlm", criticality="best_effort")).accepted
    at(3, LOW)
    assert states(house)["vlm"] is TaskState.SHED
    assert task_id(house, "vlm") not in house.engine.loaded


def test_where_it_is_switched_off_nothing_is_shed(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.spec = replace(house.spec, memory=replace(house.spec.memory, shed=False))
    house.restart(house.task("vlm", criticality="best_effort"))
    house.orchestrator.memory_changed(ALMOST_NONE)
    house.orchestrator.settle()
    assert house.orchestrator.status().shed_for_memory == ()
    assert len(house.engine.loaded) == 1


def test_a_cleaned_up_node_begins_with_nothing_shed(house: House, at: At) -> None:
    at(0, LOW)
    house.restart(house.task("vlm", criticality="best_effort"))
    assert house.orchestrator.status().shed_for_memory == ()
    assert len(house.engine.loaded) == 3  # the others are remembered
