"""A task that the tests cannot decide is refused by the name of its field."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aegis_ros.analysis import AnalysisTask, check_lane
from aegis_ros.errors import ConfigError

TASK = AnalysisTask("camera", (3, 4), 20, 20, high_segments_ns=(5, 4))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"segments_ns": ()}, "segments_ns"),
        ({"segments_ns": (3, 0)}, r"segments_ns\[1\]"),
        ({"segments_ns": (3, 10**17), "high_segments_ns": ()}, r"segments_ns\[1\]"),
        ({"period_ns": 0}, "period_ns"),
        ({"period_ns": 2**63}, "period_ns"),
        ({"deadline_ns": -1}, "deadline_ns"),
        ({"jitter_ns": -1}, "jitter_ns"),
        ({"high_segments_ns": (5, 3)}, r"high_segments_ns\[1\]"),
    ],
)
def test_what_is_out_of_range_is_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"camera\.{field}"):
        replace(TASK, **changes)  # type: ignore[arg-type]


def test_two_tasks_of_one_name_are_refused_with_both_places() -> None:
    with pytest.raises(ConfigError, match=r"tasks\[1\]\.name.*tasks\[0\]"):
        check_lane([TASK, TASK])


def test_a_task_reports_its_budgets_with_switches() -> None:
    assert TASK.wcet_ns(2) == 11 and TASK.longest_ns(2) == 6
    assert TASK.utilization == 0.35 and TASK.density == 0.35
    assert TASK.at_high().segments_ns == (5, 4) and TASK.at_high().at_high() == TASK.at_high()


def test_cutting_rounds_up_and_keeps_both_budgets() -> None:
    cut = TASK.cut(4)
    assert cut.segments_ns == (2,) * 4 and cut.high_segments_ns == (3,) * 4
    assert replace(TASK, high_segments_ns=()).cut(3).segments_ns == (3,) * 3
