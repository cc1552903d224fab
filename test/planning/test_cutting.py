"""In how many segments a network runs: as few as those who wait for it can bear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, is_schedulable
from aegis_ros.orchestrator import Registration
from aegis_ros.planning.cutting import (
    advise_cuts,
    blocking_tolerance,
    cut_budget,
    estimated_budget,
)
from aegis_ros.rationale import Rule
from aegis_ros.spec import TaskSpec
from test.orchestrator.house import MS, House
from test.task_sets import task_sets


def brake(house: House, **changes: Any) -> TaskSpec:
    """Can wait for 33 ms: due after 40, of which 2 are for publishing and 5 its own."""
    return house.task("brake", period_ms=40, **{"wcet_ms": 5, **changes})


def slow(house: House, **changes: Any) -> TaskSpec:
    return house.task("slow", period_ms=400, **{"wcet_ms": 60, **changes})


def segments_of(house: House) -> dict[str, int]:
    return {spec.name: spec.compiled.segments for spec in house.engine.loaded.values()}


@pytest.fixture(scope="session")
def prepared_networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared-networks")


@pytest.fixture
def make_house(tmp_path: Path, prepared_networks: Path) -> Callable[..., House]:
    """Return a function (name, lanes) -> House; all share what was prepared."""

    def make(name: str = "house", lanes: int = 1) -> House:
        made = House(tmp_path / name, lanes=lanes)
        (made.folder / "state" / "cache").symlink_to(prepared_networks)
        return made

    return make


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    made = make_house()
    made.start()
    return made


def test_a_network_nobody_waits_for_stays_whole(house: House) -> None:
    answer = house.orchestrator.register(slow(house))
    assert segments_of(house) == {"slow": 1}
    assert "segments" not in answer.rationale.sentence


def test_a_network_is_cut_for_a_more_urgent_task_that_runs(house: House) -> None:
    house.orchestrator.register(brake(house))
    answer = house.orchestrator.register(slow(house))
    assert answer.accepted
    assert segments_of(house) == {"brake": 1, "slow": 2}
    assert (
        "it runs in 2 segments, the longest 30.00 ms, because brake tolerates 33.00 ms of "
        "blocking and the whole network takes 60.00 ms" in answer.rationale.sentence
    )


@pytest.mark.parametrize(("wcet_ms", "parts"), [(33, 1), (34, 2), (66, 2), (67, 4), (133, 8)])
def test_it_is_cut_into_the_fewest_segments_that_are_short_enough(
    house: House, wcet_ms: float, parts: int
) -> None:
    house.orchestrator.register(brake(house))
    assert house.orchestrator.register(slow(house, wcet_ms=wcet_ms)).accepted
    assert segments_of(house)["slow"] == parts


def test_the_first_of_the_file_is_cut_for_the_last(make_house: Callable[..., House]) -> None:
    house = make_house()
    house.restart(slow(house), brake(house))
    assert segments_of(house) == {"slow": 2, "brake": 1}
    without = make_house("without")
    without.restart(slow(without))
    assert segments_of(without) == {"slow": 1}
    later = without.orchestrator.register(brake(without))
    assert not later.accepted  # which nobody awaited


def test_a_declared_number_of_segments_is_kept(house: House) -> None:
    answer = house.orchestrator.register(slow(house, segments=4))
    assert segments_of(house) == {"slow": 4}
    assert "it runs in 4 segments, as declared" in answer.rationale.sentence
    house.orchestrator.unregister("slow")
    house.orchestrator.register(brake(house))
    assert not house.orchestrator.register(slow(house, segments=1)).accepted


def change_of(answer: Registration, task: str) -> float:
    (found,) = [
        item.value
        for item in answer.rationale.counterfactuals
        if (item.change, item.task) == ("segments", task)
    ]
    return found


def test_a_rejection_says_which_segments_would_admit_the_task(house: House) -> None:
    house.orchestrator.register(slow(house))
    answer = house.orchestrator.register(brake(house))
    assert not answer.accepted
    assert answer.rationale.rule is Rule.DEMAND_BOUND
    parts = int(change_of(answer, "slow"))
    assert f"declare segments: {parts} for it and register it again" in answer.rationale.sentence
    house.orchestrator.unregister("slow")
    assert house.orchestrator.register(slow(house, segments=parts)).accepted
    assert house.orchestrator.register(brake(house)).accepted


def test_a_rejection_with_too_few_declared_segments_proposes_more(house: House) -> None:
    house.orchestrator.register(brake(house))
    wanted = slow(house, segments=1)
    answer = house.orchestrator.register(wanted)
    parts = int(change_of(answer, "slow"))
    assert house.orchestrator.register(replace(wanted, segments=parts)).accepted


def test_what_no_cut_would_help_is_not_cut(house: House) -> None:
    house.orchestrator.register(brake(house))
    answer = house.orchestrator.register(slow(house, wcet_ms=390))
    assert not answer.accepted
    assert not [item for item in answer.rationale.counterfactuals if item.change == "segments"]
    assert "segments" not in answer.rationale.sentence


def test_a_network_whose_longest_part_cannot_be_made_short_stays_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = house.orchestrator._backends["simulated"]
    compiled = backend.compile

    def uneven(prepared: Any, cache: Path, segments: int = 1) -> Any:
        shares = (0.6, *(0.4 / (segments - 1),) * (segments - 1)) if segments > 1 else ()
        return replace(compiled(prepared, cache, segments), shares=shares)

    monkeypatch.setattr(backend, "compile", uneven)
    house.orchestrator.register(brake(house))
    answer = house.orchestrator.register(slow(house))
    assert not answer.accepted
    assert (
        "it is not cut, because in 8 segments the longest would still take 36.00 ms, and brake "
        "tolerates 33.00 ms of blocking" in answer.rationale.sentence
    )


def test_what_cannot_be_done_for_who_is_to_come_is_done_for_who_is_there(
    make_house: Callable[..., House],
) -> None:
    house = make_house()
    impossible = house.task("impossible", period_ms=50, deadline_ms=45, wcet_ms=42)
    house.restart(brake(house), slow(house), impossible)
    assert segments_of(house) == {"brake": 1, "slow": 2}


def test_a_network_that_cannot_be_cut_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.orchestrator.register(brake(house))
    backend = house.orchestrator._backends["simulated"]
    compiled = backend.compile

    def refuse(prepared: Any, cache: Path, segments: int = 1) -> Any:
        note = (
            f"not cut into {segments} segments: its output 'x' would differ from that of the whole"
        )
        return replace(compiled(prepared, cache), note=note if segments > 1 else "")

    monkeypatch.setattr(backend, "compile", refuse)
    rejected = house.orchestrator.register(slow(house))
    assert not rejected.accepted
    assert "not cut into 2 segments: its output 'x'" in rejected.rationale.sentence
    house.orchestrator.unregister("brake")
    declared = house.orchestrator.register(slow(house, segments=4))
    assert declared.accepted
    assert "not cut into 4 segments: its output 'x'" in declared.rationale.sentence


def test_segments_are_measured_where_they_can_be(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def profile(compiled: Any, lane: int, runs: int, go_on: Any, **how: Any) -> np.ndarray:
        house.engine.measured += not how.get("cold", False)
        each = {1: [55], 2: [40, 15], 4: [20, 15, 10, 10]}[compiled.segments]
        return np.full((runs, compiled.segments), np.asarray(each) * MS, np.int64)

    monkeypatch.setattr(house.engine, "profile", profile)
    house.orchestrator.register(brake(house))
    wanted = slow(house, wcet_ms=0)
    refused = house.orchestrator.register(wanted)
    assert refused.rationale.rule is Rule.WCET_PROFILE
    house.orchestrator.deactivate()
    answer = house.orchestrator.register(wanted)
    assert answer.accepted
    assert segments_of(house)["slow"] == 4  # the longer of two takes 44 ms with the margin
    assert house.engine.measured == 3  # whole, in 2, in 4
    assert "4 segments of one run: " in answer.rationale.sentence
    house.orchestrator.unregister("slow")
    house.orchestrator.activate()
    assert house.orchestrator.register(wanted).accepted  # every profile is known
    assert house.engine.measured == 3


def test_a_network_in_segments_is_budgeted_by_its_runs_not_by_the_slowest_of_each_segment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def profile(compiled: Any, lane: int, runs: int, go_on: Any, **how: Any) -> np.ndarray:
        rows = np.full((runs, compiled.segments), 5 * MS, np.int64)
        slow_runs = np.arange(compiled.segments)
        rows[slow_runs, slow_runs] += 20 * MS  # each segment once, each in another run
        return rows

    monkeypatch.setattr(house.engine, "profile", profile)
    answer = house.orchestrator.register(slow(house, wcet_ms=0, segments=4))
    assert answer.accepted
    (loaded,) = house.engine.loaded.values()
    assert loaded.plan.total_ns == pytest.approx(1.1 * 40 * MS, abs=10)
    assert loaded.plan.budgets_ns == pytest.approx((1.1 * 25 * MS,) * 4, abs=10)
    assert answer.utilization_after == pytest.approx(0.044 / 0.4, abs=1e-3)
    (reported,) = house.orchestrator.status().tasks
    assert reported.wcet_ns == loaded.plan.total_ns
    assert "budget 44.00 ms" in answer.rationale.sentence
    house.orchestrator.unregister("slow")
    assert house.orchestrator.register(slow(house, wcet_ms=40, segments=4)).accepted
    (loaded,) = house.engine.loaded.values()  # declared: as before, and in equal shares
    assert loaded.plan.total_ns == 0 and sum(loaded.plan.budgets_ns) == 40 * MS


def test_a_question_about_segments_never_measured_is_answered_with_an_estimate(
    house: House,
) -> None:
    house.engine.run_ns = 60 * MS
    house.orchestrator.register(slow(house, wcet_ms=0))
    house.orchestrator.unregister("slow")
    house.orchestrator.register(brake(house))
    asked = house.orchestrator.evaluate(slow(house, wcet_ms=0))
    assert asked.accepted
    assert "estimated budget" in asked.rationale.sentence
    assert house.engine.measured == 1
    reported = house.orchestrator.register(slow(house, wcet_ms=0))
    assert reported.rationale.rule is Rule.WCET_PROFILE
    assert "no WCET profile in 2 segments (segments: 2)" in reported.rationale.sentence


def test_a_free_lane_is_better_than_a_cut(make_house: Callable[..., House]) -> None:
    house = make_house(lanes=2)
    house.start()
    house.orchestrator.register(brake(house))
    assert house.orchestrator.register(slow(house)).accepted
    assert segments_of(house)["slow"] == 1
    assert house.orchestrator.register(replace(slow(house), name="bound", lane="lane0")).accepted
    assert segments_of(house)["bound"] == 2


def test_a_declared_budget_is_shared_as_the_segments_are_expected_to() -> None:
    assert cut_budget(100, 3, ()) == (34, 34, 34)
    assert cut_budget(100, 2, (0.25, 0.75)) == (25, 75)
    assert cut_budget(10, 2, (1.0, 0.0)) == (10, 1)
    assert estimated_budget(1000, 2, (0.5, 0.5)) == (575, 575)


def test_the_advice_is_the_longest_network_in_the_fewest_segments() -> None:
    urgent = AnalysisTask("urgent", (1,), 100, 20)
    admitted = {
        "short": AnalysisTask("short", (25,), 100, 90),
        "long": AnalysisTask("long", (30,), 100, 90),
        "early": AnalysisTask("early", (19,), 100, 20),
    }

    def passes(kept: Any) -> bool:
        return all(max(item.segments_ns) < 26 for item in kept)

    (advice,) = advise_cuts(urgent, admitted, passes)
    assert (advice.task, advice.value) == ("long", 2.0)
    assert advise_cuts(urgent, admitted, lambda kept: False) == ()


@given(task_sets(), st.integers(1, 4), st.integers(0, 2))
def test_who_passes_the_test_of_the_lane_never_exceeds_the_tolerance(
    tasks: list[AnalysisTask], parts: int, switch_ns: int
) -> None:
    task = tasks[0].cut(parts)
    others = tasks[1:]
    tolerance = blocking_tolerance(others, task, switch_ns)
    if tolerance is not None and is_schedulable([*others, task], switch_ns=switch_ns):
        assert task.longest_ns(switch_ns) <= tolerance.longest_ns
        assert tolerance.task in {item.name for item in others}


@given(task_sets())
def test_where_any_cut_passes_the_longest_segment_within_the_tolerance_passes(
    tasks: list[AnalysisTask],
) -> None:
    others = tasks[1:]
    task = replace(tasks[0], segments_ns=(1,) * sum(tasks[0].segments_ns))
    tolerance = blocking_tolerance(others, task)
    assume(tolerance is not None and is_schedulable([*others, task]))
    assert tolerance is not None
    total = len(task.segments_ns)
    longest = min(tolerance.longest_ns, total)
    coarse = replace(task, segments_ns=(longest, *([total - longest] if total > longest else [])))
    if max(coarse.segments_ns) <= tolerance.longest_ns:
        assert is_schedulable([*others, coarse])
