from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane
from aegis_ros.dashboard import TaskView, WitnessView, analysis_task, critical_window
from aegis_ros.rationale import Rule, Witness
from test.dashboard.robot import a_task


def _view(task: AnalysisTask) -> TaskView:
    return a_task(
        task.name,
        lane="main",
        wcet_ms=sum(task.segments_ns) / 1e6,
        period_ms=task.period_ns / 1e6,
        deadline_ms=task.deadline_ns / 1e6 + 2.0,
        publish_ms=2.0,
        jitter_ms=task.jitter_ns / 1e6,
        segments=len(task.segments_ns),
    )


def _found(witness: Witness) -> WitnessView:
    return WitnessView(
        witness.lane,
        witness.t_ns / 1e6,
        witness.demand_ns / 1e6,
        witness.blocking_ns / 1e6,
        witness.blocking_task,
        witness.slack_ns / 1e6,
    )


@st.composite
def _sets(draw: st.DrawFn) -> list[AnalysisTask]:
    tasks = []
    for index in range(draw(st.integers(1, 4))):
        period = draw(st.integers(20, 200))
        task = analysis_task(
            f"task{index}",
            wcet_ms=draw(st.integers(2, 60)),
            period_ms=period,
            deadline_ms=draw(st.integers(10, period)),
            segments=draw(st.sampled_from([1, 2])),
        )
        assert task is not None
        tasks.append(task)
    return tasks


@given(_sets())
def test_the_picture_is_the_demand_and_the_blocking_of_the_test_and_shows_who_is_late(
    tasks: list[AnalysisTask],
) -> None:
    verdict = check_lane(tasks, lane="main")
    if verdict.witness is None or verdict.rule is Rule.WCET_DEADLINE:
        return
    found = _found(verdict.witness)
    window = critical_window([_view(task) for task in tasks[1:]], tasks[0], found)
    if window is None:
        return
    demand = sum(bar.end_ms - bar.start_ms for bar in window.bars if not bar.blocks)
    blocking = sum(bar.end_ms for bar in window.bars if bar.blocks)
    assert abs(demand - found.demand_ms) < 0.001
    assert abs(blocking - found.blocking_ms) < 0.001
    if not verdict.schedulable and all(len(task.segments_ns) == 1 for task in tasks):
        assert any(due.late for due in window.dues)


def test_a_task_that_is_too_long_alone_is_late_alone() -> None:
    asked = analysis_task("asked", wcet_ms=30.0, period_ms=100.0, deadline_ms=20.0)
    assert asked is not None
    window = critical_window([], asked, WitnessView("main", 20.0, 30.0, 0.0, "", -10.0))
    assert window is not None
    assert [(due.task, due.late) for due in window.dues] == [("asked", True)]


def test_bars_do_not_overlap_and_everybody_shown_has_a_row() -> None:
    asked = analysis_task("asked", wcet_ms=30.0, period_ms=100.0, deadline_ms=90.0)
    assert asked is not None
    others = [a_task(name, wcet_ms=20.0) for name in ("one", "two", "three")]
    elsewhere = a_task("elsewhere", lane="side")
    found = WitnessView("main", 98.0, 70.0, 20.0, "three", 8.0)
    window = critical_window([*others, elsewhere], asked, found)
    assert window is not None
    assert set(window.tasks) == {"one", "two", "three", "asked"}
    for before, after in zip(window.bars, window.bars[1:], strict=False):
        assert before.end_ms <= after.start_ms + 1e-9
    assert window.begin_ms < 0.0  # the blocking task was first


def test_best_effort_is_shown_only_where_it_blocks_and_thinned_tasks_at_their_own_rate() -> None:
    asked = analysis_task("asked", wcet_ms=10.0, period_ms=100.0, deadline_ms=100.0)
    assert asked is not None
    others = [
        a_task("slack", wcet_ms=20.0, criticality="best_effort"),
        a_task("thinned", wcet_ms=10.0, period_ms=20.0, deadline_ms=20.0, decimation=4),
    ]
    window = critical_window(others, asked, WitnessView("main", 100.0, 30.0, 0.0, "", 70.0))
    assert window is not None
    assert window.tasks == ("thinned", "asked")
    assert sum(bar.task == "thinned" for bar in window.bars) == 2
    window = critical_window(others, asked, WitnessView("main", 100.0, 30.0, 20.0, "slack", 50.0))
    assert window is not None
    assert window.tasks == ("slack", "thinned", "asked")


def test_nothing_is_drawn_of_numbers_that_cannot_be_or_of_far_too_many_jobs() -> None:
    assert analysis_task("a", wcet_ms=0.0, period_ms=10.0, deadline_ms=10.0) is None
    assert analysis_task("a", wcet_ms=1.0, period_ms=10.0, deadline_ms=2.0, publish_ms=2.0) is None
    tiny = analysis_task("a", wcet_ms=0.01, period_ms=0.1, deadline_ms=0.1)
    assert tiny is not None
    assert critical_window([], tiny, WitnessView("main", 1000.0, 1.0, 0.0, "", 1.0)) is None
