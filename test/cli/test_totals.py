"""A budget of a whole job beside those of its segments, in every command, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.planning.answer import judge
from aegis_ros.planning.task_set import read_task_set
from aegis_ros.planning.workload import make_workload
from test.cli.conftest import Aegis, Write

SET = """
switch_us: 0
tasks:
  - {name: often, period_ms: 10, segments_ms: [4]}
  - {name: rare, period_ms: 40, segments_ms: [6, 6, 6, 6, 6, 6, 6, 6], total_ms: 18}
"""
BOTH = """
tasks:
  - {name: brake, period_ms: 60, segments_ms: [5, 5], high_segments_ms: [40, 40],
     total_ms: 8, high_total_ms: 41}
  - {name: caption, period_ms: 100, segments_ms: [10, 10, 10, 10], criticality: low}
"""


def test_a_set_is_judged_and_simulated_by_the_total(aegis: Aegis, write: Write) -> None:
    said = json.loads(aegis("check", write(SET), "--format", "json").out)
    assert said["schedulable"]
    assert [task["response_bound_ms"] for task in said["lanes"][0]["tasks"]] == [9.999999, 34.0]
    without = SET.replace(", total_ms: 18", "")
    assert aegis("check", write(without)).code == 1
    run = aegis("simulate", write(SET), "--duration", "2s")
    assert run.code == 0 and "0 late" in run.out


def test_both_modes_are_judged_by_their_totals(aegis: Aegis, write: Write) -> None:
    assert aegis("check", write(BOTH)).code == 0
    assert aegis("check", write(BOTH.replace(", high_total_ms: 41", ""))).code == 1
    run = aegis("simulate", write(BOTH), "--duration", "5s", "--overrun", "0.2")
    assert run.code == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("total_ms: 5.9", "tasks[1].total_ms: the budget of a whole job"),
        ("total_ms: 48.1", "tasks[1].total_ms: the budget of a whole job"),
        ("total_ms: 0", "tasks[1].total_ms"),
        ("high_total_ms: 20", "tasks[1].high_total_ms: the budget of a whole job"),
    ],
)
def test_a_total_that_does_not_fit_is_refused_in_the_terms_of_the_file(
    aegis: Aegis, write: Write, wrong: str, message: str
) -> None:
    said = aegis("check", write(SET.replace("total_ms: 18", wrong)))
    assert said.code == 2 and message in said.err


def test_changes_keep_or_scale_or_set_the_total(aegis: Aegis, write: Write) -> None:
    path = write(SET)
    for change, code in [
        ("rare.period_ms=39", 0),
        ("rare.wcet_ms=17", 0),
        ("rare.wcet_ms=23", 1),
        ("rare.total_ms=19", 0),
        ("rare.total_ms=48", 1),
        ("rare.segments_ms=6;6;6;6;6;6;6;6", 1),
        ("rare.total_ms=5", 2),
    ]:
        assert aegis("whatif", path, "--set", change).code == code, change


@pytest.mark.parametrize("overrun", [0.0, 0.5])
@pytest.mark.parametrize("execution", ["wcet", "uniform"])
def test_no_simulated_job_takes_more_than_its_whole_budget(
    write: Write, execution: str, overrun: float
) -> None:
    asked = read_task_set(Path(write(BOTH)))
    workload = make_workload(
        judge(asked),
        "main",
        asked.tasks,
        2_000_000_000,
        generator=np.random.default_rng(0),
        arrivals="sporadic",
        execution=execution,
        overrun=overrun,
    )
    for parts, owner in zip(workload.execution_ns, workload.task.tolist(), strict=True):
        task = asked.tasks[owner]
        most = task.at_high() if overrun else task
        assert sum(parts) <= most.work_ns
        assert np.all(np.array(parts) <= most.segments_ns)
