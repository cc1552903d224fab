"""`aegis check` as a user meets it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane, shed_order
from aegis_ros.planning.answer import judge
from aegis_ros.planning.critical import critical_run
from aegis_ros.planning.slowdown import slowdown_of
from aegis_ros.planning.task_set import read_task_set
from test.cli.conftest import Aegis, Write
from test.cli.sets import BLOCKED, FITS, IDLING, TWO_LANES
from test.task_sets import task_sets

THINNED = """
tasks:
  - {name: pilot, period_ms: 100, segments_ms: [50]}
  - {name: text, period_ms: 100, deadline_ms: 400, segments_ms: [30], criticality: low}
  - {name: map, period_ms: 100, deadline_ms: 400, segments_ms: [30], criticality: low}
"""

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"


def test_says_yes_with_exit_code_0(aegis: Aegis, write: Write) -> None:
    said = aegis("check", write(FITS))
    assert said.code == 0
    assert "lane main: schedulable" in said.out
    assert "Every deadline holds" in said.out


def test_says_no_with_the_blocker_the_inequality_and_what_would_help(
    aegis: Aegis, write: Write
) -> None:
    said = aegis("check", write(BLOCKED))
    assert said.code == 1
    assert "NOT schedulable" in said.out
    assert "demand 2.00 + blocking 30.00 (slow) = 32.00 > t = 10.00 ms" in said.out
    assert "slow would be admitted if its network ran in 4 segments" in said.out


def test_shows_the_miss_that_the_simulator_finds(aegis: Aegis, write: Write) -> None:
    said = aegis("check", write(BLOCKED))
    assert "quick arrives at 0 ms, has its deadline at 10.00 ms and ends at 32.00 ms" in said.out


def test_json_keeps_its_form(aegis: Aegis, write: Write) -> None:
    answer = json.loads(aegis("check", write(FITS), "--format", "json").out)
    assert list(answer) == [
        "schedulable",
        "policy",
        "lanes",
        "counterfactuals",
        "rule",
        "every_nth",
        "warnings",
        "lanes_chosen",
        "generators",
        "memory",
    ]
    assert answer["lanes_chosen"] is None and answer["generators"] == []
    lane = answer["lanes"][0]
    assert list(lane) == [
        "name",
        "utilization",
        "schedulable",
        "witness",
        "tasks",
        "best_effort",
        "modes",
        "slow_device",
    ]
    assert list(lane["witness"]) == [
        "t_ms",
        "demand_ms",
        "blocking_ms",
        "blocking_task",
        "slack_ms",
    ]
    assert list(lane["tasks"][0]) == ["name", "response_bound_ms", "deadline_ms", "slack_ms"]
    assert answer["policy"] == "edf" and answer["counterfactuals"] == []


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return [_shape(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_json_is_as_documented(aegis: Aegis, write: Write) -> None:
    page = (EXAMPLES.parents[1] / "docs" / "check.md").read_text(encoding="utf-8")
    documented = json.loads(page.split("```json\n")[1].split("```")[0])
    answer = json.loads(aegis("check", write(BLOCKED), "--format", "json").out)
    answer["counterfactuals"] = [c for c in answer["counterfactuals"] if c["change"] == "segments"]
    assert _shape(answer) == _shape(documented)


def test_json_of_a_rejection_has_no_bounds_but_advice(aegis: Aegis, write: Write) -> None:
    said = aegis("check", write(BLOCKED), "--format", "json")
    assert said.code == 1
    answer = json.loads(said.out)
    lane = answer["lanes"][0]
    assert answer["rule"] == "demand_bound"
    assert lane["witness"]["blocking_task"] == "slow"
    assert lane["witness"]["slack_ms"] < 0
    assert [task["response_bound_ms"] for task in lane["tasks"]] == [None, None]
    assert {item["change"] for item in answer["counterfactuals"]} >= {"segments", "drop"}
    assert list(answer["counterfactuals"][0]) == ["task", "change", "value", "sentence"]


def test_best_effort_has_no_bound_and_shows_what_is_left_for_it(aegis: Aegis, write: Write) -> None:
    text = (
        "tasks: [{name: quick, period_ms: 10, segments_ms: [5]}, "
        "{name: vlm, period_ms: 10, segments_ms: [5, 5], criticality: best_effort}]"
    )
    said = aegis("check", write(text))
    assert said.code == 0 and "lane main: schedulable, U = 50.0%" in said.out
    assert "vlm runs in the slack: no deadline is promised" in said.out
    assert "50 of 100 frames a second" in said.out
    lane = json.loads(aegis("check", write(text), "--format", "json").out)["lanes"][0]
    assert lane["best_effort"] == [{"name": "vlm", "asked_hz": 100.0, "left_hz": 50.0}]
    assert lane["tasks"][1]["response_bound_ms"] is None
    assert aegis("simulate", write(text)).code == 0


def test_what_fits_with_fewer_frames_only_says_which(aegis: Aegis, write: Write) -> None:
    said = aegis("check", write(THINNED))
    assert said.code == 0
    assert "but not every frame is taken" in said.out
    assert "text takes every 2nd frame (5.0 instead of 10.0 a second)" in said.out
    assert "below that, tasks of low criticality take fewer frames" in said.out
    answer = json.loads(aegis("check", write(THINNED), "--format", "json").out)
    assert answer["schedulable"] and answer["every_nth"] == {"text": 2}
    assert answer["lanes"][0]["slow_device"]["sheds_first"] == []


def test_a_task_that_wants_every_frame_is_not_decimated(aegis: Aegis, write: Write) -> None:
    every = THINNED.replace("criticality: low", "criticality: low, max_decimation: 1")
    said = aegis("check", write(every))
    assert said.code == 1 and "every 2nd frame" not in said.out
    assert aegis("whatif", write(every), "--set", "map.max_decimation=2").code == 0
    assert aegis("whatif", write(every), "--set", "map.thin_to=2").code == 0  # its old name
    refused = aegis("check", write(THINNED.replace("[50]", "[50], max_decimation: 3")))
    assert refused.code == 2 and "low criticality" in refused.out + refused.err


def test_every_lane_is_reported(aegis: Aegis, write: Write) -> None:
    said = aegis("check", write(TWO_LANES))
    assert said.code == 0
    assert "lane left: schedulable" in said.out and "lane right: schedulable" in said.out
    assert "Lanes were chosen by first fit" in said.out


def test_a_policy_that_idles_says_for_which_arrivals_it_promises(
    aegis: Aegis, write: Write
) -> None:
    said = aegis("check", write(IDLING))
    assert said.code == 0
    assert "strictly periodic and begin together, and only for those" in said.out


def test_another_policy_that_would_do_is_mentioned(aegis: Aegis, write: Write) -> None:
    said = aegis("check", write(IDLING.replace("cw_edf", "edf")))
    assert said.code == 1
    assert "With policy: cw_edf" in said.out


def test_an_overload_that_no_single_change_resolves_says_what_to_shed(
    aegis: Aegis, write: Write
) -> None:
    text = "tasks: [{name: a, period_ms: 10, segments_ms: [4], copies: 6}]"
    said = aegis("check", write(text))
    assert said.code == 1
    assert "the other 2 tasks would be admitted without" in said.out


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_terminal(
    aegis: Aegis, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    said = aegis("check", str(EXAMPLES / "driving_stack.yaml"))
    assert "\x1b[" in said.out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said.out)
    assert max(len(line) for line in plain.splitlines()) <= columns
    assert "vlm_caption" in plain and "…" not in plain


def test_a_pipe_gets_no_colours(aegis: Aegis, write: Write) -> None:
    assert "\x1b[" not in aegis("check", write(FITS)).out


def test_times_are_taken_as_written_and_rounded_to_the_safe_side(write: Write) -> None:
    text = (
        "tasks: [{name: a, period_ms: 33.3, deadline_ms: 0.3000009, jitter_ms: 0.0000001, "
        "segments_ms: [0.1000001]}]\nswitch_us: 0.1"
    )
    asked = read_task_set(Path(write(text)))
    task = asked.tasks[0]
    assert (task.period_ns, task.deadline_ns, task.jitter_ns) == (33_300_000, 300_000, 1)
    assert task.segments_ns == (100_001,)
    assert asked.switch_ns == 100


def test_the_critical_instant_begins_when_the_others_become_ready(write: Write) -> None:
    answer = judge(read_task_set(Path(write(BLOCKED))))
    run = critical_run(answer, answer.deciding)
    assert run is not None and run.first_miss is not None
    assert run.first_miss.task == "quick"
    assert run.first_miss.finished_ns == 31_999_999  # the blocker began a nanosecond before


@pytest.mark.parametrize(("name", "code"), [("driving_stack", 0), ("driving_stack_overloaded", 1)])
def test_examples_say_what_they_are_there_to_show(aegis: Aegis, name: str, code: int) -> None:
    said = aegis("check", str(EXAMPLES / f"{name}.yaml"), "--format", "json")
    assert said.code == code
    answer = json.loads(said.out)
    if not code:
        assert sum(len(lane["tasks"]) for lane in answer["lanes"]) == 12


def test_help_has_examples(aegis: Aegis) -> None:
    for command in ("check", "simulate", "whatif"):
        said = aegis(command, "--help")
        assert said.code == 0
        assert f"aegis {command} " in said.out and "Exit code" in said.out


def test_how_slow_the_device_may_become_and_what_goes_first_is_reported(
    aegis: Aegis, write: Write
) -> None:
    text = (
        "switch_us: 100\ntasks: [{name: a, period_ms: 10, segments_ms: [3.9]}, "
        "{name: b, period_ms: 20, segments_ms: [3.9], criticality: best_effort}]"
    )
    said = aegis("check", write(text))
    assert (
        "All deadlines hold down to 80.0% of the device's nominal speed" in said.out
    )  # 4 + 4 of the first 10 ms
    assert "below that, b would be shed first" in said.out
    lane = json.loads(aegis("check", write(text), "--format", "json").out)["lanes"][0]
    assert lane["slow_device"] == {"slowest_speed": pytest.approx(0.8), "sheds_first": ["b"]}
    for none in (BLOCKED, IDLING):
        lane = json.loads(aegis("check", write(none), "--format", "json").out)["lanes"][0]
        assert lane["slow_device"] is None


def test_a_full_lane_has_nothing_in_reserve(aegis: Aegis, write: Write) -> None:
    said = aegis("check", write("tasks: [{name: a, period_ms: 10, segments_ms: [10]}]"))
    assert said.code == 0
    assert (
        "hold only at the full speed of the device; below that, a would be shed first" in said.out
    )


@given(task_sets(), st.integers(0, 3))
def test_all_deadlines_hold_at_the_slowest_speed(tasks: list[AnalysisTask], switch: int) -> None:
    assume(check_lane(tasks, switch_ns=switch).schedulable)
    found = slowdown_of(tasks, switch)
    assert found is not None and 0.0 < found.slowest_speed <= 1.0
    assert shed_order(tasks, found.slowest_speed, switch_ns=switch) == ()
