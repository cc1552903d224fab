"""A device that becomes slow: what is shed, reported and restored."""

from __future__ import annotations

from pathlib import Path

import pytest

from aegis_ros.device import DeviceState
from aegis_ros.errors import ConfigError
from aegis_ros.orchestrator import TaskState
from aegis_ros.orchestrator.thermal import Slowed, Thermal
from aegis_ros.rationale import Decision, Rule
from test.orchestrator.house import House

S = 1_000_000_000


def hot(factor: float) -> DeviceState:
    return DeviceState(factor, 91.0, True, "made up")


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.start()
    for name, criticality, budget in (
        ("pilot", "high", 30),
        ("map", "low", 20),
        ("vlm", "best_effort", 20),
    ):
        task = made.task(name, criticality=criticality, wcet_ms=budget)
        assert made.orchestrator.register(task).accepted
    made.reported.clear()
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The monotonic clock that decisions see; its one entry is nanoseconds."""
    now = [0]
    real = Thermal.changed

    def at(
        self: Thermal, state: DeviceState, lanes: object, now_ns: int, decimations: object
    ) -> Slowed:
        return real(self, state, lanes, now[0], decimations)  # type: ignore[arg-type]

    monkeypatch.setattr(Thermal, "changed", at)
    return now


def states(house: House) -> dict[str, TaskState]:
    return {task.spec.name: task.state for task in house.orchestrator.status().tasks}


def test_at_nominal_speed_nothing_is_reported_or_shed(house: House) -> None:
    house.orchestrator.device_changed(DeviceState())
    assert house.reported == [] and TaskState.SHED not in states(house).values()


def test_what_matters_least_is_shed_and_reported_with_its_numbers(house: House) -> None:
    house.orchestrator.device_changed(hot(0.6))
    assert states(house)["vlm"] is TaskState.SHED
    assert [name for name, state in states(house).items() if state is TaskState.SHED] == ["vlm"]
    speed, shed = house.reported
    assert speed.rule is shed.rule is Rule.DEVICE_SPEED
    assert "60% of its nominal speed (made up, 91 °C)" in speed.sentence
    assert "budgets are scaled by 1.67; one task is shed" in speed.sentence
    assert (shed.task, shed.decision, shed.related) == ("vlm", Decision.SHED, speed.id)
    assert shed.utilization_before == pytest.approx(0.7 / 0.6)
    assert shed.utilization_after == pytest.approx(0.5 / 0.6)


def test_a_slower_device_that_keeps_all_deadlines_is_reported_once(house: House) -> None:
    for _ in range(5):
        house.orchestrator.device_changed(hot(0.9))
    (reported,) = house.reported
    assert reported.decision is Decision.INFORMED and "every deadline holds" in reported.sentence
    house.orchestrator.device_changed(DeviceState())
    assert "at its nominal speed; every deadline holds" in house.reported[-1].sentence


def test_a_trembling_clock_is_rounded_to_the_safe_side(house: House) -> None:
    for factor in (0.7199, 0.7151, 0.7178):  # at 71.5 % all three just fit
        house.orchestrator.device_changed(hot(factor))
    assert TaskState.SHED not in states(house).values()
    house.orchestrator.device_changed(hot(0.7149))
    assert states(house)["vlm"] is TaskState.SHED


def test_a_task_that_is_shed_gets_no_frames_and_the_others_do(house: House) -> None:
    house.orchestrator.device_changed(hot(0.6))
    intake = house.orchestrator.intake
    taken = {
        stream.topic: intake.take(stream.key, 10**9) is not None for stream in intake.streams()
    }
    assert taken == {"/pilot/image": True, "/map/image": True, "/vlm/image": False}


def test_tasks_come_back_in_reverse_order_with_hysteresis(house: House, clock: list[int]) -> None:
    changed = house.orchestrator.device_changed
    changed(hot(0.45))
    assert states(house)["map"] is states(house)["vlm"] is TaskState.SHED
    clock[0] = 1 * S
    changed(DeviceState())
    assert states(house)["map"] is TaskState.SHED
    house.reported.clear()
    clock[0] = 12 * S
    changed(DeviceState())
    assert TaskState.SHED not in states(house).values()
    back = [item for item in house.reported if item.decision is Decision.RESTORED]
    assert [item.task for item in back] == ["map", "vlm"]
    assert "for 10 s the device" in back[0].sentence


def test_a_task_that_was_disabled_by_hand_stays_so(house: House, clock: list[int]) -> None:
    house.orchestrator.set_enabled("vlm", False)
    house.orchestrator.device_changed(hot(0.6))
    clock[0] = 30 * S
    house.orchestrator.device_changed(DeviceState())
    clock[0] = 60 * S
    house.orchestrator.device_changed(DeviceState())
    assert states(house)["vlm"] is TaskState.DISABLED


def test_a_task_that_is_registered_again_is_shed_again(house: House) -> None:
    house.orchestrator.device_changed(hot(0.6))
    house.orchestrator.unregister("vlm")
    house.orchestrator.register(house.task("vlm", criticality="best_effort", wcet_ms=20))
    house.orchestrator.device_changed(hot(0.6))
    assert states(house)["vlm"] is TaskState.SHED


def test_after_a_cleanup_nothing_is_shed(house: House) -> None:
    house.orchestrator.device_changed(hot(0.6))
    house.restart(house.task("vlm"))
    assert states(house)["vlm"] is not TaskState.SHED


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_speed_that_cannot_be_changes_nothing(house: House, factor: float) -> None:
    with pytest.raises(ConfigError, match="clock_factor"):
        house.orchestrator.device_changed(DeviceState(factor))
    assert TaskState.SHED not in states(house).values()


@pytest.fixture
def patient(tmp_path: Path) -> House:
    """A lane whose tasks of low criticality have time enough to wait for their turn."""
    made = House(tmp_path)
    made.start()
    assert made.orchestrator.register(made.task("pilot", wcet_ms=40)).accepted
    for name in ("map", "text"):
        low = made.task(name, criticality="low", wcet_ms=20, deadline_ms=400)
        assert made.orchestrator.register(low).accepted
    made.reported.clear()
    return made


def decimation_of(house: House) -> dict[str, int]:
    return {task.spec.name: task.decimation for task in house.orchestrator.status().tasks}


def test_a_slow_device_costs_frames_before_it_costs_tasks(patient: House) -> None:
    patient.orchestrator.device_changed(hot(0.65))
    assert TaskState.SHED not in states(patient).values()
    assert decimation_of(patient) == {"pilot": 1, "map": 2, "text": 2}
    speed, *decimated = patient.reported
    assert "every deadline holds, with fewer frames of 2 tasks" in speed.sentence
    assert [item.task for item in decimated] == ["map", "text"]
    assert decimated[0].rule is Rule.DECIMATION and decimated[0].related == speed.id
    assert decimated[0].sentence == (
        "map now takes every 2nd frame (5.0 instead of 10.0 a second): at 65% of its nominal "
        "speed, the device cannot run more frames of lane lane0 in time."
    )


def test_where_fewer_frames_are_not_enough_a_task_is_shed_as_well(patient: House) -> None:
    patient.orchestrator.device_changed(hot(0.41))
    assert states(patient)["pilot"] is not TaskState.SHED
    assert TaskState.SHED in states(patient).values()


def test_frames_come_back_with_hysteresis_when_the_device_is_fast_again(
    patient: House, clock: list[int]
) -> None:
    patient.orchestrator.device_changed(hot(0.65))
    patient.reported.clear()
    for second in range(1, 10):
        clock[0] = second * S
        patient.orchestrator.device_changed(hot(0.65 if second == 3 else 1.0))
        assert decimation_of(patient)["map"] == 2
    clock[0] = 14 * S
    patient.orchestrator.device_changed(DeviceState())
    assert patient.orchestrator._admitted.get("map").fed.decimation.later == 1  # type: ignore[union-attr]
    back = [item for item in patient.reported if item.rule is Rule.DECIMATION]
    assert [item.task for item in back] == ["map", "text"]
    assert "takes every frame (10.0 instead of 5.0 a second)" in back[0].sentence


def test_a_speed_that_swings_moves_frames_once(patient: House, clock: list[int]) -> None:
    for second in range(60):
        clock[0] = second * S
        patient.orchestrator.device_changed(hot(0.78 if second % 8 < 4 else 0.81))
    assert [item.task for item in patient.reported if item.rule is Rule.DECIMATION] == ["text"]


def test_a_slow_device_decimates_further_what_is_decimated_already(patient: House) -> None:
    more = patient.task("more", criticality="low", wcet_ms=25, deadline_ms=600)
    assert patient.orchestrator.register(more).accepted
    before = decimation_of(patient)
    patient.orchestrator.device_changed(hot(0.7))
    after = decimation_of(patient)
    assert TaskState.SHED not in states(patient).values()
    assert max(after.values()) > max(before.values()) and after["pilot"] == 1
