"""`lanes: auto` when a node is configured: measures what is missing, chooses, and keeps to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.engine import Engine
from aegis_ros.errors import ConfigError, EngineError, ProfileError, StoppedError
from aegis_ros.orchestrator import LaneChooser, NodeState, Orchestrator, lane_choosing
from aegis_ros.orchestrator import orchestrator as orchestrator_module
from aegis_ros.rationale import Decision, Rationale, Rule
from aegis_ros.rationale.lanes import LanesChosen
from aegis_ros.rationale.requests import (
    Measuring,
    MeasuringBeside,
    ProfilesNotKept,
    StateNotKept,
    StoreDamaged,
)
from aegis_ros.spec import DeviceSpec, OrchestratorSpec, TaskSpec
from aegis_ros.wcet import ProfileStore
from test.engine.fake import FakeEngine
from test.given_back import give_back_at_the_end
from test.network.builders import identity_network
from test.orchestrator.house import House


class Robot:
    """A node that is configured again and again, on a machine with three cores."""

    def __init__(self, folder: Path, *names: str, **changes: Any) -> None:
        self.house = House(folder)
        tasks = tuple(self._task(index, name, changes) for index, name in enumerate(names))
        device = replace(self.house.spec.device, lanes=())
        self.spec = OrchestratorSpec(device, self.house.spec.models, tasks)
        self.slowdown = 1.1
        self.at_once = 0.0
        self.engines: list[FakeEngine] = []
        self.reported: list[Rationale] = []
        self.kept_off: list[set[int]] = []  # cores, once for each engine that measures
        self.state = NodeState(folder / "state")
        self.while_measuring: Any = lambda: None
        self.problem: Callable[[DeviceSpec], str] = lambda device: ""  # why no engine starts
        self.divides = False
        self.limit_s: float | None = None

    def _task(self, index: int, name: str, changes: dict[str, Any]) -> TaskSpec:
        path = self.house.folder / f"{name}.onnx"
        identity_network(path, (1, 3, 8, 8 + index))
        values = {"model": str(path), "preprocess": {"size": [8, 8 + index]}, "wcet_ms": 0}
        return self.house.task(name, **(values | {"segments": 1, "period_ms": 12} | changes))

    def engine(self, device: DeviceSpec, **callbacks: Any) -> Engine:
        made = FakeEngine(device, **callbacks)
        made.slowdown, made.at_once = self.slowdown, self.at_once
        made.divides = self.divides
        made.while_measuring = self.while_measuring
        made.refuses_start = self.problem(device)
        self.engines.append(made)
        return made

    def chooser(self) -> LaneChooser:
        self.state = NodeState(self.house.folder / "state")
        return LaneChooser(
            self.spec,
            state=self.state,
            on_rationale=self.reported.append,
            keep_off=lambda cores: self.kept_off.append(set(cores)),
            engine_factory=self.engine,
            limit_s=self.limit_s,
        )

    def choose(self) -> tuple[OrchestratorSpec, LanesChosen | None]:
        self.engines, self.reported, self.kept_off = [], [], []
        return self.chooser().choose()

    def orchestrator(self, spec: OrchestratorSpec, chosen: LanesChosen | None) -> Orchestrator:
        made = Orchestrator(
            spec,
            state_dir=self.house.folder / "state",
            on_result=lambda _, result: result.release(),
            on_rationale=self.reported.append,
            engine_factory=self.engine,
            lanes_chosen=chosen,
            state=self.state,
        )
        give_back_at_the_end(made.cleanup)
        return made

    @property
    def pairs(self) -> int:
        return sum(len(each.measured_beside) for each in self.engines)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cores that slow each other."""
    meeting = replace(SimulatedBackend.capabilities, contends="the device")
    monkeypatch.setattr(SimulatedBackend, "capabilities", meeting)
    for module in (lane_choosing, orchestrator_module):
        monkeypatch.setattr(module, "pinnable_cores", lambda: frozenset({0, 1, 2}))


def test_lanes_that_are_declared_are_kept_and_nothing_is_measured(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "one")
    robot.spec = replace(robot.spec, device=robot.house.spec.device)
    assert robot.choose() == (robot.spec, None)
    assert robot.engines == []


