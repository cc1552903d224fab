"""What /diagnostics says of lanes and tasks."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.device import DeviceState
from aegis_ros.engine import EngineStatus, LaneState
from aegis_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnosis, diagnose
from aegis_ros.nodes.hearing import Hearing
from aegis_ros.orchestrator import OrchestratorState
from aegis_ros.orchestrator.window import Growth
from aegis_ros.spec import DiagnosticsSpec
from test.orchestrator.house import MS, House


def _said(state: OrchestratorState) -> dict[str, Diagnosis]:
    hearing = {task.spec.name: Hearing(publishers=1) for task in state.tasks}
    diagnosed = diagnose(state, "active", hearing)
    return {item.name: item for item in diagnosed}


def _busy(state: OrchestratorState) -> OrchestratorState:
    lanes = tuple(replace(lane, utilization_measured=0.9) for lane in state.lanes)
    return replace(state, lanes=lanes)


def test_a_lane_busier_than_admitted_is_a_warning_unless_best_effort_fills_it(
    tmp_path: Path,
) -> None:
    house = House(tmp_path / "house")
    house.start()
    house.orchestrator.register(house.task("brake"))
    busy = _busy(house.orchestrator.status())
    assert _said(busy)["lane lane0"].level == WARN
    assert _said(replace(busy, active=False))["lane lane0"].level == OK  # it measures
    house.orchestrator.register(house.task("caption", criticality="best_effort"))
    lane = _said(_busy(house.orchestrator.status()))["lane lane0"]
    assert lane.level == OK and "best effort fills the slack" in lane.message
    assert lane.values["utilization_admitted"] == "0.1000"


def test_an_old_result_of_best_effort_is_reported_by_its_age(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    house.start()
    house.orchestrator.register(house.task("caption", criticality="best_effort"))
    entry = next(iter(house.orchestrator._admitted))
    entry.statistics.received = 1
    house.orchestrator.published(1, 900 * MS, 5 * MS, met=False)
    state = house.orchestrator.status()
    hearing = {task.spec.name: Hearing(publishers=1) for task in state.tasks}
    diagnosed = diagnose(state, "active", hearing)
    task = next(item for item in diagnosed if item.name == "task caption")
    assert task.level == OK
    assert task.message.endswith("up to 900 ms old; no deadline is promised")


def test_a_slow_device_is_a_warning_that_says_what_follows(tmp_path: Path) -> None:
    state = House(tmp_path / "house").orchestrator.status()

    def diagnosed(device: DeviceState | None, limit: float = 0.95) -> Diagnosis:
        limits = DiagnosticsSpec(device=limit)
        entries = diagnose(state, "active", {}, device=device, limits=limits)
        return next(item for item in entries if item.name == "device")

    hot = DeviceState(0.7, 91.0, throttled=True, source="nvml")
    assert diagnosed(hot).level == WARN
    assert diagnosed(hot).message == (
        "at 70% of its nominal speed, 91 degrees (limited by heat or power); frames are decimated "
        "first, then tasks are shed: cool the device, raise its power limit, or reduce the load"
    )
    assert diagnosed(hot).values == {"speed": "0.700", "source": "nvml", "temperature_c": "91.0"}
    assert diagnosed(hot, limit=0.7).level == OK
    assert diagnosed(DeviceState()).message == "at 100% of its nominal speed"
    assert diagnosed(None).message == "not read yet"
    worn = DeviceState(uncorrected_errors=2, details={"power_w": "31"})
    assert diagnosed(worn).level == ERROR and "2 uncorrected error(s)" in diagnosed(worn).message
    assert diagnosed(worn).values["power_w"] == "31"


def test_where_warnings_begin_is_configured(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    house.start()
    house.orchestrator.register(house.task("brake", deadline_ms=100, wcet_ms=10))
    entry = next(iter(house.orchestrator._admitted))
    entry.statistics.received = 1
    house.orchestrator.published(1, 60 * MS, 9 * MS, met=True)
    house.orchestrator.activate()
    state = house.orchestrator.status()
    (task,) = state.tasks
    state = replace(state, tasks=(replace(task, came=Growth(47, 5_000 * MS)),))
    hearing = {task.spec.name: Hearing(publishers=1) for task in state.tasks}

    def said(**limits: float) -> tuple[int, str]:
        given = DiagnosticsSpec(**limits)  # type: ignore[arg-type]
        entries = diagnose(state, "active", hearing, device=None, limits=given)
        task = next(item for item in entries if item.name == "task brake")
        return task.level, task.message

    assert said()[0] == OK
    assert said(deadline=0.5) == (
        WARN,
        "p99 of the response is 60.0 of 100 ms; aegis check shows what it waits for",
    )
    assert said(budget=0.8)[0] == WARN
    assert said(loss=0.01)[0] == WARN
    used = replace(state, arena_used_bytes=50, arena_bytes=100)
    assert {
        limit: next(
            item.level
            for item in diagnose(
                used,
                "active",
                {},
                device=None,
                limits=DiagnosticsSpec(arena=limit),
            )
            if item.name == "arena"
        )
        for limit in (0.4, 0.6)
    } == {0.4: WARN, 0.6: OK}


@pytest.mark.parametrize("pauses_ms", [(1000,), (1000, 1), (100,), (3000, 0)])
def test_a_minute_of_diagnostics_and_status_agree_on_a_healthy_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses_ms: tuple[int, ...]
) -> None:
    """`diagnostic_updater` asks from a timer of its own, at its own rate, now and then twice."""
    house = House(tmp_path / "house")
    house.start()
    house.orchestrator.register(house.task("brake", period_ms=100, wcet_ms=20))
    now = begin = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)

    def engine() -> EngineStatus:
        # 12.5 ms of every 100 ms, and what runs now.
        whole, part = divmod(now - begin, 100 * MS)
        ran = min(part, 25 * MS // 2)
        running = 1 if part < 25 * MS // 2 else -1
        done = whole * 25 * MS // 2 + (0 if running == 1 else ran)
        return EngineStatus(1, now, (LaneState(running, now - ran, done, 0),), 0, 0)

    monkeypatch.setattr(house.engine, "status", engine)
    updates, at = [], 0
    while at < 60_000:
        for pause_ms in pauses_ms:
            at += pause_ms
            updates.append((at, "diagnostics"))
    readers = sorted([*updates, *((at, "status") for at in range(500, 60_000, 500))])
    apart, last = 0, {"status": 0.0, "diagnostics": 0.0}
    for at, reader in readers:
        now = begin + at * MS + (reader == "status") * MS // 3
        state = house.orchestrator.status()
        last[reader] = state.lanes[0].utilization_measured
        lane = _said(state)["lane lane0"]
        assert lane.level == OK, (at, lane.message)
        apart += at > 7000 and abs(last["status"] - last["diagnostics"]) > 0.02
    assert apart == 0
    assert last["status"] == pytest.approx(0.125, abs=0.02)


def test_an_engine_that_is_restarted_is_told_from_one_that_was_given_up(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    state = house.start().status()
    lost = replace(state, engine_status=EngineStatus(0, 0, (), 1, 0))
    assert _said(lost)["engine"].level == WARN
    assert _said(lost)["engine"].message == "it was lost and is being restarted"
    gone = replace(state, engine_status=EngineStatus(0, 0, (), 1, 0, given_up=True))
    assert _said(gone)["engine"].level == ERROR
    assert "deactivate and activate the node to try again" in _said(gone)["engine"].message
