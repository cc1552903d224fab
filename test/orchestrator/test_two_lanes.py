"""Two lanes of the real runtime: budgets beside the other lane, end to end and without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.orchestrator import Orchestrator
from aegis_ros.planning.candidate import Candidate
from aegis_ros.rationale.admission import TaskAdmitted
from aegis_ros.rationale.rejection import OthersLate
from aegis_ros.spec import Contend, LaneSpec, TaskSpec
from aegis_ros.wcet import Batch, Condition, Profile, ProfileStore, Stress
from test.orchestrator.house import MS, House

STATE = "real"


@pytest.fixture
def backend() -> str:
    """Return which runtime the lanes are of."""
    return "onnxruntime"


@pytest.fixture
def contention() -> Contend:
    """Return what tasks are measured with when another one is admitted."""
    return Contend.PAIRS


@pytest.fixture
def orchestrator(tmp_path: Path, backend: str, contention: Contend) -> Iterator[Orchestrator]:
    """One engine with two lanes of one device, at rest."""
    house = House(tmp_path)
    device = replace(
        house.spec.device,
        backend=backend,
        lanes=(LaneSpec("left"), LaneSpec("right")),
        arena_bytes=1 << 30,
        realtime_priority=0,
        contention=contention,
    )
    made = Orchestrator(
        replace(house.spec, device=device),
        state_dir=tmp_path / STATE,
        on_result=lambda _, result: result.release(),
    )
    made.configure()
    yield made
    made.cleanup()


def task(tmp_path: Path, name: str, lane: str, **changes: object) -> TaskSpec:
    """A task that is never late for a slow machine's sake."""
    values = {"wcet_ms": 0, "segments": 1, "lane": lane, "period_ms": 60_000} | changes
    return House(tmp_path).task(name, **values)


def admitted(orchestrator: Orchestrator, name: str) -> Candidate:
    entry = orchestrator._admitted.get(name)
    assert entry is not None
    return entry.candidate


def profile_of(tmp_path: Path, orchestrator: Orchestrator, name: str) -> Profile:
    key = orchestrator.contention._key_of(admitted(orchestrator, name))
    found = ProfileStore(tmp_path / STATE / "profiles.sqlite").get(key)
    assert found is not None
    return found


def test_the_budget_is_the_largest_of_alone_and_beside_the_other_lane(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    assert orchestrator.register(task(tmp_path, "first", "left")).accepted
    alone = profile_of(tmp_path, orchestrator, "first")
    assert all(each.neighbour is None for each in alone.conditions)
    answer = orchestrator.register(task(tmp_path, "second", "right"))
    assert answer.accepted, answer.rationale.sentence
    found = profile_of(tmp_path, orchestrator, "first")  # both are the same network
    met = {each.neighbour for each in found.conditions if each.neighbour is not None}
    for name, lane, own in (("first", "right", "left"), ("second", "left", "right")):
        compiled = admitted(orchestrator, name).compiled
        other = orchestrator.contention.neighbour(compiled, "", lane, own)
        assert other in met
        largest = max(
            found.total_of(each).value_ns
            for each in found.conditions
            if each.neighbour in (None, other)
        )
        assert admitted(orchestrator, name).work_ns == largest
        spec = orchestrator._engine._contents.network(  # type: ignore[attr-defined]
            next(each.task_id for each in orchestrator._admitted if each.spec.name == name)
        )
        assert spec.plan.budgets_ns == (largest,)
    reason = answer.rationale.reason
    assert isinstance(reason, TaskAdmitted)
    assert {each.task for each in reason.slowed} <= {"first"}


@pytest.mark.parametrize("contention", [Contend.LOADS])
def test_each_is_measured_while_the_other_lane_is_loaded(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    for name, lane in (("first", "left"), ("second", "right")):
        answer = orchestrator.register(task(tmp_path, name, lane))
        assert answer.accepted, answer.rationale.sentence
    found = profile_of(tmp_path, orchestrator, "first")
    loads = {each.stress: each for each in found.conditions if each.stress is not Stress.NONE}
    assert set(loads) == {Stress.MEMORY, Stress.COMPUTE}
    largest = max(found.total_of(each).value_ns for each in found.conditions)
    assert admitted(orchestrator, "first").work_ns >= largest
    assert all(len(found.of(each)) >= 20 for each in loads.values())


def test_a_rejection_names_whom_the_newcomer_would_make_late(
    orchestrator: Orchestrator, tmp_path: Path
) -> None:
    first = task(tmp_path, "first", "left", deadline_ms=30_000)
    assert orchestrator.register(first).accepted
    before = admitted(orchestrator, "first")
    # As if they had been measured beside each other on a machine where that takes a minute.
    known = profile_of(tmp_path, orchestrator, "first")
    neighbour = orchestrator.contention.neighbour(before.compiled, "second", "right", "left")
    slow = Batch(np.full((20, 1), 60_000 * MS), 0, Condition(neighbour=neighbour))
    ProfileStore(tmp_path / STATE / "profiles.sqlite").add(replace(known, batches=(slow,)))
    second = task(tmp_path, "second", "right", deadline_ms=300_000)
    answer = orchestrator.register(second)
    assert not answer.accepted
    reason = answer.rationale.reason
    assert isinstance(reason, OthersLate)
    assert (reason.other, reason.other_lane) == ("first", "left")
    assert [(each.task, each.before_ns) for each in reason.slowed] == [("first", before.work_ns)]
    assert "it would make first on lane left late by up to" in answer.rationale.sentence
    assert admitted(orchestrator, "first") == before
    assert [each.spec.name for each in orchestrator.status().tasks] == ["first"]
    # On the same lane they never run at once.
    assert orchestrator.register(replace(second, lane="left")).accepted
