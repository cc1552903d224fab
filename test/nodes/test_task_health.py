"""What the diagnosis of a task says, as a table: counts and reasons in, level and message out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.device import DeviceState
from aegis_ros.nodes.hearing import Hearing
from aegis_ros.nodes.task_health import Level, judge_task
from aegis_ros.orchestrator import (
    Dropped,
    StampVerdict,
    TaskState,
    TaskSummary,
    TopicStamps,
    Unanswered,
)
from aegis_ros.orchestrator.window import Growth
from aegis_ros.rationale.frames import (
    BadFrame,
    FrameShed,
    FrameTooEarly,
    NewerFrame,
    PublisherOfOtherType,
)
from aegis_ros.rationale.jobs import JobFailed, JobNotRun
from aegis_ros.rationale.names import Rule
from aegis_ros.rationale.results import DecoderFailed, NotPublished
from aegis_ros.spec import Criticality, DiagnosticsSpec, SourceSpec, TriggerSpec
from test.orchestrator.house import MS, House

S = 1000 * MS
WITHIN = Growth(50, 5 * S)
TOPIC = "/eye/image"

BAD = BadFrame("eye", 9, TOPIC, "encoding: rgb16 cannot be used")
FAILED = JobFailed("eye", 9, "ValueError: no such kernel")
NEWER = NewerFrame("eye", 9)
EARLY = FrameTooEarly("eye", 9, TOPIC, 100 * MS, 5 * MS)
NO_ENGINE = JobNotRun("eye", 9, Rule.ENGINE_RESTART, "the engine is not running")
UNDECODED = DecoderFailed("eye", 9, "boxes", "IndexError: too few rows")


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> TaskSummary:
    """A task of 10 Hz that is well."""
    house = House(tmp_path_factory.mktemp("house"))
    house.start()
    house.orchestrator.register(house.task("eye"))
    (task,) = house.orchestrator.status().tasks
    return replace(
        task,
        state=TaskState.RUNNING,
        received=1000,
        completed=1000,
        awaited_s=600.0,
        received_age_s=0.02,
        result_age_s=0.02,
        rate_hz=10.0,
        response_p99_ns=30 * MS,
        came=WITHIN,
        gave=WITHIN,
    )


def _since(frames: int, for_ns: int, *dropped: Dropped) -> dict[str, Any]:
    return {"unanswered": Unanswered(frames, for_ns, dropped)}


def _lately(frames: int, reason: Any, results: int = 50) -> dict[str, Any]:
    return {"dropped": (Dropped(reason, frames),), "gave": Growth(results, 5 * S)}


TABLE: tuple[tuple[str, dict[str, Any], Level, str], ...] = (
    ("all is well", {}, Level.OK, "10.0 results a second, p99 30.0 of 100 ms"),
    (
        "every frame is of an encoding that cannot be used",
        _since(40, 4 * S, Dropped(BAD, 40)),
        Level.ERROR,
        "no result from 40 frames in 4.0 s: 40 by bad_frame, the last because a frame on "
        "/eye/image was skipped: encoding: rgb16 cannot be used",
    ),
    (
        "the network fails on every job",
        _since(31, 3 * S, Dropped(FAILED, 29), Dropped(NEWER, 2)),
        Level.ERROR,
        "no result from 31 frames in 3.0 s: 29 by run_failed, the last because job 9 of eye failed "
        "while it ran: ValueError: no such kernel; 2 by newer_frame",
    ),
    (
        "every frame of a camera that is three times as fast cannot be used",
        _since(90, 3 * S, Dropped(EARLY, 60), Dropped(BAD, 30)),
        Level.ERROR,
        "no result from 90 frames in 3.0 s: 30 by bad_frame, the last because a frame on "
        "/eye/image was skipped: encoding: rgb16 cannot be used; 60 by rate_gate",
    ),
    (
        "jobs fail so slowly that most frames are replaced",
        _since(90, 3 * S, Dropped(NEWER, 60), Dropped(FAILED, 20), Dropped(EARLY, 10)),
        Level.ERROR,
        "20 by run_failed, the last because job 9 of eye failed while it ran",
    ),
    (
        "no result can be published",
        _since(20, 2 * S, Dropped(NotPublished("eye", 9, "no space"), 20)),
        Level.ERROR,
        "20 by decoder_failed, the last because the result of job 9 of eye could not be published",
    ),
    (
        "frames go in and nothing ever ends",
        _since(20, 2 * S),
        Level.ERROR,
        "no result from 20 frames in 2.0 s, and none of them has ended",
    ),
    ("it began a moment ago", _since(5, S // 2), Level.OK, "results a second"),
    ("two frames were bad", _since(2, 3 * S, Dropped(BAD, 2)), Level.OK, "results a second"),
    (
        "best effort gets no time",
        {
            "criticality": Criticality.BEST_EFFORT,
            **_since(40, 4 * S, Dropped(NEWER, 40)),
        },
        Level.WARN,
        "40 by newer_frame",
    ),
    (
        "best effort fails on every job",
        {
            "criticality": Criticality.BEST_EFFORT,
            **_since(40, 4 * S, Dropped(FAILED, 30), Dropped(NEWER, 10)),
        },
        Level.ERROR,
        "30 by run_failed",
    ),
    (
        "it takes every 8th frame",
        {"decimation": 8, **_since(3, 2 * S, Dropped(BAD, 3))},
        Level.OK,
        "results a second from every 8th frame",
    ),
    (
        "it failed for good",
        {"state": TaskState.FAILED, "problem": "eye could not be loaded again: no memory"},
        Level.ERROR,
        "eye could not be loaded again: no memory",
    ),
    ("it is disabled", {"state": TaskState.DISABLED}, Level.OK, "disabled on request"),
    (
        "it is shed",
        {
            "state": TaskState.SHED,
            **_since(9, S, Dropped(FrameShed("eye", 9, TOPIC), 9)),
        },
        Level.WARN,
        "shed, no frame of it runs: a frame on /eye/image was skipped: eye is shed until the "
        "device is faster",
    ),
    (
        "every fifth frame is bad",
        _lately(10, BAD, results=40),
        Level.WARN,
        "10 of the last 50 frames gave no result: 10 by bad_frame, the last because",
    ),
    ("one frame in fifty is bad", _lately(1, BAD), Level.OK, "results a second"),
    (
        "an engine was lost and is back",
        _lately(8, NO_ENGINE, results=42),
        Level.WARN,
        "8 by engine_restart",
    ),
    ("the camera is faster than it needs", _lately(100, EARLY), Level.OK, "results a second"),
    (
        "the gate takes frames that are missed",
        _lately(10, EARLY, results=40),
        Level.WARN,
        "10 by rate_gate, the last because a frame on /eye/image arrived earlier",
    ),
    (
        "its decoder fails on every result",
        {"undecoded_lately": Growth(50, 5 * S), "undecoded_reason": UNDECODED},
        Level.ERROR,
        "50 of the last 50 results were published without what their decoder makes of them; the "
        "last: decoder boxes failed on job 9 of eye",
    ),
    (
        "its decoder fails now and then",
        {"undecoded_lately": Growth(5, 5 * S), "undecoded_reason": UNDECODED},
        Level.WARN,
        "5 of the last 50 results",
    ),
    (
        "results hold no numbers",
        {"not_finite_lately": Growth(7, 5 * S)},
        Level.WARN,
        "7 results of the last 5 s hold NaN",
    ),
    (
        "every picture takes most of the period to decode",
        {"slow_unpacking_lately": Growth(50, 5 * S), "slow_unpacking_ns": 83 * MS},
        Level.WARN,
        "took more than 50 ms, half of the period, for 50 of the last 50 frames, the last time "
        "83 ms: have smaller images published",
    ),
    (
        "results are late because of that",
        {"missed": 5, "slow_unpacking_lately": Growth(20, 5 * S), "slow_unpacking_ns": 83 * MS},
        Level.WARN,
        "5 of 1000 results were late; decoding or copying took more than 50 ms",
    ),
    (
        "one picture took long",
        {"slow_unpacking_lately": Growth(1, 5 * S), "slow_unpacking_ns": 83 * MS},
        Level.OK,
        "results a second",
    ),
    (
        "few pictures took long",
        {"slow_unpacking_lately": Growth(5, 5 * S), "slow_unpacking_ns": 83 * MS},
        Level.OK,
        "results a second",
    ),
    ("a few results were late", {"missed": 5}, Level.WARN, "5 of 1000 results were late"),
    ("many results were late", {"missed": 500}, Level.ERROR, "500 of 1000 results were late"),
    (
        "every frame is older than its deadline when it comes",
        {
            "missed": 1000,
            "stamps": (TopicStamps(TOPIC, StampVerdict.BEHIND, 4 * S),),
        },
        Level.ERROR,
        "frames on /eye/image are at least 4.0 s old by their stamps when they arrive, more than "
        "the deadline: synchronise the sender's clock",
    ),
    (
        "stamps are from the future",
        {"stamps": (TopicStamps(TOPIC, StampVerdict.AHEAD, -3 * S),)},
        Level.WARN,
        "the stamps on /eye/image are at least 3.0 s ahead of this node's clock, and responses "
        "are measured from reception",
    ),
    (
        "stamps are from the future, and results are late as well",
        {"missed": 5, "stamps": (TopicStamps(TOPIC, StampVerdict.AHEAD, -3 * S),)},
        Level.WARN,
        "with jitter_ms; the stamps on /eye/image are at least 3.0 s ahead of this node's clock",
    ),
    (
        "half the frames come",
        {"came": Growth(25, 5 * S), "gave": Growth(25, 5 * S)},
        Level.WARN,
        "receives 5.0 frames a second of 10.0 declared",
    ),
    ("one frame less came", {"came": Growth(44, 5 * S)}, Level.OK, "results a second"),
)


@pytest.mark.parametrize(
    ("changes", "level", "says"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_a_task_s_diagnosis_says(
    well: TaskSummary, changes: dict[str, Any], level: Level, says: str
) -> None:
    fields = dict(changes)
    criticality = fields.pop("criticality", well.spec.criticality)
    task = replace(well, spec=replace(well.spec, criticality=criticality), **fields)
    verdict = judge_task(
        task, Hearing(publishers=1), active=True, engine_runs=True, limits=DiagnosticsSpec()
    )
    assert (verdict.level, says in verdict.message) == (level, True), verdict.message


OTHER = PublisherOfOtherType("eye", TOPIC, "/driver", "CompressedImage", "Image")
AROUND: tuple[tuple[str, Hearing, dict[str, bool], Level, str], ...] = (
    ("no driver", Hearing(), {}, Level.WARN, "/eye/image has no publisher"),
    ("another type", Hearing(0, (OTHER,)), {}, Level.ERROR, "CompressedImage"),
    ("another type beside", Hearing(1, (OTHER,)), {}, Level.WARN, "CompressedImage"),
    ("inactive", Hearing(), {"active": False}, Level.OK, "runs once the node is active"),
    ("no engine", Hearing(1), {"engine_runs": False}, Level.ERROR, "no engine runs"),
)


@pytest.mark.parametrize(
    ("hearing", "changes", "level", "says"), [row[1:] for row in AROUND], ids=[r[0] for r in AROUND]
)
def test_what_is_around_a_task_is_named_first(
    well: TaskSummary, hearing: Hearing, changes: dict[str, bool], level: Level, says: str
) -> None:
    around = {"active": True, "engine_runs": True} | changes
    verdict = judge_task(well, hearing, limits=DiagnosticsSpec(), **around)
    assert (verdict.level, says in verdict.message) == (level, True), verdict.message


def test_a_stage_of_a_chain_is_well_while_the_first_finds_nothing(well: TaskSummary) -> None:
    spec = replace(well.spec, input=None, trigger=TriggerSpec(task="detector"))
    for changes in ({"received_age_s": 30.0}, {"received": 0}, {"came": Growth(3, 5 * S)}):
        verdict = judge_task(
            replace(well, spec=spec, **changes),  # type: ignore[arg-type]
            Hearing(publishers=1),
            active=True,
            engine_runs=True,
            limits=DiagnosticsSpec(),
        )
        assert verdict.level is Level.OK, verdict.message


def test_each_of_several_silent_topics_gets_a_command(well: TaskSummary) -> None:
    inputs = {name: SourceSpec(topic=name) for name in (TOPIC, "/ear/sound")}
    task = replace(well, spec=replace(well.spec, input=None, inputs=inputs), received_age_s=30.0)
    verdict = judge_task(
        task, Hearing(publishers=2), active=True, engine_runs=True, limits=DiagnosticsSpec()
    )
    assert "/eye/image, /ear/sound are silent" in verdict.message
    assert "(ros2 topic hz /eye/image; ros2 topic hz /ear/sound)" in verdict.message


def test_a_topic_that_fell_silent_is_named_before_what_it_last_brought(well: TaskSummary) -> None:
    task = replace(well, received_age_s=30.0, **_since(40, 34 * S, Dropped(BAD, 40)))
    verdict = judge_task(
        task, Hearing(publishers=1), active=True, engine_runs=True, limits=DiagnosticsSpec()
    )
    assert verdict.level is Level.WARN and "is silent" in verdict.message


_TIMES = (  # publishers, frames ever, age of the last, let in for: level, what it says
    ("no driver yet", 0, 0, -1.0, 4.0, Level.OK, "waits for the first frame on /eye/image"),
    ("no driver", 0, 0, -1.0, 6.0, Level.WARN, "/eye/image has no publisher; start the driver"),
    ("not let in yet", 0, 0, -1.0, 0.0, Level.OK, "waits for the first frame"),
    ("no frame yet", 1, 0, -1.0, 0.9, Level.OK, "waits for the first frame"),
    ("never a frame", 1, 0, -1.0, 1.1, Level.WARN, "/eye/image is silent although 1 publisher(s)"),
    ("resumed", 1, 9, 60.0, 0.5, Level.OK, "results a second"),
    ("resumed for long", 1, 9, 60.0, 2.0, Level.WARN, "is silent although"),
    ("silent", 1, 9, 2.0, 60.0, Level.WARN, "is silent although"),
    ("the driver has just gone", 0, 9, 0.1, 60.0, Level.WARN, "has no publisher"),
    ("resumed before the graph is known", 0, 9, 60.0, 4.0, Level.OK, "results a second"),
)


@pytest.mark.parametrize(
    ("publishers", "received", "age_s", "awaited_s", "level", "says"),
    [row[1:] for row in _TIMES],
    ids=[row[0] for row in _TIMES],
)
def test_a_topic_without_frames_is_told_once_they_could_have_come(
    well: TaskSummary,
    publishers: int,
    received: int,
    age_s: float,
    awaited_s: float,
    level: Level,
    says: str,
) -> None:
    task = replace(well, received=received, received_age_s=age_s, awaited_s=awaited_s)
    hearing = Hearing(publishers=publishers)
    verdict = judge_task(task, hearing, active=True, engine_runs=True, limits=DiagnosticsSpec())
    assert (verdict.level, says in verdict.message) == (level, True), verdict.message


def test_a_slow_topic_may_take_ten_periods_for_its_first_frame(well: TaskSummary) -> None:
    slow = replace(well, spec=replace(well.spec, period_ns=2 * S), received=0)
    for awaited_s, level in ((19.0, Level.OK), (21.0, Level.WARN)):
        verdict = judge_task(
            replace(slow, awaited_s=awaited_s),
            Hearing(publishers=1),
            active=True,
            engine_runs=True,
            limits=DiagnosticsSpec(),
        )
        assert verdict.level is level, verdict.message


def test_frames_are_awaited_while_they_are_let_in(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    orchestrator = house.orchestrator

    def awaited_s() -> float:
        orchestrator.device_changed(DeviceState())
        (task,) = orchestrator.status().tasks
        return task.awaited_s

    assert orchestrator.register(house.task("eye")).accepted
    first, second = awaited_s(), awaited_s()
    assert 0.0 < first < second
    orchestrator.set_enabled("eye", False)
    assert awaited_s() == 0.0
    orchestrator.set_enabled("eye", True)
    assert awaited_s() > 0.0
    orchestrator.deactivate()
    assert awaited_s() == 0.0
    orchestrator.cleanup()
