"""Lanes of several classes: a budget for each, and running tasks that make room on another lane."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.backends import CompiledNetwork
from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.engine import LoadSpec
from aegis_ros.errors import EngineError
from aegis_ros.memory import Footprint
from aegis_ros.orchestrator import FrameTimes, Registration
from aegis_ros.rationale import Decision, Rule
from aegis_ros.rationale.arena import ArenaFull, HeldTwice
from aegis_ros.rationale.requests import TaskMoved
from aegis_ros.spec import LaneSpec, TaskSpec, Wait
from test.orchestrator.house import MS, House


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """Two lanes: on the first the network takes 5.5 ms, on the second 22 ms."""
    able = replace(SimulatedBackend.capabilities, partitions=True)
    monkeypatch.setattr(SimulatedBackend, "capabilities", able)
    made = House(tmp_path, sms=(8, 2))
    made.engine.run_ns_on = {0: 5 * MS, 1: 20 * MS}
    return made


def patient(house: House, name: str = "patient", **changes: object) -> TaskSpec:
    """A task that fits on both lanes."""
    return house.task(name, wcet_ms=0, segments=1, **changes)


def urgent(house: House, name: str = "urgent", **changes: object) -> TaskSpec:
    """A task that fits on the fast lane only, and only where nobody blocks it."""
    return house.task(name, wcet_ms=0, segments=1, deadline_ms=10, **changes)


def lanes(house: House) -> dict[str, str]:
    return {task.spec.name: task.lane for task in house.orchestrator.status().tasks}


def moved(house: House) -> list[str]:
    return [item.sentence for item in house.reported if isinstance(item.reason, TaskMoved)]


def feed(house: House, name: str, *, after_ns: int = 0) -> None:
    """Give a task a frame that has come just now, or will have."""
    intake = house.orchestrator.intake
    (stream,) = [item for item in intake.streams() if name in intake.fed_by(item.key)]
    now = time.monotonic_ns() + after_ns
    taken = intake.take(stream.key, now)
    assert taken is not None
    intake.commit(taken, (16, 24, 3), FrameTimes(0, now, now, 0))


def test_a_task_that_names_no_lane_is_measured_once_on_each_class(house: House) -> None:
    orchestrator = house.start(active=False)
    for name in ("a", "b"):
        assert orchestrator.register(patient(house, name)).accepted
    # Warm and with cold caches.
    assert house.engine.measured_on == [0, 0, 1, 1]


def test_the_budget_of_a_task_is_that_of_its_lane(house: House) -> None:
    orchestrator = house.start(active=False)
    for lane, budget in (("lane0", "5.50"), ("lane1", "22.00")):
        answer = orchestrator.register(patient(house, f"on_{lane}", lane=lane))
        assert f"measured budget {budget} ms" in answer.rationale.sentence
        assert f"runs on lane {lane}: " in answer.rationale.sentence, "nobody chose it"
    first, second = (house.engine.loaded[number].plan for number in (1, 2))
    assert first is not None and second is not None
    assert (first.budgets_ns, second.budgets_ns) == ((5_500_000,), (22_000_000,))  # type: ignore[attr-defined]


def test_a_task_goes_to_the_lane_where_its_budget_fits(house: House) -> None:
    orchestrator = house.start(active=False)
    answer = orchestrator.register(urgent(house))
    assert answer.accepted and lanes(house) == {"urgent": "lane0"}
    assert orchestrator.register(patient(house)).accepted
    # 22 ms of blocking on the fast lane are too much, 22 ms on the slow one are not.
    assert lanes(house)["patient"] == "lane1"


def test_what_is_admitted_holds_with_the_budget_of_its_own_lane_only(house: House) -> None:
    orchestrator = house.start(active=False)
    answer = orchestrator.register(urgent(house, lane="lane1"))
    assert not answer.accepted
    assert answer.rationale.rule is Rule.WCET_DEADLINE
    assert "22" in answer.rationale.sentence
    changes = {item.change: item for item in answer.rationale.counterfactuals}
    longer = replace(
        urgent(house, lane="lane1"), deadline_ns=round(changes["deadline_ms"].value * MS)
    )
    assert orchestrator.evaluate(longer).accepted


def test_a_set_that_fits_only_with_a_task_moved_is_admitted(house: House) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house))
    assert lanes(house) == {"patient": "lane0"}
    answer = orchestrator.register(urgent(house))
    assert answer.accepted, answer.rationale.sentence
    assert lanes(house) == {"patient": "lane1", "urgent": "lane0"}
    assert "chosen by moving another task" in answer.rationale.sentence
    assert "patient moves from lane lane0 to lane1" in answer.rationale.sentence
    (sentence,) = moved(house)
    assert "its budget there is 22.00 ms" in sentence
    by_name = {spec.name: spec for spec in house.engine.loaded.values()}
    assert (by_name["patient"].lane, by_name["urgent"].lane) == (1, 0)
    assert len(house.engine.loaded) == 2


def test_a_move_for_which_there_is_no_room_is_refused_by_memory_with_who_is_there_twice(
    house: House,
) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house))
    orchestrator.register(urgent(house))
    status = orchestrator.status()
    copy = next(each.arena_bytes for each in status.tasks if each.spec.name == "patient")

    def asked(arena_bytes: int) -> Registration:
        for name in ("urgent", "patient"):
            house.orchestrator.unregister(name)
        device = replace(house.spec.device, arena_bytes=arena_bytes)
        house.spec = replace(house.spec, device=device)
        house.restart()
        house.orchestrator.deactivate()
        assert house.orchestrator.register(patient(house)).accepted
        return house.orchestrator.register(urgent(house))

    answer = asked(status.arena_used_bytes + copy - 1)
    reason = answer.rationale.reason
    assert isinstance(reason, ArenaFull), answer.rationale.sentence
    assert reason.twice == HeldTwice("patient", "lane0", "lane1")
    assert reason.used_bytes + reason.need_bytes == reason.arena_bytes + 1
    assert {each.change for each in reason.counterfactuals} == {"arena_mib", "drop"}
    assert lanes(house) == {"patient": "lane0"}
    assert asked(status.arena_used_bytes + copy).accepted


def refusing(
    house: House, name: str, problem: str = "the GPU has no memory"
) -> Callable[[LoadSpec], str]:
    """What an engine does that cannot load a task."""
    load = house.engine.load

    def refuse(spec: LoadSpec) -> str:
        if spec.name == name:
            raise EngineError(problem)
        return load(spec)

    return refuse


def test_a_newcomer_that_cannot_be_loaded_moves_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house))
    monkeypatch.setattr(house.engine, "load", refusing(house, "urgent"))
    answer = orchestrator.register(urgent(house))
    assert not answer.accepted and "no memory" in answer.rationale.sentence
    assert lanes(house) == {"patient": "lane0"} and not moved(house)
    assert [spec.name for spec in house.engine.loaded.values()] == ["patient"]


def test_where_a_task_cannot_move_the_newcomer_is_not_loaded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house))
    monkeypatch.setattr(house.engine, "load", refusing(house, "patient"))
    answer = orchestrator.register(urgent(house))
    assert not answer.accepted and "no memory" in answer.rationale.sentence
    assert lanes(house) == {"patient": "lane0"} and not moved(house)
    assert [spec.name for spec in house.engine.loaded.values()] == ["patient"]


def test_a_request_that_is_cancelled_while_others_move_moves_them_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house))
    load = house.engine.load

    def cancel(spec: LoadSpec) -> str:
        if spec.name == "patient" and spec.lane == 1:
            orchestrator.unregister("urgent")
        return load(spec)

    monkeypatch.setattr(house.engine, "load", cancel)
    answer = orchestrator.register(urgent(house))
    assert not answer.accepted
    assert lanes(house) == {"patient": "lane0"}
    _, back = moved(house)
    assert "from lane lane1 to lane lane0 again, because urgent was not admitted" in back
    assert [(spec.name, spec.lane) for spec in house.engine.loaded.values()] == [("patient", 0)]
    house.restart()
    assert house.names() == ["patient"]


def test_what_names_its_lane_is_never_moved(house: House) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house, lane="lane0"))
    assert not orchestrator.register(urgent(house)).accepted
    assert lanes(house) == {"patient": "lane0"}


def test_asking_moves_nothing(house: House) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house))
    calls = list(house.engine.calls)
    assert orchestrator.evaluate(urgent(house)).accepted
    assert lanes(house) == {"patient": "lane0"} and house.engine.calls == calls


def test_a_task_that_runs_moves_without_losing_a_job(house: House) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house, criticality="low"))
    orchestrator.register(urgent(house))  # measures what it needs; then as if it had not been there
    orchestrator.unregister("urgent")
    orchestrator.unregister("patient")
    orchestrator.register(patient(house, criticality="low"))
    orchestrator.activate()
    before = next(iter(house.engine.loaded))
    feed(house, "patient")
    began = time.monotonic_ns()
    del house.engine.calls[:]
    answer: Registration = orchestrator.register(urgent(house))
    assert answer.accepted, answer.rationale.sentence
    after = next(key for key, spec in house.engine.loaded.items() if spec.name == "patient")
    assert after != before and house.engine.loaded[after].lane == 1
    # Loaded there before it is unloaded here, and that only once its last job can delay nobody.
    assert house.engine.calls[1:3] == [("load", after), ("unload", before)]
    assert time.monotonic_ns() - began >= 5 * MS
    feed(house, "patient", after_ns=100 * MS)
    jobs = [job for jobs in house.engine.submitted for job in jobs]
    assert [(task, seq) for task, seq, *_ in jobs] == [(before, 0), (after, 1)]


def test_where_a_move_fails_everything_stays(house: House) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house))
    house.engine.refuses_load = True
    answer = orchestrator.register(urgent(house))
    assert not answer.accepted
    assert lanes(house) == {"patient": "lane0"}
    house.engine.refuses_load = False
    assert orchestrator.register(urgent(house)).accepted


def test_several_move_only_before_anything_has_run(tmp_path: Path) -> None:
    def swapped(house: House) -> Registration:
        """Fill both lanes to 80 %, so that 27 % fit only once two tasks have changed places."""
        for name, wcet_ms in {"a": 45, "b": 35, "c": 45, "d": 35}.items():
            assert house.orchestrator.register(house.task(name, wcet_ms=wcet_ms)).accepted
        return house.orchestrator.register(house.task("e", wcet_ms=27))

    at_rest = House(tmp_path / "at_rest", lanes=2)
    at_rest.start(active=False)
    answer = swapped(at_rest)
    assert answer.accepted, answer.rationale.sentence
    placed = lanes(at_rest)
    assert placed["a"] == placed["c"] != placed["b"] == placed["d"] == placed["e"]
    running = House(tmp_path / "running", lanes=2)
    running.start()
    running.orchestrator.register(running.task("first", wcet_ms=1))
    feed(running, "first")
    assert not swapped(running).accepted


def test_a_class_without_a_profile_is_left_out_while_critical_tasks_run(house: House) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(patient(house, lane="lane1"))  # measured on the slow lane only
    orchestrator.activate()
    answer = orchestrator.register(patient(house, "second"))
    assert answer.accepted and lanes(house)["second"] == "lane1"
    assert "It cannot run on other lanes: second has no WCET profile" in answer.rationale.sentence
    none = orchestrator.register(patient(house, "third", lane="lane0"))
    assert none.rationale.decision is Decision.REJECTED
    assert none.rationale.rule is Rule.WCET_PROFILE


@pytest.mark.parametrize(
    "makes",
    [
        lambda made: None,
        lambda made: replace(made, paths=()),
        lambda made: replace(made, paths=("a", "b")),
        lambda made: replace(made, footprint=Footprint(weights=-1)),
        lambda made: 1 // 0,
    ],
)
def test_a_backend_that_compiles_nonsense_costs_the_task_only(
    house: House, monkeypatch: pytest.MonkeyPatch, makes: Callable[[CompiledNetwork], object]
) -> None:
    compile_well = SimulatedBackend.compile
    orchestrator = house.start(active=False)
    with monkeypatch.context() as changed:
        changed.setattr(SimulatedBackend, "compile", lambda *given: makes(compile_well(*given)))
        answer = orchestrator.register(urgent(house))
    assert not answer.accepted
    assert "failed to compile the network" in answer.rationale.sentence
    assert orchestrator.register(urgent(house)).accepted


def test_lanes_of_two_backends_are_compiled_and_measured_for_each(tmp_path: Path) -> None:
    house = House(tmp_path)
    two = (LaneSpec("gpu0"), LaneSpec("cpu0", backend="onnxruntime"))
    house.spec = replace(house.spec, device=replace(house.spec.device, lanes=two))
    house.orchestrator = house._open()
    house.engine.run_ns_on = {0: 5 * MS, 1: 60 * MS}
    orchestrator = house.start(active=False)
    assert orchestrator.register(house.task("a", wcet_ms=0)).accepted
    assert house.engine.measured_on == [0, 0, 1, 1]
    # The second fits on the first lane beside it, the third must name the other.
    answer = orchestrator.register(house.task("b", wcet_ms=0, lane="cpu0"))
    assert answer.accepted, answer.rationale.sentence
    backends = {spec.name: spec.compiled.backend for spec in house.engine.loaded.values()}
    assert backends == {"a": "simulated", "b": "onnxruntime"}


def test_what_was_measured_under_one_way_to_wait_is_not_used_under_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = replace(SimulatedBackend.capabilities, waits=True)
    monkeypatch.setattr(SimulatedBackend, "capabilities", able)
    house = House(tmp_path)

    def measured(wait: Wait) -> list[int]:
        device = replace(house.spec.device, wait=wait)
        house.spec = replace(house.spec, device=device)
        orchestrator = house.restart()
        assert orchestrator.register(patient(house)).accepted
        assert orchestrator.unregister("patient").accepted
        return house.engine.measured_on

    house.start()
    asleep = measured(Wait.SLEEP)
    assert asleep
    assert measured(Wait.SLEEP) == []
    assert measured(Wait.SPIN) == asleep
    assert measured(Wait.SPIN) == []
