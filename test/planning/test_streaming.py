"""Weights that take turns: how many segments are in memory, what that costs, what would help."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends import CompiledNetwork
from aegis_ros.network import open_model
from aegis_ros.planning.declared_file import check_declared_file
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rationale, Rule
from aegis_ros.spec import TaskSpec
from test.engine.fake import FakeEngine
from test.orchestrator.house import MS, House
from test.planning.streams import LOAD_MS, RUN_MS, let_it_stream


def house_of(tmp_path: Path, arena_mib: int) -> House:
    """An orchestrator that measures what loads and runs take; 4 segments of 10 MiB and 1 MiB."""
    house = House(tmp_path, arena_mib=arena_mib)
    house.start(active=False)
    return house


@pytest.fixture(autouse=True)
def _streams(monkeypatch: pytest.MonkeyPatch) -> None:
    let_it_stream(monkeypatch, most_parts=4)

    def profile(
        self: FakeEngine, compiled: CompiledNetwork, lane: int, runs: int, *_: object, **how: object
    ) -> np.ndarray:
        self.measured += 1
        loaded = 0 if not compiled.weights else compiled.segments - compiled.resident + 1
        load_ms = LOAD_MS if compiled.storage == "cold" else LOAD_MS / 2
        if compiled.resident == compiled.segments:
            loaded = 0
        row = [
            (RUN_MS + (load_ms if index >= compiled.segments - loaded else 0)) * MS
            for index in range(compiled.segments)
        ]
        return np.tile(np.array(row, np.int64), (runs, 1))

    monkeypatch.setattr(FakeEngine, "profile", profile)


def asked(house: House, name: str = "eye", **changes: object) -> TaskSpec:
    return house.task(name, **{"wcet_ms": 0, "period_ms": 400, **changes})


def helps(answer: Rationale, change: str) -> float:
    return next(each.value for each in answer.counterfactuals if each.change == change)


def test_a_network_that_fits_has_all_its_weights_in_memory(tmp_path: Path) -> None:
    house = house_of(tmp_path, 64)
    answer = house.orchestrator.register(asked(house, resident="auto"))
    assert answer.accepted and "in memory" not in answer.rationale.sentence
    (loaded,) = house.engine.loaded.values()
    assert (loaded.compiled.segments, loaded.compiled.weights) == (1, ())


def test_auto_is_as_many_segments_as_the_arena_has_room_for(tmp_path: Path) -> None:
    house = house_of(tmp_path, 60)
    first = house.orchestrator.register(asked(house, resident=3))
    assert "3 of its 4 segments are in memory at a time, as declared" in first.rationale.sentence
    second = house.orchestrator.register(asked(house, "ear", resident="auto"))
    assert second.accepted, second.rationale.sentence
    assert (
        "2 of its 4 segments are in memory at a time, as many as there is room for (20 MiB of "
        "weights instead of 40 MiB): each job loads 30 MiB from cold storage, which took up "
        "to 60.00 ms (500 MiB/s)"
    ) in second.rationale.sentence
    used = [task.arena_bytes >> 20 for task in house.orchestrator.status().tasks]
    assert used == [31, 21]
    assert house.orchestrator.status().arena_used_bytes <= 60 << 20


def test_the_budget_is_that_of_the_storage_that_is_declared(tmp_path: Path) -> None:
    house = house_of(tmp_path, 64)
    for name, storage, budget in (("a", "cold", "110.00"), ("b", "warm", "66.00")):
        task = asked(house, name, resident=1, storage=storage)
        answer = house.orchestrator.register(task)
        assert f"measured budget {budget} ms" in answer.rationale.sentence
        assert f"from {storage} storage" in answer.rationale.sentence
        house.orchestrator.unregister(name)
    assert house.engine.measured == 2 * 2, "once each, warm caches and cold ones"


def test_storage_too_slow_for_the_deadline_is_told_with_its_speed_and_what_would_do(
    tmp_path: Path,
) -> None:
    house = house_of(tmp_path, 64)
    answer = house.orchestrator.register(asked(house, resident=1, deadline_ms=70))
    assert not answer.accepted and answer.rationale.rule is Rule.WCET_DEADLINE
    assert (
        "which took up to 80.00 ms (500 MiB/s) when the segments were made"
        in answer.rationale.sentence
    )
    sentence = next(
        each.sentence for each in answer.rationale.counterfactuals if each.change == "resident"
    )
    assert sentence == (
        "eye would be admitted with resident: all (41 MiB instead of 11 MiB, about 30.00 ms a job "
        "instead of 110.00 ms)"
    )
    answer = house.orchestrator.register(asked(house, resident=1, deadline_ms=100))
    assert helps(answer.rationale, "resident") == 2
    assert house.orchestrator.register(asked(house, resident=2, deadline_ms=100)).accepted


def test_an_arena_too_small_is_told_with_the_number_that_fits(tmp_path: Path) -> None:
    house = house_of(tmp_path, 25)
    answer = house.orchestrator.register(asked(house, resident=3))
    assert answer.rationale.rule is Rule.ARENA
    assert (
        "with resident: 2 (21 MiB instead of 31 MiB, 60.00 ms of loading a job "
        in answer.rationale.sentence
    )
    assert helps(answer.rationale, "resident") == 2
    assert house.orchestrator.register(asked(house, resident=2)).accepted


def test_where_not_even_one_segment_fits_the_arena_says_so(tmp_path: Path) -> None:
    house = house_of(tmp_path, 8)
    answer = house.orchestrator.register(asked(house, resident="auto"))
    assert answer.rationale.rule is Rule.ARENA
    assert [each.change for each in answer.rationale.counterfactuals] == ["arena_mib"]
    assert "weights 10 MiB" in answer.rationale.sentence


def test_a_network_that_cannot_be_cut_is_refused_where_a_number_is_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_it_stream(monkeypatch, most_parts=1)
    house = house_of(tmp_path, 64)
    answer = house.orchestrator.register(asked(house, resident=1))
    assert not answer.accepted and "not cut into 8 segments: short" in answer.rationale.sentence
    assert house.orchestrator.register(asked(house, resident="auto")).accepted


def test_a_file_larger_than_the_arena_need_not_be_in_memory_as_a_whole(tmp_path: Path) -> None:
    house = House(tmp_path)
    small = replace(house.spec, device=replace(house.spec.device, arena_bytes=1))
    with open_model(str(tmp_path / "net.onnx"), house.spec.models.roots) as file:
        check_declared_file(house.task(resident=1), file, small)
        with pytest.raises(Refusal):
            check_declared_file(house.task(), file, small)
