"""A budget that jobs exceed again and again is tested anew with what was seen of them."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aegis_ros.backends.base import Capabilities
from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.device import DeviceState
from aegis_ros.engine import OverrunEvent
from aegis_ros.errors import EngineError
from aegis_ros.orchestrator.admitted import Entry
from aegis_ros.rationale.budgets import BudgetExceeded, RanBeside
from aegis_ros.scheduling import ExecutionPlan
from test.orchestrator.house import MS, House


@pytest.fixture(autouse=True)
def lanes_that_slow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        SimulatedBackend, "capabilities", Capabilities(inputs=8, on_cores=True, contends="memory")
    )


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path, lanes=2)
    made.start(active=False)  # so that budgets are measured
    made.engine.run_ns = 10 * MS
    return made


def admit(house: House, name: str = "detector", **changes: Any) -> Entry:
    values = {"wcet_ms": 0, "segments": 1, "lane": "lane0"} | changes
    answer = house.orchestrator.register(house.task(name, **values))
    assert answer.accepted, answer.rationale.sentence
    entry = house.orchestrator._admitted.get(name)
    assert entry is not None
    return entry


def overrun(house: House, entry: Entry, *taken_ms: float, **changes: Any) -> None:
    for job, taken in enumerate(taken_ms):
        fields = {
            "lane": 0,
            "segment": 0,
            "taken_ns": round(taken * MS),
            "budget_ns": entry.candidate.work_ns,
            "used_ns": round(taken * MS),
        }
        house.engine.on_overrun(OverrunEvent(entry.task_id, job, **(fields | changes)))


def reviewed(house: House) -> list[BudgetExceeded]:
    house.orchestrator.device_changed(DeviceState())
    with house.orchestrator._reviewing:  # once it has ended
        pass
    found = [item.reason for item in house.reported]
    return [item for item in found if isinstance(item, BudgetExceeded)]


def test_a_budget_that_the_tests_allow_is_raised_to_what_all_jobs_but_the_longest_keep(
    house: House,
) -> None:
    entry = admit(house)
    before = entry.candidate.work_ns
    scaling = house.engine.scaling[0]
    overrun(house, entry, 20, 21, 22, 23, 90)
    (reason,) = reviewed(house)
    assert (reason.task, reason.times, reason.late) == ("detector", 5, "")
    assert (reason.before_ns, reason.seen_ns) == (before, 23 * MS)
    assert house.engine.loaded[entry.task_id].plan.budgets_ns == (23 * MS,)
    assert entry.candidate.work_ns == 23 * MS
    assert house.orchestrator.status().tasks[0].wcet_ns == 23 * MS
    assert house.engine.scaling[0] < scaling  # the proof is that of the larger budget
    # Whoever comes next is tested against the larger one.
    answer = house.orchestrator.register(
        house.task("next", wcet_ms=80, lane="lane0", criticality="low")
    )
    assert not answer.accepted


def test_a_budget_with_which_somebody_would_be_late_stays_and_the_victim_is_named(
    house: House,
) -> None:
    admit(house, "caption", wcet_ms=10, deadline_ms=30)
    entry = admit(house)
    before = entry.candidate
    overrun(house, entry, 40, 40, 40, 40, 40)
    (reason,) = reviewed(house)
    assert reason.late == "caption"
    assert reason.late_ns == 40 * MS - 1 + 10 * MS - (30 - 2) * MS
    assert entry.candidate == before
    assert ("change_budgets", entry.task_id) not in house.engine.calls
    sentence = house.reported[-1].sentence
    assert "caption by up to 22.00 ms" in sentence
    assert "The budget stays and is enforced" in sentence
    overrun(house, entry, 40, 40, 41, 41, 41)
    assert len(reviewed(house)) == 1  # known already
    overrun(house, entry, 50, 50, 50, 50, 50)
    assert [each.seen_ns for each in reviewed(house)] == [40 * MS, 50 * MS]


def test_who_ran_beside_is_named_and_how_often(house: House) -> None:
    entry = admit(house)
    other = admit(house, "segmenter", lane="lane1")
    house.engine.running = {1: other.task_id}
    overrun(house, entry, 50, 50, 50)
    house.engine.running = {}
    for job in (7, 8):
        event = OverrunEvent(entry.task_id, job, 0, 0, 50 * MS, entry.candidate.work_ns, 50 * MS)
        house.engine.on_overrun(event)
    (reason,) = reviewed(house)
    assert reason.beside == (RanBeside("segmenter", "lane1", 3),)
    assert "beside them ran segmenter (lane lane1) in 3 of these" in house.reported[-1].sentence


@pytest.mark.parametrize(
    ("taken", "changes"),
    [
        ((20, 20, 20, 20), {}),  # what a budget of a given probability allows
        ((20,) * 9, {"absorbed": True}),  # the lane has room: no deadline is at risk
        ((20,) * 9, {"segment": 3}),  # of a network that has been replaced
    ],
)
def test_what_is_no_reason_changes_nothing(
    house: House, taken: tuple[int, ...], changes: dict[str, Any]
) -> None:
    entry = admit(house)
    overrun(house, entry, *taken, **changes)
    assert reviewed(house) == []


def test_overruns_of_a_slow_device_are_held_against_its_longer_budgets(house: House) -> None:
    entry = admit(house)
    before = entry.candidate.work_ns
    overrun(house, entry, *(6 * before / MS,) * 5, budget_ns=2 * before)
    (reason,) = reviewed(house)
    assert reason.seen_ns == 3 * before


def test_a_declared_budget_is_not_changed(house: House) -> None:
    entry = admit(house, wcet_ms=10)
    overrun(house, entry, 20, 20, 20, 20, 20)
    (reason,) = reviewed(house)
    assert reason.declared and not reason.late
    assert entry.candidate.work_ns == 10 * MS
    assert "Declare that (wcet_ms)" in house.reported[-1].sentence


def test_an_engine_that_does_not_answer_changes_no_proof(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = admit(house)
    before = entry.candidate

    def refuse(task_id: int, plan: object) -> None:
        raise EngineError("the engine does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(house.engine, "change_budgets", refuse)
        overrun(house, entry, 20, 20, 20, 20, 20)
        assert reviewed(house) == []
    assert entry.candidate == before
    overrun(house, entry, 20, 20, 20, 20, 20)
    assert len(reviewed(house)) == 1


def test_nothing_is_tested_while_a_request_has_its_turn(house: House) -> None:
    entry = admit(house)
    found: list[int] = []

    def meanwhile() -> None:
        overrun(house, entry, 20, 20, 20, 20, 20)
        found.append(len(reviewed(house)))

    house.engine.while_measuring = meanwhile
    admit(house, "other", segments=2)
    house.engine.while_measuring = lambda: None
    assert found and set(found) == {0}
    assert len(reviewed(house)) == 1


def test_a_task_that_left_is_forgotten(house: House) -> None:
    entry = admit(house)
    overrun(house, entry, 20, 20, 20, 20, 20)
    house.orchestrator.unregister("detector")
    assert reviewed(house) == []


def test_a_budget_with_which_a_chain_would_be_late_stays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = admit(house)
    before = entry.candidate
    overrun(house, entry, 20, 20, 20, 20, 20)
    late = SimpleNamespace(schedulable=False)
    monkeypatch.setattr(house.orchestrator._admitted, "judge_chains", lambda running: late)
    (reason,) = reviewed(house)
    assert reason.late == "detector"
    assert entry.candidate == before


def test_what_did_not_do_is_tested_again_when_somebody_has_left(house: House) -> None:
    admit(house, "caption", wcet_ms=10, deadline_ms=30)
    entry = admit(house)
    overrun(house, entry, 40, 40, 40, 40, 40)
    assert [each.late for each in reviewed(house)] == ["caption"]
    house.orchestrator.unregister("caption")
    overrun(house, entry, 40, 40, 40, 40, 40)
    assert [each.late for each in reviewed(house)] == ["caption", ""]
    assert entry.candidate.work_ns == 40 * MS


def test_whoever_looks_after_the_node_does_not_wait_for_an_engine_that_loads(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = admit(house)
    loaded = threading.Event()
    change = house.engine.change_budgets

    def late(task_id: int, plan: ExecutionPlan) -> None:
        assert loaded.wait(100.0)
        change(task_id, plan)

    monkeypatch.setattr(house.engine, "change_budgets", late)
    overrun(house, entry, 20, 20, 20, 20, 20)
    for _ in range(3):
        house.orchestrator.device_changed(DeviceState())
    assert house.orchestrator.status().tasks[0].wcet_ns == entry.candidate.work_ns
    loaded.set()
    assert len(reviewed(house)) == 1
