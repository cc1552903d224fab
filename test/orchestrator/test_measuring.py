"""Networks are measured without being registered, and runs add up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.errors import StateError
from aegis_ros.orchestrator.measuring import Measurement
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rule
from aegis_ros.wcet import Cache, Condition
from test.orchestrator.house import MS, House

COLD = Condition(cache=Cache.COLD)


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.start()
    return made


def go_on(done: int, worst: int) -> bool:
    return True


def test_runs_add_up_under_their_conditions(house: House) -> None:
    task = house.task(wcet_ms=0)
    assert house.orchestrator.profiler.measured(task)[1] is None
    house.orchestrator.profiler.measure(task, 20, go_on)
    house.orchestrator.profiler.measure(task, 5, go_on, Measurement(COLD))
    found = house.orchestrator.profiler.measure(task, 30, go_on)
    assert {each: len(found.of(each)) for each in found.conditions} == {Condition(): 50, COLD: 5}
    assert found.batches[0].machine["determinism"] == "none"
    assert house.names() == []


def test_admission_budgets_for_the_worst_condition_measured(house: House) -> None:
    task = house.task(wcet_ms=0)
    house.orchestrator.profiler.measure(task, 20, go_on)
    house.engine.run_ns = 20 * MS
    house.orchestrator.profiler.measure(task, 5, go_on, Measurement(COLD))
    house.engine.run_ns = 5 * MS
    answer = house.orchestrator.register(task)
    assert "measured budget 22.00 ms" in answer.rationale.sentence


def test_what_is_forgotten_is_measured_again(house: House) -> None:
    task = house.task(wcet_ms=0)
    house.orchestrator.profiler.measure(task, 20, go_on)
    house.orchestrator.profiler.forget(task)
    assert house.orchestrator.profiler.measured(task)[1] is None


def test_measuring_beside_critical_tasks_is_refused(house: House) -> None:
    assert house.orchestrator.register(house.task("critical")).accepted
    with pytest.raises(Refusal) as refused:
        house.orchestrator.profiler.measure(house.task("other", wcet_ms=0), 20, go_on)
    assert refused.value.rule is Rule.STATE


def test_measuring_that_was_stopped_at_once_keeps_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = house.task(wcet_ms=0)
    none = np.empty((0, 1), np.int64)
    monkeypatch.setattr(house.engine, "profile", lambda *_, **__: none)
    with pytest.raises(StateError, match="before the first run"):
        house.orchestrator.profiler.measure(task, 20, lambda done, worst: False)
    assert house.orchestrator.profiler.measured(replace(task, name="same"))[1] is None
