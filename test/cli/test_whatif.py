"""`aegis whatif` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aegis_ros.planning.changes import changed
from aegis_ros.planning.task_set import read_task_set
from test.cli.conftest import Aegis, Write
from test.cli.sets import BLOCKED, FITS, IDLING, TWO_LANES


def test_a_task_too_many_turns_yes_to_no_and_both_are_reported(aegis: Aegis, write: Write) -> None:
    said = aegis("whatif", write(FITS), "--add", "name=big,period_ms=100,segments_ms=[30]")
    assert said.code == 1
    assert "before: schedulable, after: NOT schedulable" in said.out
    assert "lane main: U 40.0% → 70.0%" in said.out
    assert "big" in said.out


def test_dropping_the_blocker_turns_no_to_yes(aegis: Aegis, write: Write) -> None:
    path = write(BLOCKED)
    said = aegis("whatif", path, "--drop", "slow", "--format", "json")
    assert said.code == 0
    answer = json.loads(said.out)
    assert list(answer) == ["before", "after", "changes"]
    assert (answer["before"]["schedulable"], answer["after"]["schedulable"]) == (False, True)
    assert answer["changes"] == ["drop slow"]


def test_what_check_advises_is_enough(aegis: Aegis, write: Write) -> None:
    path = write(BLOCKED)
    advice = json.loads(aegis("check", path, "--format", "json").out)["counterfactuals"]
    for item in advice:
        if item["change"] == "drop":
            change = [part for name in item["task"].split(", ") for part in ("--drop", name)]
        elif item["change"] == "segments":
            parts = ";".join(["7.5"] * int(item["value"]))
            change = ["--set", f"{item['task']}.segments_ms={parts}"]
        else:
            change = ["--set", f"{item['task']}.{item['change']}={item['value']}"]
        assert aegis("whatif", path, *change).code == 0, item["sentence"]


def test_changes_are_made_in_order_drop_set_add(write: Write) -> None:
    asked = read_task_set(Path(write(FITS)))
    after = changed(
        asked,
        add=["name=b,period_ms=40,segments_ms=1;2;3,jitter_ms=2,criticality=low"],
        drop=["b"],
        change=["a.period_ms=12", "a.jitter_ms=1", "switch_us=50", "policy=cw_edf"],
    )
    first, second = after.tasks
    assert (first.period_ns, first.deadline_ns, first.jitter_ns) == (
        12_000_000,
        12_000_000,
        1_000_000,
    )
    assert second.segments_ns == (1_000_000, 2_000_000, 3_000_000)
    assert (after.switch_ns, after.policy) == (50_000, "cw_edf")


def test_a_declared_deadline_stays_when_the_period_moves(write: Write) -> None:
    asked = read_task_set(
        Path(write(FITS.replace("period_ms: 10", "period_ms: 10, deadline_ms: 8")))
    )
    after = changed(asked, add=(), drop=(), change=["a.period_ms=12"])
    assert (after.tasks[0].period_ns, after.tasks[0].deadline_ns) == (12_000_000, 8_000_000)


def test_a_budget_is_shared_among_the_segments_as_before(write: Write) -> None:
    asked = read_task_set(Path(write(FITS)))
    after = changed(asked, add=(), drop=(), change=["b.wcet_ms=6"])
    assert after.tasks[1].segments_ns == (3_000_000, 3_000_000)


def test_copies_multiply_a_task(write: Write) -> None:
    asked = read_task_set(Path(write(FITS)))
    after = changed(asked, add=(), drop=(), change=["a.copies=3"])
    assert [task.name for task in after.tasks] == ["a_1", "a_2", "a_3", "b"]


def test_a_task_can_be_moved_to_another_lane(aegis: Aegis, write: Write) -> None:
    path = write(TWO_LANES)
    assert aegis("whatif", path, "--set", "a.lane=right").code == 0
    assert aegis("whatif", path, "--set", "a.lane=right", "--set", "b.lane=right").code == 1


def test_another_policy_can_be_tried(aegis: Aegis, write: Write) -> None:
    path = write(IDLING.replace("cw_edf", "edf"))
    assert aegis("whatif", path, "--set", "policy=cw_edf").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--drop", "aa"), "Did you mean 'a'?"),
        (("--drop", "a", "--drop", "b"), "no task is left"),
        (("--set", "a.perod_ms=5"), "Did you mean 'period_ms'?"),
        (("--set", "c.period_ms=5"), "there is no such task (got c)"),
        (("--set", "a.period_ms"), "not a change"),
        (("--set", "a.period_ms=fast"), "not a number (got fast)"),
        (("--set", "a.period_ms=0"), "period_ms: out of range"),
        (("--set", "a.period_ms=1e30"), "period_ms: out of range"),
        (("--set", "a.wcet_ms=0"), "a number above 0"),
        (("--set", "a.copies=1.5"), "not a whole number"),
        (("--set", "a.lane=nowhere"), "there is no such lane"),
        (("--set", "policy=cwedf"), "Did you mean 'cw_edf'?"),
        (("--set", "switch_us=-1"), "out of range"),
        (("--set", "swich_us=1"), "Did you mean 'switch_us'?"),
        (("--add", "x"), "not a task"),
        (("--add", "name=x,period_ms=5,segments_ms=0"), "segments_ms[0]: out of range"),
        (("--add", "name=x,period_ms=5,segment_ms=1"), "Did you mean 'segments_ms'?"),
        (("--add", "name=a,period_ms=5,segments_ms=1"), "the name is taken (got a)"),
        (("--add", "name=x,name=y"), "the key stands twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_bad_change_ends_with_code_2_and_says_what_was_meant(
    aegis: Aegis, write: Write, arguments: tuple[str, ...], message: str
) -> None:
    said = aegis("whatif", write(FITS), *arguments)
    assert said.code == 2
    assert message in said.err