def test_without_tasks_there_is_one_lane(tmp_path: Path) -> None:
    robot = Robot(tmp_path)
    spec, chosen = robot.choose()
    assert chosen is None and [lane.name for lane in spec.device.lanes] == ["main"]


def test_what_is_missing_is_measured_and_every_task_gets_its_lane(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far", "wide")
    spec, chosen = robot.choose()
    assert chosen is not None and chosen.chosen.label == "3 lanes"
    assert [each.label for each in chosen.others] == ["1 lane", "2 lanes"]
    assert [lane.cpu for lane in spec.device.lanes] == [0, 1, 2]
    assert len({task.lane for task in spec.tasks}) == 3
    assert sum(isinstance(each.reason, Measuring) for each in robot.reported) == 3
    beside = [each.reason for each in robot.reported if isinstance(each.reason, MeasuringBeside)]
    assert [each.lanes for each in beside] == [1] * 6 + [2] * 3
    assert chosen.chosen.assumed == 0
    assert all(not each.started for each in robot.engines)


def test_the_next_time_nothing_is_measured(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far", "wide")
    first = robot.choose()
    assert robot.engines
    assert robot.choose() == first
    assert robot.engines == [] and robot.reported == []


def test_lanes_that_slow_each_other_too_much_are_given_up_once_that_is_measured(
    tmp_path: Path,
) -> None:
    robot = Robot(tmp_path, "near", "far", period_ms=40)
    robot.slowdown = 4.0
    spec, chosen = robot.choose()
    assert chosen is not None and chosen.chosen.label == "1 lane"
    assert robot.pairs == 2
    assert {task.lane for task in spec.tasks} == {"main"}


def test_lanes_that_slow_each_other_too_much_all_at_once_are_given_up_once_that_is_measured(
    tmp_path: Path,
) -> None:
    robot = Robot(tmp_path, "near", "far", "wide", period_ms=40)
    robot.at_once = 4.0  # by the pairs, 1.1 times 1.1
    spec, chosen = robot.choose()
    assert chosen is not None and chosen.chosen.label == "2 lanes"
    three = next(each for each in chosen.others if each.label == "3 lanes")
    assert three.slack == chosen.chosen.slack  # with one of the three idle
    assert all(each.accepted for each in robot.orchestrator(spec, chosen).configure())
    assert robot.engines[-1].beside == []


def test_pairs_that_no_choice_rests_on_are_not_measured(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far", period_ms=40)
    robot.slowdown = 1.0
    robot.choose()
    assert robot.pairs == 2  # each beside the other, not for each number of lanes


def test_what_was_chosen_is_admitted_as_it_was_planned_and_reported_first(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far", "wide")
    spec, chosen = robot.choose()
    robot.reported.clear()
    orchestrator = robot.orchestrator(spec, chosen)
    answers = orchestrator.configure()
    assert [each.accepted for each in answers] == [True] * 3
    assert {each.spec.name: each.lane for each in orchestrator.status().tasks} == {
        task.name: task.lane for task in spec.tasks
    }
    assert robot.reported[0].reason == chosen
    assert robot.reported[0].rule is Rule.LANE_CHOICE
    assert "3 lanes: least slack" in robot.reported[0].sentence
    assert robot.engines[-1].beside == []  # all that it needs is known
    orchestrator.cleanup()


def test_threads_keep_off_the_lanes_on_which_networks_are_measured(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far")
    when: list[int] = []
    robot.while_measuring = lambda: when.append(len(robot.kept_off))
    robot.choose()
    lanes = [{lane.cpu for lane in each.device.lanes} for each in robot.engines]
    assert robot.kept_off == lanes and {2} in lanes
    assert min(when) == 1, "from the first measurement on"


def test_what_was_measured_is_there_for_the_admissions_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "aegis_ros.orchestrator.state_folder._why_not_written",
        lambda folder: "Read-only file system",
    )
    robot = Robot(tmp_path, "near", "far")
    spec, chosen = robot.choose()
    assert any(isinstance(each.reason, Measuring) for each in robot.reported)
    orchestrator = robot.orchestrator(spec, chosen)
    assert all(each.accepted for each in orchestrator.configure())
    orchestrator.cleanup()
    assert robot.engines[-1].measured == 0
    assert not robot.engines[-1].measured_beside
    kept = [each.reason for each in robot.reported if isinstance(each.reason, StateNotKept)]
    assert [each.problem for each in kept] == ["Read-only file system"]


def test_a_disk_that_becomes_full_while_measuring_costs_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise ProfileError("the disk is full")

    robot = Robot(tmp_path, "near", "far")
    monkeypatch.setattr(ProfileStore, "_store", full)
    spec, chosen = robot.choose()
    orchestrator = robot.orchestrator(spec, chosen)
    assert all(each.accepted for each in orchestrator.configure())
    orchestrator.cleanup()
    assert robot.engines[-1].measured == 0
    assert any(isinstance(each.reason, ProfilesNotKept) for each in robot.reported)


def test_no_two_decisions_have_one_number(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far")
    orchestrator = robot.orchestrator(*robot.choose())
    orchestrator.configure()
    orchestrator.cleanup()
    numbers = [each.id for each in robot.reported]
    assert numbers[0] == 1 and numbers == sorted(set(numbers))
    assert any(isinstance(each.reason, Measuring) for each in robot.reported)
    assert any(each.decision is Decision.ADMITTED for each in robot.reported)


def test_damaged_profiles_are_reported_once_however_often_they_are_used(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far")
    robot.choose()
    for path in (tmp_path / "state").glob("profiles.sqlite*"):
        path.write_bytes(b"rubbish" * 500)
    orchestrator = robot.orchestrator(*robot.choose())
    orchestrator.configure()
    orchestrator.cleanup()
    damaged = [each.reason for each in robot.reported if isinstance(each.reason, StoreDamaged)]
    assert [each.store for each in damaged] == ["the store of WCET profiles"]


def test_a_task_that_comes_later_keeps_the_lanes(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far")
    spec, chosen = robot.choose()
    orchestrator = robot.orchestrator(spec, chosen)
    orchestrator.configure()
    later = robot.house.task("later", wcet_ms=1)
    assert orchestrator.register(later).accepted
    assert len(orchestrator.status().lanes) == len(spec.device.lanes) == 2
    orchestrator.cleanup()


def test_a_network_that_is_cut_for_the_choice_is_measured_so_and_runs_so(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "long", period_ms=100, segments=0)
    urgent = robot.house.task("urgent", wcet_ms=1, deadline_ms=4, segments=1)
    robot.spec = replace(robot.spec, tasks=(urgent, *robot.spec.tasks))
    robot.slowdown = 25.0  # beside each other it would take longer than its deadline
    robot.divides = True
    spec, chosen = robot.choose()
    assert chosen is not None and chosen.chosen.label == "1 lane"
    assert [task.segments > 1 for task in spec.tasks] == [False, True]
    orchestrator = robot.orchestrator(spec, chosen)
    robot.reported.clear()
    assert all(each.accepted for each in orchestrator.configure())
    assert not any(isinstance(each.reason, Measuring) for each in robot.reported)
    orchestrator.cleanup()


def test_where_nothing_holds_all_tasks_they_are_admitted_one_by_one(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "a", "b", "c", "d", period_ms=6, deadline_ms=6)
    robot.slowdown = 4.0
    spec, chosen = robot.choose()
    assert chosen is not None and chosen.chosen.slack < 0.0
    assert spec.tasks == robot.spec.tasks and spec.device.lanes


def test_a_task_that_cannot_run_does_not_keep_the_others_from_their_lanes(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far")
    gone = robot.house.task("gone", model=str(tmp_path / "gone.onnx"))
    robot.spec = replace(robot.spec, tasks=(gone, *robot.spec.tasks))
    spec, chosen = robot.choose()
    assert chosen is not None
    assert [bool(task.lane) for task in spec.tasks] == [False, True, True]


def test_a_network_that_cannot_be_measured_does_not_keep_the_others_from_theirs(
    tmp_path: Path,
) -> None:
    robot = Robot(tmp_path, "bad", "near", "far")
    asked = []

    def fail() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise EngineError("the network fails")

    robot.while_measuring = fail
    spec, chosen = robot.choose()
    assert chosen is not None
    assert [bool(task.lane) for task in spec.tasks] == [False, True, True]


def test_one_that_was_stopped_before_it_began_measures_nothing(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near")
    chooser = robot.chooser()
    chooser.close()
    with pytest.raises(StoppedError):
        chooser.choose()
    assert robot.engines == []


def test_choosing_ends_when_it_is_stopped(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far")
    chooser = robot.chooser()
    robot.while_measuring = chooser.close
    with pytest.raises(StoppedError):
        chooser.choose()
    assert all(not each.started for each in robot.engines)


def test_one_that_is_stopped_while_it_plans_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = Robot(tmp_path, "near", "far")
    chooser = robot.chooser()
    plan = lane_choosing.plan_lanes

    def interrupted(layouts: Any) -> Any:
        chooser.close()
        return plan(layouts)

    monkeypatch.setattr(lane_choosing, "plan_lanes", interrupted)
    with pytest.raises(StoppedError):
        chooser.choose()


def test_profiles_that_cannot_be_kept_are_no_fault_of_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise ProfileError("the disk is full")

    monkeypatch.setattr(ProfileStore, "add", full)
    with pytest.raises(ProfileError):
        Robot(tmp_path, "near", "far").choose()


def test_an_engine_that_starts_on_no_lanes_is_an_error(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near")
    robot.problem = lambda device: f"no answer with {len(device.lanes)}"
    with pytest.raises(EngineError, match="no answer with 3"):
        robot.choose()
    assert len(robot.engines) == 3, "each number of lanes was tried once"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device of 16 multiprocessors, which can be had in groups of 8."""
    parted = replace(SimulatedBackend.capabilities, on_cores=False, partitions=True)
    monkeypatch.setattr(SimulatedBackend, "capabilities", parted)
    monkeypatch.setattr(SimulatedBackend, "multiprocessors", lambda backend: 16, raising=False)


def _beyond_16(device: DeviceSpec) -> str:
    asked = [lane.sms for lane in device.lanes if lane.sms is not None]
    groups = sum(-(-each // 8) for each in asked) + (0 < len(asked) < len(device.lanes))
    return "fewer multiprocessors than asked for" if groups > 2 else ""


def test_lanes_that_the_device_cannot_be_divided_into_are_left_out_and_the_reason_is_reported(
    tmp_path: Path, gpu: None
) -> None:
    robot = Robot(tmp_path, "near", "far")
    robot.problem = _beyond_16
    spec, chosen = robot.choose()
    assert chosen is not None and chosen.chosen.problem == ""
    assert {each.label: each.problem for each in chosen.others if each.problem} == {
        "3 lanes of 5, 5 and 6 multiprocessors": "fewer multiprocessors than asked for.",
        "4 lanes of 4, 4, 4 and 4 multiprocessors": "fewer multiprocessors than asked for.",
    }
    assert "2 lanes of 8 and 8 multiprocessors" in [
        each.label for each in (chosen.chosen, *chosen.others)
    ]
    assert all(task.lane for task in spec.tasks)
    orchestrator = robot.orchestrator(spec, chosen)
    assert all(each.accepted for each in orchestrator.configure())
    orchestrator.cleanup()
    (why,) = (each.sentence for each in robot.reported if each.rule is Rule.LANE_CHOICE)
    assert (
        "3 lanes of 5, 5 and 6 multiprocessors: such lanes were not measured: fewer "
        "multiprocessors than asked for; 4 lanes"
    ) in why


def test_a_single_lane_on_which_no_engine_starts_is_left_out_as_well(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far")
    gone = robot.house.task("gone", model=str(tmp_path / "gone.onnx"))
    robot.spec = replace(robot.spec, tasks=(gone, *robot.spec.tasks))
    robot.problem = lambda device: "" if len(device.lanes) == 3 else "no answer"
    spec, chosen = robot.choose()
    assert chosen is not None and chosen.chosen.label == "3 lanes"
    assert [(each.label, each.problem) for each in chosen.others] == [
        ("1 lane", "no answer."),
        ("2 lanes", "no answer."),
    ]
    assert [bool(task.lane) for task in spec.tasks] == [False, True, True]


def test_without_a_task_that_can_run_the_lanes_are_those_on_which_an_engine_starts(
    tmp_path: Path,
) -> None:
    robot = Robot(tmp_path, "bad")
    robot.problem = lambda device: "" if len(device.lanes) == 2 else "no answer"

    def fail() -> None:
        raise EngineError("the network fails")

    robot.while_measuring = fail
    spec, chosen = robot.choose()
    assert chosen is None and len(spec.device.lanes) == 2


def test_lanes_on_which_no_engine_starts_once_pairs_are_measured_are_left_out(
    tmp_path: Path,
) -> None:
    robot = Robot(tmp_path, "near", "far", "wide", period_ms=40)  # one lane tells of all cores
    robot.problem = lambda device: "no answer" if len(device.lanes) == 3 else ""
    _, chosen = robot.choose()
    assert chosen is not None and (chosen.chosen.label, chosen.chosen.assumed) == ("2 lanes", 0)
    assert chosen.chosen.slack > 0.0
    assert [each.label for each in chosen.others if each.problem == "no answer."] == ["3 lanes"]


def test_it_is_an_error_when_the_last_lanes_left_no_longer_have_an_engine(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near", "far", "wide", period_ms=40)

    def problem(device: DeviceSpec) -> str:
        before = [engine for engine in robot.engines if engine.device == device]
        return "" if len(device.lanes) == 2 and not before else f"{len(device.lanes)} refused"

    robot.problem = problem
    with pytest.raises(EngineError, match="2 refused"):
        robot.choose()
    assert [len(engine.device.lanes) for engine in robot.engines] == [1, 2, 3, 2]


class Clock:
    """Passes a second with each measurement."""

    def __init__(self, robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(lane_choosing, "monotonic", lambda: self.now)
        robot.while_measuring = self.measured

    def measured(self) -> None:
        self.now += 1.0


def _measured(chosen: LanesChosen) -> set[str]:
    all_of_them = (chosen.chosen, *chosen.others)
    return {each.label for each in all_of_them if not each.unmeasured and not each.problem}


def test_without_time_networks_are_measured_on_a_single_lane_only(
    tmp_path: Path, gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = Robot(tmp_path, "near", "far", period_ms=40)
    robot.limit_s = 0.0
    Clock(robot, monkeypatch)
    spec, chosen = robot.choose()
    assert chosen is not None and _measured(chosen) == {"1 lane"}
    assert (sum(each.measured for each in robot.engines), robot.pairs) == (2, 0)
    assert [task.lane for task in spec.tasks] == ["main", "main"]
    short = {each.label: each for each in chosen.others}
    assert short["2 lanes"].problem.startswith("no time was left")
    assert short["2 lanes of 8 and 8 multiprocessors"].unmeasured == ("near", "far")


def test_half_of_the_time_is_left_for_networks_beside_each_other(
    tmp_path: Path, gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = Robot(tmp_path, "near", "far", period_ms=40)
    clock = Clock(robot, monkeypatch)
    robot.limit_s = 100.0
    _, chosen = robot.choose()
    assert chosen is not None and "2 lanes of 8 and 8 multiprocessors" in _measured(chosen)
    takes = clock.now  # all that there is to measure
    assert takes < robot.limit_s

    robot = Robot(tmp_path / "other", "near", "far", period_ms=40)
    clock = Clock(robot, monkeypatch)
    robot.limit_s = 8.0  # half of which passes with the two networks on a single lane
    _, chosen = robot.choose()
    assert chosen is not None and chosen.chosen.assumed == 0
    assert sum(each.measured for each in robot.engines) == 2
    assert robot.pairs > 0
    assert _measured(chosen) == {"1 lane", "2 lanes", "3 lanes", "4 lanes"}
    assert clock.now <= robot.limit_s + 2.0 < takes, "one measurement may have begun"


def test_an_orchestrator_wants_lanes(tmp_path: Path) -> None:
    robot = Robot(tmp_path, "near")
    with pytest.raises(ConfigError, match="still to be chosen"):
        robot.orchestrator(robot.spec, None)
