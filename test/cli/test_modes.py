"""Tasks that may exceed their budgets, in every command, as a user meets them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import assign
from aegis_ros.planning.answer import Answer, judge
from aegis_ros.planning.critical import case_of, critical_run
from aegis_ros.planning.modes import with_tight_bounds
from aegis_ros.planning.task_set import TaskSet, read_task_set
from aegis_ros.simulation import bursty_arrivals, simulate
from aegis_ros.spec import Criticality
from test.cli.conftest import Aegis, Write
from test.cli.sets import BLOCKED, FITS, MIXED
from test.task_sets import task_sets

EXAMPLE = Path(__file__).parents[2] / "config" / "examples" / "mixed_criticality.yaml"
HOPELESS = MIXED.replace("high_segments_ms: [7]", "high_segments_ms: [19]")


def test_high_budgets_are_read_and_rounded_up(write: Write) -> None:
    text = MIXED.replace("high_segments_ms: [7]", "high_segments_ms: [7.0000001]")
    assert read_task_set(Path(write(text))).tasks[0].high_segments_ns == (7_000_001,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("high_segments_ms: [7, 1]", "tasks[0].high_segments_ms: one high budget a segment"),
        ("high_segments_ms: [2]", "tasks[0].high_segments_ms[0]: below the budget"),
        ("high_segments_ms: []", "tasks[0].high_segments_ms: not valid"),
        ("high_segments_ms: [0]", "tasks[0].high_segments_ms[0]: out of range"),
        ("high_segments_ms: [7], criticality: low", "only a task of high criticality"),
    ],
)
def test_high_budgets_that_do_not_fit_are_refused(
    aegis: Aegis, write: Write, wrong: str, message: str
) -> None:
    said = aegis("check", write(MIXED.replace("high_segments_ms: [7]", wrong)))
    assert said.code == 2
    assert message in said.err


def test_both_modes_and_what_is_dropped_in_which_order_are_reported(
    aegis: Aegis, write: Write
) -> None:
    said = aegis("check", write(MIXED))
    assert said.code == 0
    assert "Low mode (no budget is exceeded): schedulable, U = 75.0%" in said.out
    assert "High mode" in said.out
    assert "U = 35.0%, vlm and mapper dropped, in this order" in said.out
    assert "Virtual deadlines in low mode: pilot" in said.out
    assert "where a budget is exceeded, those of high criticality" in said.out


def test_json_reports_both_modes_and_null_where_there_is_one(aegis: Aegis, write: Write) -> None:
    lane = json.loads(aegis("check", write(MIXED), "--format", "json").out)["lanes"][0]
    modes = lane["modes"]
    assert list(modes) == ["low", "high", "sheds", "virtual_deadlines_ms"]
    assert modes["low"] == {"schedulable": True, "utilization": pytest.approx(0.75)}
    assert modes["high"] == {"schedulable": True, "utilization": pytest.approx(0.35)}
    assert modes["sheds"] == ["vlm", "mapper"]
    assert 3 <= modes["virtual_deadlines_ms"]["pilot"] <= 13
    assert lane["utilization"] == pytest.approx(0.75)
    lane = json.loads(aegis("check", write(FITS), "--format", "json").out)["lanes"][0]
    assert lane["modes"] is None


def test_a_set_that_holds_in_low_mode_only_is_refused_with_a_miss_that_shows_it(
    aegis: Aegis, write: Write
) -> None:
    said = aegis("check", write(HOPELESS.replace("[3]", "[3.5]")))
    assert said.code == 1
    assert "Low mode (no budget is exceeded): schedulable" in said.out
    assert "NOT schedulable" in said.out and "Simulated (every budget exceeded" in said.out
    assert "ms late" in said.out


def test_a_policy_that_drops_nothing_counts_high_budgets_always(aegis: Aegis, write: Write) -> None:
    calm = MIXED.replace("segments_ms: [6, 6]", "segments_ms: [5]")
    said = aegis("check", write(calm + "\npolicy: cw_edf"))
    assert said.code == 0
    assert "high budgets always count" in said.out and "Low mode" not in said.out
    said = aegis("simulate", write(calm + "\npolicy: cw_edf"), "--overrun", "0.5")
    assert said.code == 0 and "dropped" not in said.out


def test_overruns_drop_what_is_below_and_make_nothing_late(aegis: Aegis, write: Write) -> None:
    said = aegis("simulate", write(MIXED), "--overrun", "0.2", "--format", "json")
    assert said.code == 0
    answer = json.loads(said.out)
    assert answer["missed"] == 0 and answer["dropped"] > 0 and answer["overrun"] == 0.2
    tasks = {task["name"]: task for task in answer["lanes"][0]["tasks"]}
    assert tasks["pilot"]["dropped"] == 0
    assert tasks["pilot"]["response_max_ms"] >= 7.0
    assert answer["dropped"] == tasks["mapper"]["dropped"] + tasks["vlm"]["dropped"]
    assert tasks.pop("vlm")["response_bound_ms"] is None
    assert all(task["response_max_ms"] <= task["response_bound_ms"] for task in tasks.values())


def test_overruns_are_partial_where_times_are_uniform(aegis: Aegis, write: Write) -> None:
    alone = "tasks: [{name: a, period_ms: 20, segments_ms: [3], high_segments_ms: [7]}]"
    options = ("--overrun", "0.5", "--execution", "uniform", "--format", "json")
    task = json.loads(aegis("simulate", write(alone), *options).out)["lanes"][0]["tasks"][0]
    assert 6.0 < task["response_max_ms"] < 7.0 and task["response_p50_ms"] < 7.0


def test_without_overruns_nothing_is_dropped(aegis: Aegis, write: Write) -> None:
    for arrivals in ("sporadic", "bursty", "critical"):
        said = aegis("simulate", write(MIXED), "--arrivals", arrivals)
        assert said.code == 0 and "dropped" not in said.out


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        (MIXED, "1.5", "--overrun: not a probability (got 1.5)"),
        (MIXED, "-0.1", "--overrun: not a probability"),
        (MIXED, "nan", "--overrun: not a probability"),
        (FITS, "0.5", "--overrun: no task may exceed its budgets"),
    ],
)
def test_overruns_that_cannot_be_are_refused(
    aegis: Aegis, write: Write, text: str, value: str, message: str
) -> None:
    said = aegis("simulate", write(text), f"--overrun={value}")
    assert said.code == 2
    assert message in said.err


def test_a_change_of_budgets_keeps_the_ratio_of_the_high_ones(aegis: Aegis, write: Write) -> None:
    path = write(MIXED)
    for change in ("pilot.wcet_ms=1.5", "pilot.segments_ms=1;0.5"):
        said = aegis("whatif", path, "--set", change, "--format", "json")
        modes = json.loads(said.out)["after"]["lanes"][0]["modes"]
        assert modes["low"]["utilization"] == pytest.approx(0.675)
        assert modes["high"]["utilization"] == pytest.approx(0.775)  # nothing is dropped


def test_high_budgets_can_be_changed_added_and_taken_away(aegis: Aegis, write: Write) -> None:
    path = write(MIXED)

    def modes_after(*change: str) -> object:
        said = aegis("whatif", path, *change, "--format", "json")
        assert said.err == ""
        return json.loads(said.out)["after"]["lanes"][0]["modes"]

    assert modes_after("--set", "pilot.criticality=low") is None
    assert modes_after("--set", "pilot.high_segments_ms=7.5") is not None
    assert modes_after("--add", "name=x,period_ms=90,segments_ms=1;1,high_segments_ms=2;2")


def test_the_example_drops_something(aegis: Aegis) -> None:
    said = aegis("check", str(EXAMPLE), "--format", "json")
    assert said.code == 0
    assert json.loads(said.out)["lanes"][0]["modes"]["sheds"] == ["caption", "signs", "lane_marks"]


def test_pictures_are_drawn_of_what_holds_and_of_what_does_not(
    aegis: Aegis, write: Write, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    for text, code in ((MIXED, 0), (HOPELESS, 1)):
        picture = tmp_path / f"{code}.svg"
        assert aegis("check", write(text), "--plot", str(picture)).code == code
        assert picture.stat().st_size > 10_000


def test_what_is_dropped_is_marked_in_the_picture(
    aegis: Aegis, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(__import__("matplotlib").rcParams, "svg.fonttype", "none")
    for overrun in ("0.5", "0"):
        picture = tmp_path / f"{overrun}.svg"
        aegis("simulate", write(MIXED), "--overrun", overrun, "--plot", str(picture))
        assert (">dropped<" in picture.read_text("utf-8")) is (overrun != "0")


@st.composite
def _mixed(draw: st.DrawFn) -> TaskSet:
    tasks = []
    for task in draw(task_sets()):
        level = draw(st.sampled_from(list(Criticality)))
        high = tuple(part + draw(st.integers(0, 2 * part)) for part in task.segments_ns)
        tasks.append(
            replace(
                task,
                criticality=level,
                high_segments_ns=high if level is Criticality.HIGH else (),
                deadline_ns=task.deadline_ns + draw(st.integers(0, 60)),
            )
        )
    return TaskSet(tuple(tasks), ("main",), draw(st.integers(0, 2)))


@given(_mixed())
def test_bounds_shown_are_the_smaller_ones_and_hold_in_both_modes(asked: TaskSet) -> None:
    found = assign(asked.tasks, asked.lanes, switch_ns=asked.switch_ns)
    assume(found.schedulable)
    answer = Answer(asked, with_tight_bounds(found, asked.tasks, asked.switch_ns), ())
    tasks = answer.on_lane("main")
    for loose in found.verdicts["main"].responses:
        bound = answer.bound_of(loose.task)
        assert bound is not None and bound.bound_ns <= loose.bound_ns
    jobs = bursty_arrivals(tasks, 1_000)
    highs = [task.high_segments_ns or task.segments_ns for task in tasks]
    for every in (0, 1, 3):  # nobody overruns, everybody, every third job
        execution = [
            highs[task] if every and place % every == 0 else parts
            for place, (task, parts) in enumerate(
                zip(jobs.task.tolist(), jobs.execution_ns, strict=True)
            )
        ]
        outcome = simulate(
            tasks,
            replace(jobs, execution_ns=execution),
            switch_ns=asked.switch_ns,
            policy=answer.policy_of("main"),
            low=answer.low_plans("main"),
        )
        for item in outcome.figures():
            bound = answer.bound_of(item.name)
            assert bound is None or item.response_max_ns <= bound.bound_ns


@given(_mixed())
def test_what_is_shown_of_a_lane_is_decided_like_the_lane(asked: TaskSet) -> None:
    answer = judge(asked, advise=False)
    case = case_of(answer, answer.deciding)
    assert case.verdict.schedulable == answer.schedulable or case.verdict is answer.deciding
    shown = critical_run(answer, answer.deciding, 200 if answer.schedulable else None)
    if shown is not None and answer.schedulable:
        assert shown.first_miss is None


def test_a_set_without_high_budgets_is_shown_as_it_is(write: Write) -> None:
    answer = judge(read_task_set(Path(write(BLOCKED))))
    assert case_of(answer, answer.deciding).words == ""
