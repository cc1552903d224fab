"""How long a machine stops a core, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aegis_ros.errors import AegisError
from aegis_ros.host import Grade, Standstill, measure, standstill, standstills

_US = 1000


def test_the_longest_stop_of_all_cores_is_reported() -> None:
    found = standstills(
        [Standstill(2, 30.0, True, (60 * _US, 90 * _US)), Standstill(3, 30.0, True, (1_300 * _US,))]
    )
    assert found.grade is Grade.COSTS
    assert found.found == "core 3: 1 time in 30 s, up to 1.30 ms"
    assert "hwlatdetect" in found.hint


@pytest.mark.parametrize(
    ("stops", "said"),
    [((), "none above 50 µs in 5 s"), ((70 * _US,) * 2, "core 1: 2 times in 5 s, up to 0.07 ms")],
)
def test_short_stops_cost_nothing(stops: tuple[int, ...], said: str) -> None:
    found = standstills([Standstill(1, 5.0, True, stops)])
    assert (found.grade, found.found) == (Grade.GOOD, said)


def test_without_priority_the_machine_is_not_blamed_for_other_programs() -> None:
    found = standstills([Standstill(1, 5.0, False, (9_000 * _US,))])
    assert found.grade is Grade.UNKNOWN and "SCHED_FIFO is refused" in found.found


def test_a_watch_that_saw_a_great_deal_is_reported_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "print('{\"realtime\": true, \"stops_ns\": [' + '60000,' * 50000 + '70000]}')"
    monkeypatch.setattr(standstill, "_CHILD", ["-c", script])
    assert len(measure(0, 0.2).stops_ns) == 50_001


def test_a_core_of_this_machine_can_be_watched() -> None:
    core = max(os.sched_getaffinity(0))
    shares: list[float] = []
    seen = measure(core, 0.2, shares.append)
    assert (seen.core, seen.seconds) == (core, 0.2)
    assert all(stop > 50 * _US for stop in seen.stops_ns)
    assert shares == sorted(shares) and 0.0 <= shares[0] <= shares[-1] <= 1.0


def test_nothing_of_the_folder_it_starts_in_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "resource.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    assert measure(max(os.sched_getaffinity(0)), 0.1).seconds == 0.1


def test_a_core_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(AegisError, match="core 4096 cannot be watched"):
        measure(4096, 0.1)
