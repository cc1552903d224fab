"""Tasks of best effort are admitted for their segments alone, and promised nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, is_schedulable
from aegis_ros.planning.cutting import advise_cuts, blocking_tolerance
from aegis_ros.rationale import Rule
from aegis_ros.spec import Criticality, TaskSpec
from test.orchestrator.house import MS, House
from test.task_sets import task_sets


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path / "house")
    made.start()
    return made


def caption(house: House, **changes: Any) -> TaskSpec:
    """More than a whole lane, at three times the rate it can run at."""
    wanted = {"period_ms": 20, "wcet_ms": 60, "criticality": "best_effort"}
    return house.task("caption", **wanted | changes)


def brake(house: House, **changes: Any) -> TaskSpec:
    """Can wait for 33 ms: due after 40, of which 2 are for publishing and 5 its own."""
    return house.task("brake", **{"period_ms": 40, "wcet_ms": 5} | changes)


def segments_of(house: House) -> dict[str, int]:
    return {spec.name: spec.compiled.segments for spec in house.engine.loaded.values()}


def test_best_effort_is_admitted_beyond_the_capacity_of_its_lane_and_promised_nothing(
    house: House,
) -> None:
    assert house.orchestrator.register(brake(house)).accepted
    answer = house.orchestrator.register(caption(house))
    assert answer.accepted and answer.response_bound_ns == 0
    assert answer.utilization_before == answer.utilization_after == pytest.approx(0.125)
    reported = answer.rationale
    assert "caption runs in the slack: no deadline is promised" in reported.sentence
    assert "worst-case response" not in reported.sentence
    assert [bound.task for bound in reported.responses] == ["brake"]
    assert house.orchestrator.status().tasks[1].utilization == 0.0


def test_best_effort_alone_is_admitted_and_a_task_with_a_deadline_beside_it(house: House) -> None:
    alone = house.orchestrator.register(caption(house, segments=2))
    assert alone.accepted and alone.rationale.rule is Rule.UTILIZATION
    later = house.orchestrator.register(brake(house))
    assert later.accepted and "Deadline 38.0 ms, worst-case response" in later.rationale.sentence


def test_best_effort_that_cannot_stay_whole_is_cut_as_finely_as_it_can_be(house: House) -> None:
    house.orchestrator.register(brake(house))
    answer = house.orchestrator.register(caption(house))
    assert segments_of(house)["caption"] == 8
    assert "because brake tolerates 33.00 ms of blocking" in answer.rationale.sentence


def test_best_effort_that_nobody_waits_for_too_long_stays_whole(house: House) -> None:
    house.orchestrator.register(brake(house))
    assert house.orchestrator.register(caption(house, wcet_ms=33)).accepted
    assert segments_of(house)["caption"] == 1


def test_best_effort_that_blocks_for_too_long_is_rejected(house: House) -> None:
    house.orchestrator.register(brake(house))
    answer = house.orchestrator.register(caption(house, segments=1))
    assert not answer.accepted and answer.rationale.rule is Rule.DEMAND_BOUND
    assert answer.rationale.witness is not None
    assert answer.rationale.witness.blocking_task == "caption"
    assert {"segments"} <= {item.change for item in answer.rationale.counterfactuals}


def test_a_task_that_best_effort_blocks_gets_a_hint_how_to_cut_it(house: House) -> None:
    house.orchestrator.register(caption(house))
    answer = house.orchestrator.register(brake(house))
    assert not answer.accepted
    advice = answer.rationale.counterfactuals[0]
    assert (advice.task, advice.change) == ("caption", "segments")


def test_an_old_result_of_best_effort_is_not_a_missed_deadline(house: House) -> None:
    house.orchestrator.register(brake(house))
    house.orchestrator.register(caption(house))
    for task_id in (1, 2):
        house.orchestrator.published(task_id, 90 * MS, 5 * MS, met=False)
    first, second = house.orchestrator.status().tasks
    assert (first.missed, second.missed) == (1, 0)
    assert second.response_max_ns == 90 * MS


def test_what_could_block_is_counted_until_its_last_segment_has_ended(house: House) -> None:
    # It leaves within its budget, which is longer than any machine stops this test for.
    house.orchestrator.register(brake(house, period_ms=40_000))
    house.orchestrator.register(house.task("slow", criticality="best_effort", wcet_ms=30_000))
    entry = next(item for item in house.orchestrator._admitted if item.spec.name == "slow")
    entry.statistics.last_deadline_ns = 1  # it had a frame
    house.orchestrator.unregister("slow")
    assert set(house.orchestrator._admitted.running()) == {"brake", "slow (leaving 0)"}


@given(task_sets(), st.integers(1, 30), st.integers(0, 2))
def test_the_tolerance_for_best_effort_says_what_the_test_of_the_lane_says(
    others: list[AnalysisTask], longest: int, switch_ns: int
) -> None:
    assume(is_schedulable(others, switch_ns=switch_ns))
    task = AnalysisTask("slack", (longest,), 1, 1, 0, Criticality.BEST_EFFORT)
    tolerance = blocking_tolerance(others, task, switch_ns)
    assert tolerance is not None
    fits = is_schedulable([*others, task], switch_ns=switch_ns)
    assert fits == (task.longest_ns(switch_ns) <= tolerance.longest_ns)


def test_best_effort_is_among_what_could_be_cut_for_another() -> None:
    urgent = AnalysisTask("urgent", (1,), 100, 20)
    soon = AnalysisTask("soon", (30,), 10, 10, 0, Criticality.BEST_EFFORT)
    (advice,) = advise_cuts(urgent, {"soon": soon}, lambda kept: is_schedulable([*kept, urgent]))
    assert (advice.task, advice.value) == ("soon", 2)
