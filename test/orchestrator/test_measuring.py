"""Networks are measured without being registered, and runs add up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis_ros.errors import StateError
from aegis_ros.network.patterns import patterns
from aegis_ros.orchestrator.measuring import Measurement
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rule
from aegis_ros.wcet import PATTERN, Cache, Condition
from test.network.builders import detector
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


@pytest.mark.parametrize("padded", [False, True])
def test_admission_budgets_a_detector_by_the_pattern_in_which_it_finds_most(
    house: House, monkeypatch: pytest.MonkeyPatch, padded: bool
) -> None:
    """A run takes 1 ms, and 1 ms for each bright value of the frame, as a suppression would."""
    detector(house.folder / "net.onnx", (1, 3, 8, 8), most=64, padded=padded)
    fed: list[list[np.ndarray[Any, Any]] | None] = []

    def profile(
        compiled: Any, lane: int, runs: int, go_on: Any, *, frames: Any, **how: Any
    ) -> np.ndarray[Any, Any]:
        fed.append(frames)
        bright = 0 if frames is None else int((frames[0][..., 0] > 200).sum(axis=(1, 2)).max())
        return np.full((runs, compiled.segments), (1 + bright // 6) * MS, np.int64)

    monkeypatch.setattr(house.engine, "profile", profile)
    house.orchestrator.deactivate()
    answer = house.orchestrator.register(house.task(wcet_ms=0, period_ms=500))
    assert answer.accepted, answer.rationale.sentence
    bright = [int((each[..., 0] > 200).sum()) for each in patterns((16, 24, 3), "uint8")]
    assert fed and all(each is not None for each in fed)  # warm, and with cold caches
    budget_ms = 1.1 * (1 + max(bright) // 6)
    assert f"measured budget {budget_ms:.2f} ms" in answer.rationale.sentence
    assert "on a generated pattern in which it finds 64, the most it can" in (
        answer.rationale.sentence
    )
    again = house.orchestrator.profiler.measured(house.task(wcet_ms=0, period_ms=500))[1]
    assert again is not None and {each.inputs for each in again.conditions} == {PATTERN}


def test_a_budget_that_was_measured_on_fewer_objects_than_may_come_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of a street with 3 objects, when the network finds up to 64."""
    detector(house.folder / "net.onnx", (1, 3, 8, 8), most=64)
    task = house.task(wcet_ms=0, output={"topic": "/boxes", "max_results": 20})
    house.engine.run_ns = 20 * MS
    street = Condition(inputs="12 images of street")
    frames = [np.zeros((1, 16, 24, 3), np.uint8)]
    house.orchestrator.profiler.measure(task, 20, go_on, Measurement(street, frames))
    answer = house.orchestrator.register(task)
    assert answer.accepted, answer.rationale.sentence
    assert "measured on 12 images of street, and frames in which it finds more, up to 64, can" in (
        answer.rationale.sentence
    )
