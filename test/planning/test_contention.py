"""Lanes that slow each other: budgets beside the other lanes, and whom a newcomer makes late."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.backends import CompiledNetwork
from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.errors import EngineError
from aegis_ros.memory import Footprint
from aegis_ros.planning.contention import Contention
from aegis_ros.rationale import Rule
from aegis_ros.rationale.admission import BesideBudget, SlowedTask, TaskAdmitted
from aegis_ros.rationale.rejection import NotMeasuredBeside, OthersLate
from aegis_ros.spec import Contend, DeviceSpec, LaneSpec, TaskSpec
from aegis_ros.wcet import ProfileKey, RememberedProfiles
from test.orchestrator.house import MS, House

ALONE, BESIDE = 5_500_000, 11_000_000  # 5 ms and twice that, with a tenth on top


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """Two lanes of one device: a network takes 5 ms, and 10 ms beside another one."""
    shared = replace(SimulatedBackend.capabilities, contends="the device")
    monkeypatch.setattr(SimulatedBackend, "capabilities", shared)
    made = House(tmp_path, lanes=2)
    made.engine.slowdown = 2.0
    return made


def task(house: House, name: str, **changes: Any) -> TaskSpec:
    """A task whose budget is measured."""
    return house.task(name, wcet_ms=0, segments=1, **changes)


def budgets(house: House) -> dict[str, tuple[int, ...]]:
    """Return what the engine holds each task to."""
    return {
        spec.name: spec.plan.budgets_ns  # type: ignore[union-attr]
        for spec in house.engine.loaded.values()
    }


def proven(house: House) -> dict[str, int]:
    return {entry.spec.name: entry.candidate.work_ns for entry in house.orchestrator._admitted}


def test_tasks_of_one_lane_are_no_neighbours(house: House) -> None:
    orchestrator = house.start(active=False)
    for name in ("first", "second"):
        assert orchestrator.register(task(house, name, lane="lane0")).accepted
    assert proven(house) == {"first": ALONE, "second": ALONE}
    assert house.engine.measured_beside == []


def test_each_has_the_budget_that_holds_beside_the_other(house: House) -> None:
    orchestrator = house.start(active=False)
    assert orchestrator.register(task(house, "first", lane="lane0")).accepted
    assert budgets(house) == {"first": (ALONE,)}
    answer = orchestrator.register(task(house, "second", lane="lane1"))
    assert answer.accepted, answer.rationale.sentence
    assert budgets(house) == proven_as_budgets(house) == {"first": (BESIDE,), "second": (BESIDE,)}
    reason = answer.rationale.reason
    assert isinstance(reason, TaskAdmitted)
    assert isinstance(reason.budget.basis, BesideBudget)
    assert (reason.budget.basis.neighbour, reason.budget.basis.alone_ns) == ("first", ALONE)
    assert reason.slowed == (SlowedTask("first", "lane0", ALONE, BESIDE),)
    assert "Beside it, first on lane lane0 may take 11.00 ms instead of 5.50 ms" in (
        answer.rationale.sentence
    )
    # One network beside itself: measured once, whichever lane it is on.
    assert house.engine.measured_beside == [(1, 0)]


def proven_as_budgets(house: House) -> dict[str, tuple[int, ...]]:
    return {name: (work_ns,) for name, work_ns in proven(house).items()}


def test_a_newcomer_that_makes_another_lane_late_is_rejected_and_says_whom(house: House) -> None:
    orchestrator = house.start(active=False)
    assert orchestrator.register(task(house, "urgent", lane="lane0", deadline_ms=8)).accepted
    calls = list(house.engine.calls)
    answer = orchestrator.register(task(house, "late", lane="lane1"))
    assert not answer.accepted
    reason = answer.rationale.reason
    assert isinstance(reason, OthersLate)
    assert (reason.other, reason.other_lane, reason.late_ns) == ("urgent", "lane0", 5 * MS)
    assert reason.slowed == (SlowedTask("urgent", "lane0", ALONE, BESIDE),)
    # Nothing is half done.
    assert house.engine.calls == calls and house.names() == ["urgent"]
    assert proven(house) == {"urgent": ALONE} and budgets(house) == {"urgent": (ALONE,)}
    changes = {item.change: item for item in answer.rationale.counterfactuals}
    assert (changes["deadline_ms"].task, changes["drop"].task) == ("urgent", "urgent")
    orchestrator.unregister("urgent")
    longer = changes["deadline_ms"].value
    assert orchestrator.register(task(house, "urgent", lane="lane0", deadline_ms=longer)).accepted
    assert orchestrator.register(task(house, "late", lane="lane1")).accepted


class Nothing:
    """Profiles of which none was ever measured."""

    def get(self, key: ProfileKey) -> None:
        return None


def seen_on(monkeypatch: pytest.MonkeyPatch, *sms: int | None) -> dict[str, str]:
    """Return what neighbours on each other lane of a GPU are noted as, by own lane and theirs."""
    gpu = replace(SimulatedBackend.capabilities, on_cores=False, contends="the GPU")
    monkeypatch.setattr(SimulatedBackend, "capabilities", gpu)
    lanes = tuple(LaneSpec(f"l{at}", None, count) for at, count in enumerate(sms))
    contention = Contention(
        DeviceSpec("simulated", lanes),
        {"simulated": SimulatedBackend()},
        RememberedProfiles(Nothing()),
        lambda candidate: ProfileKey("", "", ""),
    )
    other = CompiledNetwork("simulated", "key", ("net",), (), (), Footprint(1))
    return {
        f"{own.name} beside {lane.name}": contention.neighbour(
            other, "other", lane.name, own.name
        ).lane
        for own in lanes
        for lane in lanes
        if own is not lane
    }


def test_streams_are_known_by_which_goes_first_where_the_network_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A network is timed on the last lane, or before it where the other one is there.
    first, last = "more urgent lane", "less urgent lane"
    assert seen_on(monkeypatch, None, None) == {"l0 beside l1": last, "l1 beside l0": first}
    three = seen_on(monkeypatch, None, None, None)
    assert {key for key, seen in three.items() if seen == last} == {"l0 beside l2", "l1 beside l2"}
    assert set(three.values()) == {first, last}


def test_what_was_measured_beside_one_part_of_a_gpu_does_not_hold_beside_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = seen_on(monkeypatch, 33, None)
    four = seen_on(monkeypatch, 33, 33, 33, None)
    assert two["l0 beside l1"] == "less urgent lane with what 33 multiprocessors leave"
    assert four["l0 beside l1"] == "more urgent lane with 33 multiprocessors"
    assert four["l0 beside l3"] == "less urgent lane with what 99 multiprocessors leave"


def test_a_rejected_newcomer_does_not_count_after_a_restart(house: House) -> None:
    orchestrator = house.start(active=False)
    assert orchestrator.register(task(house, "urgent", lane="lane0", deadline_ms=8)).accepted
    assert not orchestrator.register(task(house, "late", lane="lane1")).accepted
    house.restart()
    assert proven(house) == {"urgent": ALONE}


def test_a_task_goes_where_it_makes_nobody_late(house: House) -> None:
    house.engine.slowdown = 3.0
    orchestrator = house.start(active=False)
    # On its own lane it bears to wait for another one; beside one it takes too long.
    assert orchestrator.register(task(house, "urgent", lane="lane1", deadline_ms=14)).accepted
    answer = orchestrator.register(task(house, "second"))
    assert answer.accepted, answer.rationale.sentence
    assert {each.spec.name: each.lane for each in house.orchestrator.status().tasks} == {
        "urgent": "lane1",
        "second": "lane1",
    }
    assert proven(house) == {"urgent": ALONE, "second": ALONE}


def test_a_task_goes_to_the_lane_that_leaves_most_slack(house: House) -> None:
    house.engine.slowdown = 1.2
    orchestrator = house.start(active=False)
    for name in ("first", "second", "third"):
        answer = orchestrator.register(task(house, name, deadline_ms=40))
        assert answer.accepted, answer.rationale.sentence
    lanes = [each.lane for each in orchestrator.status().tasks]
    # Beside each other they take 6.6 ms; on one lane one would wait for 5.5 ms of the other.
    assert lanes[:2] == ["lane0", "lane1"]
    assert "(chosen by largest least slack)" in answer.rationale.sentence


def test_a_task_is_cut_where_it_is_too_long_for_others_only_beside_another_lane(
    house: House,
) -> None:
    house.engine.divides = True
    orchestrator = house.start(active=False)
    urgent = house.task("urgent", lane="lane1", deadline_ms=12, wcet_ms=2)
    assert orchestrator.register(urgent).accepted
    assert orchestrator.register(task(house, "neighbour", lane="lane0")).accepted
    answer = orchestrator.register(house.task("long", lane="lane1", wcet_ms=0))
    assert answer.accepted, answer.rationale.sentence
    assert "it runs in 2 segments" in answer.rationale.sentence
    # Alone it could stay whole: 5.5 ms of blocking and 2 ms fit into 10 ms, 11 ms do not.
    orchestrator.unregister("long")
    orchestrator.unregister("neighbour")
    answer = orchestrator.register(house.task("long", lane="lane1", wcet_ms=0))
    assert answer.accepted and "segments" not in answer.rationale.sentence


def test_cutting_a_task_of_the_other_lane_is_among_what_would_help(house: House) -> None:
    house.engine.divides = True
    orchestrator = house.start(active=False)
    urgent = house.task("urgent", lane="lane1", deadline_ms=12, wcet_ms=2)
    assert orchestrator.register(urgent).accepted
    assert orchestrator.register(task(house, "long", lane="lane1")).accepted
    answer = orchestrator.register(task(house, "late", lane="lane0"))
    assert isinstance(answer.rationale.reason, OthersLate)
    assert answer.rationale.reason.other == "urgent"
    changes = {item.change: item for item in answer.rationale.counterfactuals}
    assert changes["segments"].task == "long" and changes["deadline_ms"].task == "urgent"
    orchestrator.unregister("long")
    cut = replace(task(house, "long", lane="lane1"), segments=round(changes["segments"].value))
    assert orchestrator.register(cut).accepted
    assert orchestrator.register(task(house, "late", lane="lane0")).accepted


def test_pairs_that_were_measured_are_not_measured_again(house: House) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(task(house, "first", lane="lane0"))
    orchestrator.register(task(house, "second", lane="lane1"))
    measured = list(house.engine.measured_beside)
    house.restart()
    assert proven(house) == {"first": BESIDE, "second": BESIDE}
    assert house.engine.measured_beside == [] and len(measured) == 1


def test_asking_measures_nothing_and_says_which_pair_is_missing(house: House) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(task(house, "first", lane="lane0"))
    answer = orchestrator.evaluate(task(house, "second", lane="lane1"))
    assert not answer.accepted and house.engine.measured_beside == []
    reason = answer.rationale.reason
    assert isinstance(reason, NotMeasuredBeside) and answer.rationale.rule is Rule.WCET_PROFILE
    assert (reason.task, reason.neighbours) == ("second", ("first",))
    assert orchestrator.register(task(house, "second", lane="lane1")).accepted
    third = orchestrator.evaluate(task(house, "third", lane="lane1"))
    assert third.accepted, third.rationale.sentence


def test_budgets_stay_when_the_neighbour_leaves_and_follow_from_who_is_there_next_time(
    house: House,
) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(task(house, "first", lane="lane0"))
    orchestrator.register(task(house, "second", lane="lane1"))
    answer = orchestrator.unregister("second")
    assert "first keeps the budget it has beside it" in answer.rationale.sentence
    assert proven(house) == {"first": BESIDE} and budgets(house) == {"first": (BESIDE,)}
    house.restart()
    assert proven(house) == {"first": ALONE}


def test_a_newcomer_that_cannot_be_loaded_leaves_budgets_as_they_were(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator = house.start(active=False)
    orchestrator.register(task(house, "first", lane="lane0"))
    monkeypatch.setattr(house.engine, "change_budgets", refuse_second(house))
    answer = orchestrator.register(task(house, "second", lane="lane1"))
    assert not answer.accepted and "No answer" in answer.rationale.sentence
    assert budgets(house) == {"first": (ALONE,)} and proven(house) == {"first": ALONE}
    assert house.names() == ["first"]


def refuse_second(house: House) -> Any:
    """Return what an engine does that is gone while it is told other budgets."""

    def change(task_id: int, plan: object) -> None:
        raise EngineError("no answer")

    return change


def test_a_declared_budget_beside_what_it_was_never_measured_with_is_taken_and_says_so(
    house: House,
) -> None:
    orchestrator = house.start(active=False)
    first = task(house, "measured", lane="lane1", preprocess={"size": [8, 16]})
    assert orchestrator.register(first).accepted
    answer = orchestrator.register(house.task("declared", lane="lane0"))
    assert answer.accepted, answer.rationale.sentence
    assert proven(house) == {"declared": 10 * MS, "measured": BESIDE}
    assert "measured on other lanes may slow it, which no budget counts" in (
        answer.rationale.sentence
    )
    assert "without wcet_ms admission does" in answer.rationale.sentence
    orchestrator.unregister("measured")
    again = orchestrator.register(replace(first, name="later"))
    assert again.accepted, again.rationale.sentence
    assert "declared (lane lane0) may be slowed beside it, which its declared budget does not" in (
        again.rationale.sentence
    )


def test_a_declared_budget_is_that_alone_and_grows_as_much_as_was_measured(house: House) -> None:
    orchestrator = house.start(active=False)
    assert orchestrator.register(house.task("declared", lane="lane0")).accepted
    # The same network: it is measured beside itself for the newcomer.
    answer = orchestrator.register(task(house, "measured", lane="lane1"))
    assert answer.accepted and "declared on lane lane0 may take 20.00 ms instead of 10.00 ms" in (
        answer.rationale.sentence
    )
    assert proven(house) == {"declared": 20 * MS, "measured": BESIDE}
    assert budgets(house)["declared"] == (20 * MS,)
    orchestrator.unregister("declared")
    answer = orchestrator.register(house.task("declared", lane="lane0"))
    assert "10.00 ms declared, 2.00 times that beside others" in answer.rationale.sentence
    assert proven(house)["declared"] == 20 * MS, "not twice longer again"


def test_with_several_other_lanes_slowdowns_multiply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = replace(SimulatedBackend.capabilities, contends="the device")
    monkeypatch.setattr(SimulatedBackend, "capabilities", shared)
    house = House(tmp_path, lanes=3)
    house.engine.slowdown = 1.5
    orchestrator = house.start(active=False)
    for index in range(3):
        assert orchestrator.register(task(house, f"on{index}", lane=f"lane{index}")).accepted
    (budget_ns,) = set(proven(house).values())
    assert ALONE * 1.5 * 1.5 <= budget_ns < ALONE * 1.5 * 1.5 + 10  # each is rounded up


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """Three lanes of one device: 5 ms alone, half longer beside one other, more beside two."""
    shared = replace(SimulatedBackend.capabilities, contends="the device")
    monkeypatch.setattr(SimulatedBackend, "capabilities", shared)
    made = House(tmp_path, lanes=3)
    made.engine.slowdown = 1.5
    made.engine.at_once = 4.0
    return made


def sized(house: House, name: str, width: int, **changes: Any) -> TaskSpec:
    """A task with a network of its own."""
    return task(house, name, preprocess={"size": [8, width]}, **changes)


def key_of(house: House, name: str) -> str:
    entry = house.orchestrator._admitted.get(name)
    assert entry is not None
    return entry.candidate.compiled.key


def test_pairs_bound_a_newcomer_first_and_then_all_lanes_are_busy_at_once(three: House) -> None:
    orchestrator = three.start(active=False)
    for index, name in enumerate(("one", "two", "three")):
        spec = sized(three, name, 8 + 8 * index, lane=f"lane{index}")
        answer = orchestrator.register(spec)
        assert answer.accepted, answer.rationale.sentence
    one, two, third = (key_of(three, name) for name in ("one", "two", "three"))
    # With two tasks there are pairs alone; the third is measured in each pair, then with all.
    assert three.engine.beside[:2] == [(1, ((one, 0),)), (0, ((two, 1),))]
    of_third = three.engine.beside[2:]
    alone, together = of_third[:4], of_third[4:]
    assert all(len(ran) == 1 for _, ran in alone)
    assert {(lane, frozenset(ran)) for lane, ran in together} == {
        (0, frozenset({(two, 1), (third, 2)})),
        (1, frozenset({(one, 0), (third, 2)})),
        (2, frozenset({(one, 0), (two, 1)})),
    }
    assert len(together) == 3, "who runs alone on its lane is all of it and its worst"
    assert set(proven(three).values()) == {ALONE * 4}
    assert proven_as_budgets(three) == budgets(three)
    assert "at once" in answer.rationale.sentence
    three.restart()
    assert set(proven(three).values()) == {ALONE * 4} and three.engine.beside == []


def test_networks_of_one_lane_take_turns_there_and_the_worst_of_each_runs_back_to_back(
    three: House,
) -> None:
    orchestrator = three.start(active=False)
    lanes = {"one": "lane0", "two": "lane1", "three": "lane1", "four": "lane2"}
    for index, (name, lane) in enumerate(lanes.items()):
        assert orchestrator.register(sized(three, name, 8 + 8 * index, lane=lane)).accepted
    one, two, third = (key_of(three, name) for name in ("one", "two", "three"))
    ran = [frozenset(ran) for lane, ran in three.engine.beside if lane == 2 and len(ran) > 1]
    assert ran[0] == {(one, 0), (two, 1), (third, 1)}
    assert ran[1] in ({(one, 0), (two, 1)}, {(one, 0), (third, 1)})


def test_a_newcomer_that_is_too_much_only_with_all_others_goes_elsewhere(three: House) -> None:
    orchestrator = three.start(active=False)
    urgent = sized(three, "urgent", 8, lane="lane0", deadline_ms=15)
    assert orchestrator.register(urgent).accepted
    assert orchestrator.register(sized(three, "other", 16, lane="lane1")).accepted
    # By the pairs, urgent takes 5.5 * 1.5 * 1.5 = 12.4 ms of its 13 (2 of 15 ms are kept for
    # publishing); with both lanes busy it takes 5.5 * 4.
    answer = orchestrator.register(sized(three, "late", 24, lane="lane2"))
    assert not answer.accepted
    reason = answer.rationale.reason
    assert isinstance(reason, OthersLate)
    assert (reason.other, reason.other_lane, reason.late_ns) == ("urgent", "lane0", 9 * MS)
    assert proven(three)["urgent"] < 13 * MS and three.names() == ["urgent", "other"]
    free = orchestrator.register(sized(three, "late", 24))
    assert free.accepted, free.rationale.sentence
    lane_of = {each.spec.name: each.lane for each in orchestrator.status().tasks}
    assert lane_of["late"] == "lane1"


def test_pairs_have_to_do_where_the_configuration_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = replace(SimulatedBackend.capabilities, contends="the device")
    monkeypatch.setattr(SimulatedBackend, "capabilities", shared)
    house = House(tmp_path, lanes=3, contention=Contend.PAIRS)
    house.engine.slowdown, house.engine.at_once = 1.5, 4.0
    orchestrator = house.start(active=False)  # while tasks run, nothing is measured
    for index in range(3):
        answer = orchestrator.register(task(house, f"on{index}", lane=f"lane{index}"))
        assert answer.accepted, answer.rationale.sentence
    assert {len(ran) for _, ran in house.engine.beside} == {1}
    assert "never measured with all of them at once" in answer.rationale.sentence


def test_streams_are_timed_on_the_lane_of_lowest_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = replace(SimulatedBackend.capabilities, contends="the device", on_cores=False)
    monkeypatch.setattr(SimulatedBackend, "capabilities", ranked)
    house = House(tmp_path, lanes=3)
    house.engine.slowdown = 2.0
    orchestrator = house.start(active=False)
    assert orchestrator.register(task(house, "first", lane="lane0")).accepted
    assert orchestrator.register(task(house, "second", lane="lane1")).accepted
    # One network beside itself on a more urgent lane, whichever that is: measured once.
    assert house.engine.measured_beside == [(2, 0)]
    assert proven(house) == {"first": BESIDE, "second": BESIDE}


def test_lanes_of_a_device_that_is_not_shared_do_not_meet(tmp_path: Path) -> None:
    house = House(tmp_path, lanes=2)
    house.engine.slowdown = 2.0
    orchestrator = house.start(active=False)
    orchestrator.register(task(house, "first", lane="lane0"))
    orchestrator.register(task(house, "second", lane="lane1"))
    assert proven(house) == {"first": ALONE, "second": ALONE}
    assert house.engine.measured_beside == []
