"""Generators that adapt: asked after every cycle, reported, recorded, summed up."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from aegis_ros.errors import ConfigError
from aegis_ros.orchestrator import adapting as module
from aegis_ros.orchestrator.adapting import Adapting
from aegis_ros.orchestrator.cycle_record import Cycle
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale.plain import from_plain
from aegis_ros.scheduling.adaptation import Choice, Figures, Limits, MemoryFailure, Menu

MS, S = 1_000_000, 1_000_000_000


def menu(*batches: int) -> Menu:
    decodes = [Choice(size, False, "", (6 + 5 * size) * MS) for size in batches]
    return Menu([Choice(32, True, "", 90 * MS), *decodes], slots=4, max_len=1_024, slot_bytes=100)


def figures(now_ns: int, *, used: int = 500, tokens: int = 4) -> Figures:
    return Figures(
        now_ns=now_ns,
        prefill=False,
        size=4,
        precision="",
        answers=4,
        context=77,
        tokens=tokens,
        duration_ns=26 * MS,
        running=2,
        waiting=1,
        arena_used_bytes=used,
        arena_bytes=1_000,
    )


class House:
    def __init__(self) -> None:
        self.log = RationaleLog()
        self.rows: list[Cycle] = []
        self.adapting = Adapting(self.log.report, self.rows.append)


def test_a_change_is_reported_recorded_and_returned() -> None:
    house = House()
    assert house.adapting.add("assistant", menu(1, 2, 4)) == Limits(32, 4, 1_024)
    assert house.adapting.cycle("assistant", figures(S)) == Limits(32, 4, 1_024)
    assert house.adapting.cycle("assistant", figures(2 * S, used=900), 0.7) == Limits(32, 2, 1_024)
    (rationale,) = house.log.latest()
    assert rationale.task == "assistant" and rationale.rule == "adaptation"
    assert (rationale.left, rationale.relation, rationale.right) == (90.0, ">", 85.0)
    quiet, changed = house.rows
    assert (quiet.decision, quiet.reason, quiet.device_use) == ("", "", -1.0)
    assert changed.decision == rationale.sentence and changed.device_use == 0.7
    assert from_plain(json.loads(changed.reason)[0]) == rationale.reason
    assert (changed.batch, changed.context, changed.tokens) == (4, 77, 4)
    assert (changed.arena_bytes, changed.arena_peak_bytes) == (900, 900)
    assert house.adapting.limits("assistant") == Limits(32, 2, 1_024)


def test_it_is_summed_up_over_the_last_seconds() -> None:
    house = House()
    house.adapting.add("assistant", menu(4))
    (before,) = house.adapting.summaries(S)
    assert (before.tokens, before.tokens_per_s, before.latency_ns) == (0, 0.0, 0)
    for at in range(1, 101):
        house.adapting.cycle("assistant", figures(at * 100 * MS, used=at))
    (found,) = house.adapting.summaries(10 * S)
    assert found.tokens == 400 and found.cycles == 100
    assert found.tokens_per_s == pytest.approx(40.0, rel=0.05)
    assert (found.latency_ns, found.context) == (26 * MS, 77)
    assert (found.arena_used_bytes, found.arena_peak_bytes) == (100, 100)
    (later,) = house.adapting.summaries(60 * S)
    assert later.tokens_per_s == 0.0 and later.tokens == 400


def test_a_window_that_is_full_counts_what_is_left_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CYCLES", 3)
    house = House()
    house.adapting.add("assistant", menu(4))
    for at in range(1, 6):
        house.adapting.cycle("assistant", figures(at * S, tokens=at))
    (found,) = house.adapting.summaries(5 * S)
    assert found.tokens_per_s == pytest.approx((3 + 4 + 5) / 2)


def test_a_cycle_is_on_record_with_the_time_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(time_ns=lambda: 1_000 * S, monotonic_ns=lambda: 50 * S)
    monkeypatch.setattr(module, "time", clock)
    house = House()
    house.adapting.add("assistant", menu(1, 2, 4))
    house.adapting.cycle("assistant", figures(48 * S))
    house.adapting.failed("assistant", MemoryFailure(request=7, need_bytes=45))
    assert [row.time_ns for row in house.rows] == [998 * S, 1_000 * S]


def test_memory_that_cannot_be_taken_is_tried_again_once() -> None:
    house = House()
    house.adapting.add("assistant", menu(1, 2, 4))
    assert house.adapting.failed("assistant", MemoryFailure(request=7, need_bytes=45))
    assert not house.adapting.failed("assistant", MemoryFailure(request=7, tried=2))
    assert [row.out_of_memory for row in house.rows] == [1, 1]
    assert [str(each.decision) for each in house.log.latest()] == ["informed", "rejected"]
    (found,) = house.adapting.summaries()
    assert (found.out_of_memory, found.changes, found.limits.batch) == (2, 1, 2)


def test_what_is_admitted_anew_is_what_may_be_chosen() -> None:
    house = House()
    house.adapting.add("assistant", menu(1, 2, 4))
    house.adapting.cycle("assistant", figures(S))
    assert house.adapting.add("assistant", menu(1)) == Limits(32, 1, 1_024)
    (found,) = house.adapting.summaries(S)
    assert found.tokens == 4, "it is the same generator"


def test_unknown_generators_are_no_matter_and_unknown_policies_an_error() -> None:
    house = House()
    assert house.adapting.cycle("nobody", figures(S)) is None
    assert house.adapting.limits("nobody") is None and not house.adapting.failed(
        "nobody", MemoryFailure(request=1)
    )
    house.adapting.remove("nobody")
    with pytest.raises(ConfigError, match="no such adaptation policy"):
        house.adapting.add("assistant", menu(1), "clever")
    house.adapting.add("assistant", menu(1))
    house.adapting.remove("assistant")
    assert house.adapting.summaries() == () and house.rows == []
