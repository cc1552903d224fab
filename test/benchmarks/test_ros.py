"""What the benchmark over DDS asks for on machines of any speed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane
from benchmarks.ros.contract import contract

MS = 1_000_000


def test_a_fast_machine_gets_the_rate_that_was_wanted() -> None:
    asked = contract(4.0, [1.5, 2.0], 30.0)
    assert asked.rate_hz == 30.0
    assert asked.period_ms == pytest.approx(33.0)
    assert (asked.jitter_ms, asked.deadline_ms, asked.queue) == (20.0, 33.0, 1)


@given(st.floats(0.5, 200.0), st.floats(0.5, 80.0))
def test_the_contract_can_be_proven_on_an_idle_lane(budget_ms: float, travel_ms: float) -> None:
    asked = contract(budget_ms, [travel_ms], 30.0)
    assert asked.period_ms < 1e3 / asked.rate_hz
    probe = AnalysisTask(
        "probe",
        segments_ns=(round(budget_ms * MS),),
        period_ns=round(asked.period_ms * MS),
        deadline_ns=round((asked.deadline_ms - 2.0) * MS),
        jitter_ns=round(asked.jitter_ms * MS),
    )
    assert check_lane([probe], switch_ns=200_000).schedulable


def test_the_budget_that_was_once_rejected_is_not() -> None:
    asked = contract(11.4, [3.0], 30.0)
    assert asked.deadline_ms - 2.0 >= asked.jitter_ms + 11.4
