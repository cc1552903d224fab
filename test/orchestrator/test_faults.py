"""What breaks its promise is held to it or reported, with who is late, by how much and why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis_ros.analysis import AnalysisTask
from aegis_ros.device import DeviceState
from aegis_ros.engine import EngineEvent, JobSkip, OverrunEvent
from aegis_ros.orchestrator import FrameTimes, Orchestrator, TaskState
from aegis_ros.rationale import Decision, Rule
from aegis_ros.rationale.engine import (
    EngineBack,
    EngineEnded,
    EngineGivenUp,
    EngineLost,
    LaneStuck,
)
from aegis_ros.rationale.jobs import JobStopped, Overran, SkippedToRepay
from aegis_ros.rationale.wording import words
from aegis_ros.simulation import Outcome, Workload, simulate
from aegis_ros.spec import OverrunPolicy, TaskSpec
from test.orchestrator.house import MS, House

S = 1000 * MS
HOUR = 3600 * S
SHAPE = (16, 24, 3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what was made of the one network that all tests here use."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def house(tmp_path: Path, prepared: Path) -> House:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cache").symlink_to(prepared)
    made = House(tmp_path, lanes=2)
    made.start()
    return made


def reported(house: House, rule: Rule) -> list[tuple[str, Decision, str]]:
    return [
        (item.task, item.decision, item.sentence) for item in house.reported if item.rule is rule
    ]


def feed(orchestrator: Orchestrator, key: str, now_ns: int, stamp_ns: int = 0) -> bool:
    taken = orchestrator.intake.take(key, now_ns)
    if taken is None:
        return False
    wall_ns = stamp_ns or now_ns
    orchestrator.intake.commit(taken, SHAPE, FrameTimes(stamp_ns, now_ns, now_ns, wall_ns))
    return True


# -- a camera that does not keep its rate --------------------------------------------------------


def outcome_of(tasks: list[TaskSpec], frames: list[tuple[int, int, int]]) -> Outcome:
    """Run (ready, task, arrival) on one lane, each job for its whole budget."""
    ready, owner, arrival = (np.array(column, np.int64) for column in zip(*frames, strict=True))
    return simulate(
        [
            AnalysisTask(
                task.name,
                (task.wcet_ns,),
                task.period_ns,
                task.deadline_ns - task.output.publish_ns,
                task.jitter_ns,
            )
            for task in tasks
        ],
        Workload.of(owner, arrival, ready, [(tasks[index].wcet_ns,) for index in owner]),
        queue=1,
    )


def test_a_camera_at_ten_times_its_rate_and_a_burst_of_a_hundred_make_no_other_task_late(
    house: House,
) -> None:
    orchestrator = house.orchestrator
    tasks = [
        house.task("noisy", period_ms=100, deadline_ms=30, wcet_ms=10, lane="lane0"),
        house.task("quiet", period_ms=100, deadline_ms=90, wcet_ms=40, lane="lane0"),
    ]
    for task in tasks:
        assert orchestrator.register(task).accepted
    streams = {stream.topic: stream.key for stream in orchestrator.intake.streams()}
    begin = time.monotonic_ns()
    noisy = [begin + step * 10 * MS for step in range(200)]
    noisy += [begin + S + index for index in range(100)]
    quiet = [begin + step * 100 * MS for step in range(20)]
    came = sorted([(at, 0) for at in noisy] + [(at, 1) for at in quiet])
    for at, index in came:
        feed(orchestrator, streams[f"/{tasks[index].name}/image"], at)
    ids = {item.spec.name: item.task_id for item in orchestrator.status().tasks}
    owner = {ids["noisy"]: 0, ids["quiet"]: 1}
    released = [
        (arrival, owner[task], arrival)
        for jobs in house.engine.submitted
        for task, _, arrival, _ in jobs
    ]
    held = outcome_of(tasks, released)
    bounds = {item.spec.name: item.response_bound_ns for item in orchestrator.status().tasks}
    mine = held.workload.task == 1
    assert mine.sum() == len(quiet)
    assert 0 < held.response_ns[mine].max() <= bounds["quiet"]
    assert (held.response_ns[mine] > 0).all()
    assert len(released) - len(quiet) == 20  # its declared rate
    skipped = [item for item in house.reported if item.rule is Rule.RATE_GATE]
    assert {item.task for item in skipped} == {"noisy"}
    # Without the gate it would have been otherwise.
    free = outcome_of(tasks, [(at, index, at) for at, index in came])
    mine = free.workload.task == 1
    assert (free.finished_ns[mine] - free.workload.arrival_ns[mine]).max() > 90 * MS


# -- a clock that is set ---------------------------------------------------------------------------


@pytest.mark.parametrize("step_ns", [HOUR, -HOUR])
def test_a_clock_that_is_set_by_an_hour_moves_no_deadline(
    house: House, monkeypatch: pytest.MonkeyPatch, step_ns: int
) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(house.task(jitter_ms=20))
    (stream,) = orchestrator.intake.streams()
    begin, wall = time.monotonic_ns(), time.time_ns()
    for frame in range(20):
        now = begin + frame * 100 * MS
        shown = wall + frame * 100 * MS + (step_ns if frame >= 10 else 0)
        monkeypatch.setattr(time, "time_ns", lambda shown=shown: shown)
        assert feed(orchestrator, stream.key, now, shown - 5 * MS)
    jobs = [jobs[0] for jobs in house.engine.submitted]
    arrivals = [job[2] for job in jobs]
    assert np.diff(arrivals).tolist() == [100 * MS] * 19
    assert {job[3] - job[2] for job in jobs} == {98 * MS}
    assert orchestrator.status().tasks[0].skipped == 0
    if step_ns < 0:
        ((_, _, sentence),) = reported(house, Rule.TIME_JUMP)
        assert "went back by 3599.9 s" in sentence


# -- overruns --------------------------------------------------------------------------------------


def overrun(task_id: int, **changes: object) -> OverrunEvent:
    fields = {"lane": 0, "segment": 0, "taken_ns": 13 * MS, "budget_ns": 10 * MS}
    return OverrunEvent(task_id, 7, **(fields | {"used_ns": 13 * MS} | changes))  # type: ignore[arg-type]


def overran(segments: int = 1, **changes: object) -> str:
    fields: dict[str, object] = {
        "task": "detector",
        "job": 7,
        "lane": "lane0",
        "segment": 0,
        "segments": segments,
        "taken_ns": 13 * MS,
        "budget_ns": 10 * MS,
        "used_ns": 13 * MS,
        "whole_ns": segments * 10 * MS,
    }
    return words(Overran(**(fields | changes)))  # type: ignore[arg-type]


def test_an_overrun_is_reported_with_what_it_can_cost_others_and_counted(house: House) -> None:
    answer = house.orchestrator.register(house.task())
    house.engine.on_overrun(overrun(answer.task_id, skips=1))
    ((task, decision, sentence),) = reported(house, Rule.OVERRUN)
    assert (task, decision) == ("detector", Decision.INFORMED)
    assert sentence == (
        "Job 7 of detector took 13.00 ms, more than its budget of 10.00 ms; jobs that waited for "
        "lane lane0 can end up to 3.00 ms later than proven. The next frame is skipped to repay "
        "it, unless the lane idles that long first."
    )
    rationale = house.reported[-1]
    assert (rationale.left, rationale.relation, rationale.right) == (13.0, ">", 10.0)
    assert house.orchestrator.status().tasks[0].overruns == 1
    house.engine.on_skip(JobSkip(answer.task_id, 8, Rule.OVERRUN))
    assert "job 8 of detector skipped to repay" in house.reported[-1].sentence.lower()


@pytest.mark.parametrize(
    ("skip", "reason"),
    [
        ({"stopped": True}, JobStopped),
        ({"text": "stopped for other reasons"}, SkippedToRepay),
    ],
)
def test_a_job_is_reported_as_stopped_where_the_engine_says_so(
    house: House, skip: dict[str, Any], reason: type
) -> None:
    answer = house.orchestrator.register(house.task())
    house.engine.on_skip(JobSkip(answer.task_id, 8, Rule.OVERRUN, **skip))
    assert type(house.reported[-1].reason) is reason


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"applied": "stop"}, "The job is stopped (on_overrun: stop)"),
        ({"applied": "demote"}, "The rest of the job runs after everything else"),
        ({"skips": 9}, "Up to 9 of the next frames are skipped"),
        (
            {"taken_ns": 9 * MS, "used_ns": 12 * MS},
            "used 12.00 ms, more than its budget of 10",
        ),
    ],
)
def test_what_follows_from_an_overrun_is_reported(
    changes: dict[str, object], expected: str
) -> None:
    assert expected in overran(**changes)  # type: ignore[arg-type]


def test_an_overrun_of_a_segment_names_the_segment() -> None:
    said = overran(segments=4, segment=1)
    assert said.startswith("segment 2 of 4 of job 7 of detector took 13.00 ms")


def test_the_engine_gets_the_policy_and_the_budget(house: House) -> None:
    answer = house.orchestrator.register(house.task(on_overrun="demote", criticality="low"))
    loaded = house.engine.loaded[answer.task_id]
    assert loaded.on_overrun is OverrunPolicy.DEMOTE
    assert loaded.plan.budgets_ns == (10 * MS,)


def test_the_engine_scales_budgets_on_a_slower_device(house: House) -> None:
    house.orchestrator.device_changed(DeviceState(clock_factor=0.5, throttled=True))
    assert house.engine.speed == 0.5


def test_the_engine_gets_what_room_the_proof_leaves(house: House) -> None:
    house.orchestrator.register(house.task("one", deadline_ms=52, lane="lane0"))
    assert house.engine.scaling == {0: 5.0, 1: 1.0}  # (52 - 2) / 10
    house.orchestrator.register(house.task("two", deadline_ms=52, lane="lane0"))
    assert house.engine.scaling[0] == 2.5
    house.orchestrator.unregister("two")
    house.orchestrator.settle()
    assert house.engine.scaling[0] == 5.0


def test_an_overrun_with_room_says_that_no_deadline_is_at_risk() -> None:
    expected = "lane lane0 has enough slack for that, so no deadline is at risk"
    assert expected in overran(absorbed=True)


def test_a_lane_that_sheds_is_reported_task_by_task_and_so_is_its_return(house: House) -> None:
    levels = {"vital": "high", "useful": "low", "nice": "best_effort", "far": "low"}
    ids = {}
    for name, level in levels.items():
        lane = "lane1" if name == "far" else "lane0"
        answer = house.orchestrator.register(house.task(name, criticality=level, lane=lane))
        assert answer.accepted
        ids[name] = answer.task_id
    house.engine.on_overrun(overrun(ids["vital"], sheds=True))
    for name in ("useful", "nice", "far"):
        house.orchestrator._admitted._entries[name].statistics.received = 1
    states = {item.spec.name: item.state for item in house.orchestrator.status().tasks}
    assert states["useful"] is states["nice"] is TaskState.SHED
    assert states["far"] is TaskState.RUNNING
    house.engine.on_restored(0, 12 * MS)
    assert [item[:2] for item in reported(house, Rule.CRITICALITY)] == [
        ("nice", Decision.SHED),
        ("useful", Decision.SHED),
        ("useful", Decision.RESTORED),
        ("nice", Decision.RESTORED),
    ]
    sentences = [item[2] for item in reported(house, Rule.CRITICALITY)]
    assert "job 7 of vital exceeded its budget" in sentences[0]
    assert "runs again after 12.0 ms" in sentences[2]
    states = {item.spec.name: item.state for item in house.orchestrator.status().tasks}
    assert TaskState.SHED not in states.values()


def test_an_engine_that_starts_anew_sheds_nothing(house: House) -> None:
    vital = house.orchestrator.register(house.task("vital", lane="lane0"))
    house.orchestrator.register(house.task("useful", criticality="low", lane="lane0"))
    house.engine.on_overrun(overrun(vital.task_id, sheds=True))
    house.engine.on_event(EngineEvent(EngineLost(EngineEnded(-9), 0)))
    states = [item.state for item in house.orchestrator.status().tasks]
    assert TaskState.SHED not in states


# -- hangs -----------------------------------------------------------------------------------------


def test_after_a_hang_each_task_reports_how_long_it_had_no_lane_and_why(house: House) -> None:
    for name, lane in (("hog", "lane0"), ("beside", "lane0"), ("other", "lane1")):
        house.orchestrator.register(house.task(name, lane=lane))
    event = EngineEvent(
        EngineBack(600 * MS, 3),
        recovered=True,
        duration_ns=600 * MS,
        cause=LaneStuck("hog", 2100 * MS, 10 * MS),
        lane=0,
        stood_ns=2100 * MS,
    )
    house.engine.on_event(event)
    back = {task: text for task, _, text in reported(house, Rule.ENGINE_RESTART) if task}
    assert set(back) == {"hog", "beside", "other"}
    assert "lane lane0 ran none of its jobs for 2700 ms (27 periods)" in back["beside"]
    assert "lane lane1 ran none of its jobs for 600 ms (6 periods)" in back["other"]
    assert all("because hog has been running for 2.1 s" in text for text in back.values())


# -- tasks that fail for good ----------------------------------------------------------------------


def test_a_task_that_fails_says_what_happened_until_it_is_loaded_again(house: House) -> None:
    answer = house.orchestrator.register(house.task())
    task_id = answer.task_id
    cause = EngineEnded(-11)

    def problem() -> str:
        (task,) = house.orchestrator.status().tasks
        assert (task.state is TaskState.FAILED) == bool(task.problem)
        return task.problem

    assert problem() == ""
    back = EngineBack(300 * MS, 0, failed=(("detector", "no memory"),))
    house.engine.on_event(
        EngineEvent(back, recovered=True, failed=((task_id, "no memory"),), cause=cause)
    )
    assert problem().startswith("detector could not be loaded again: no memory")
    house.engine.on_event(EngineEvent(EngineBack(300 * MS, 1), recovered=True, cause=cause))
    assert problem() == ""
    lost = EngineLost(cause, 0, ("detector",))
    house.engine.on_event(EngineEvent(lost, quarantined=(task_id,), cause=cause))
    assert "because the engine ended (SIGSEGV)" in problem()
    # It stays so, and is reported once, whatever brings the engine down later.
    other = EngineEnded(-9)
    house.engine.on_event(
        EngineEvent(EngineBack(300 * MS, 0), recovered=True, quarantined=(task_id,), cause=other)
    )
    assert "because the engine ended (SIGSEGV)" in problem()
    kinds = [type(item.reason).__name__ for item in house.reported]
    assert kinds.count("Quarantined") == 1


def test_no_task_is_shown_as_running_on_an_engine_that_was_given_up(house: House) -> None:
    for name in ("broken", "whole"):
        assert house.orchestrator.register(house.task(name)).accepted
    broken, whole = house.orchestrator._admitted
    for entry in (broken, whole):
        entry.statistics.received = 1
    cause = EngineEnded(-11)
    back = EngineBack(300 * MS, 1, failed=(("broken", "no memory"),))
    house.engine.on_event(
        EngineEvent(back, recovered=True, failed=((broken.task_id, "no memory"),), cause=cause)
    )

    def states() -> dict[str, TaskState]:
        return {each.spec.name: each.state for each in house.orchestrator.status().tasks}

    assert states() == {"broken": TaskState.FAILED, "whole": TaskState.RUNNING}
    house.engine.on_event(EngineEvent(EngineGivenUp(5, 60 * S)))
    assert states() == {"broken": TaskState.FAILED, "whole": TaskState.FAILED}
    problems = {each.spec.name: each.problem for each in house.orchestrator.status().tasks}
    assert "no memory" in problems["broken"]
    assert "deactivate and activate the orchestrator to try again" in problems["whole"]
    tried = house.engine.tried_again
    house.orchestrator.deactivate()
    house.orchestrator.activate()
    assert house.engine.tried_again == tried + 1
    house.engine.on_event(
        EngineEvent(back, recovered=True, failed=((broken.task_id, "no memory"),), cause=cause)
    )
    assert states() == {"broken": TaskState.FAILED, "whole": TaskState.RUNNING}
