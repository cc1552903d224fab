"""Cycles of generators in a file: all that fit, whatever befalls the disk."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.orchestrator import cycle_record
from aegis_ros.orchestrator.cycle_record import Cycle, CycleRecord
from test.waiting import until

ONE = Cycle(
    time_ns=1,
    task="assistant",
    prefill=0,
    batch=4,
    context=120,
    precision="int8",
    tokens=4,
    tokens_per_s=51.5,
    latency_ns=19_000_000,
    arena_bytes=100,
    arena_peak_bytes=200,
    device_use=0.5,
    decision="it changed.",
    reason="[]",
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycle_record, "_TOGETHER_S", 0.01)
    monkeypatch.setattr(cycle_record, "_RETRY_S", 0.01)


def times(path: Path) -> list[int]:
    if not path.exists():
        return []
    try:
        with sqlite3.connect(path) as connection:
            return [row[0] for row in connection.execute("SELECT time_ns FROM cycle")]
    except sqlite3.Error:
        return []


def test_what_is_noted_is_in_the_file_after_the_end(tmp_path: Path) -> None:
    record = CycleRecord(tmp_path / "deep" / "cycles.sqlite")
    cycles = [replace(ONE, time_ns=number) for number in range(300)]
    for cycle in cycles:
        record.note(cycle)
    record.close()
    assert record.latest(1_000) == cycles and record.dropped == 0
    assert record.latest(2) == cycles[-2:]
    record.note(ONE)
    assert record.dropped == 1, "it has ended"


def test_it_goes_on_where_the_last_process_left_it_and_the_oldest_rows_go(tmp_path: Path) -> None:
    path = tmp_path / "cycles.sqlite"
    for begin in (0, 30):
        record = CycleRecord(path, most_rows=40)
        for number in range(begin, begin + 30):
            record.note(replace(ONE, time_ns=number))
        record.close()
    assert times(path) == list(range(20, 60))


def test_the_file_stays_as_large_as_its_rows_are(tmp_path: Path) -> None:
    """Those that are kept, and what is noted at once: who writes may be late."""

    def noted(path: Path, count: int, most_rows: int) -> int:
        record = CycleRecord(path, most_rows=most_rows)
        for number in range(count):
            record.note(replace(ONE, time_ns=number))
        record.close()
        return path.stat().st_size

    most = noted(tmp_path / "all.sqlite", 1_500, 1_500)
    path = tmp_path / "cycles.sqlite"
    sizes = [noted(path, 1_000, 500) for _ in range(4)]
    assert max(sizes) <= 1.1 * most
    assert len(times(path)) == 500


def test_a_disk_that_refuses_is_reported_once_and_gets_all_when_it_takes_it(
    tmp_path: Path,
) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("a file where a folder should be")
    problems: list[str] = []
    record = CycleRecord(blocked / "cycles.sqlite", on_problem=problems.append)
    for number in range(50):
        record.note(replace(ONE, time_ns=number))
        until(lambda: bool(problems))
    assert len(problems) == 1 and "cannot be written" in problems[0]
    blocked.unlink()
    until(lambda: len(times(blocked / "cycles.sqlite")) == 50)
    record.close()
    assert record.dropped == 0 and len(problems) == 1


def test_memory_is_bounded_while_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycle_record, "_MOST_WAITING", 20)
    blocked = tmp_path / "state"
    blocked.write_text("")
    record = CycleRecord(blocked / "cycles.sqlite")
    for number in range(100):
        record.note(replace(ONE, time_ns=number))
    record.close()
    assert record.dropped == 100


def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "cycles.sqlite"
    path.write_bytes(b"no database " * 1_000)
    problems: list[str] = []
    record = CycleRecord(path, on_problem=problems.append)
    record.note(ONE)
    record.close()
    assert record.latest(9) == [ONE]
    (problem,) = problems
    assert "damaged" in problem
    (aside,) = tmp_path.glob("cycles.sqlite.damaged-*")
    assert str(aside) in problem


@pytest.mark.parametrize("harm", ["remove", "replace"])
def test_a_file_that_is_harmed_while_it_is_written_is_begun_anew(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "cycles.sqlite"
    record = CycleRecord(path)
    record.note(ONE)
    until(lambda: len(times(path)) == 1)
    for each in tmp_path.glob("cycles.sqlite*"):
        each.unlink(missing_ok=True)  # its log goes by itself when what was written is in the file
    if harm == "replace":
        path.write_bytes(b"no database " * 1_000)
    record.note(replace(ONE, time_ns=2))
    until(lambda: times(path) == [2])
    record.close()


def test_a_listener_that_fails_does_not_end_the_record(tmp_path: Path) -> None:
    path = tmp_path / "cycles.sqlite"
    path.write_bytes(b"no database " * 1_000)

    def listen(problem: str) -> None:
        raise RuntimeError(problem)

    record = CycleRecord(path, on_problem=listen)
    record.note(ONE)
    record.close()
    assert record.latest(9) == [ONE]


def test_whatever_the_engine_counted_can_be_written(tmp_path: Path) -> None:
    record = CycleRecord(tmp_path / "cycles.sqlite")
    record.note(
        replace(
            ONE,
            task="\udcff" * 10_000,
            context=2**70,
            tokens=-(2**90),
            tokens_per_s=float("nan"),
            device_use=float("inf"),
        )
    )
    record.close()
    (found,) = record.latest(9)
    assert len(found.task) == 8_000 and found.context == 2**63 - 1
    assert found.tokens_per_s == 0.0 and record.dropped == 0
