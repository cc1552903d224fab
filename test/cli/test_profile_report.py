"""Reports are written for whatever was measured, from ten runs to many segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aegis_ros.cli.profile_answer import Measured, as_json, print_answer
from aegis_ros.cli.profile_pairs import print_pairs
from aegis_ros.cli.profile_report import require_report, write_report
from aegis_ros.config import parse_task
from aegis_ros.errors import ConfigError
from aegis_ros.wcet import (
    Batch,
    Cache,
    Condition,
    Neighbour,
    Place,
    Profile,
    ProfileKey,
    Stress,
)

TASK = parse_task(
    {
        "name": "net",
        "model": "net.onnx",
        "period_ms": 100,
        "input": {"topic": "/in"},
        "output": {"topic": "/out"},
    }
)
MEMORY = Condition(Stress.MEMORY)
COLD = Condition(cache=Cache.COLD)


def measured(*batches: Batch, problem: str = "") -> Measured:
    return Measured(TASK, Profile(ProfileKey("n", "b", "<cpu>"), "d" * 64, batches), problem)


def batch(condition: Condition, runs: int, segments: int = 1, seed: int = 1) -> Batch:
    drawn = np.random.default_rng(seed).exponential(1e5, (runs, segments))
    return Batch((1e6 + drawn).astype(np.int64), 10**18, condition, {"kernel": "6.1"})


MANY = measured(batch(Condition(), 3000), batch(MEMORY, 700, seed=2), batch(COLD, 10))
CUT = measured(batch(Condition(), 600, segments=3))
ONE_RUN = measured(batch(Condition(), 1))
WITH_OTHERS = measured(
    batch(Condition(), 300),
    *(
        batch(Condition(neighbour=Neighbour(name, Place.AFTER, "", name)), 20, seed=seed)
        for seed, name in enumerate(("other", "third"), 5)
    ),
    batch(Condition(neighbour=Neighbour("other", Place.BESIDE, "b", "other")), 20, seed=9),
)
ALL_EQUAL = measured(Batch(np.full((40, 1), 5_000_000, np.int64), 10**18))
NOTHING = Measured(TASK, None, "net cannot be <read>")


def test_a_picture_is_written(tmp_path: Path) -> None:
    path = tmp_path / "report.png"
    require_report(path)
    write_report(path, [MANY, CUT])
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("item", [ONE_RUN, ALL_EQUAL, WITH_OTHERS])
def test_few_and_equal_runs_are_drawn_too(tmp_path: Path, item: Measured) -> None:
    write_report(tmp_path / "report.png", [item])
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_a_page_reports_what_was_and_what_could_not_be_measured(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    require_report(path)
    write_report(path, [NOTHING, MANY, CUT, WITH_OTHERS])
    text = path.read_text()
    assert text.startswith("<!doctype html>")
    assert "net cannot be &lt;read&gt;" in text
    assert "&lt;cpu&gt;" in text
    assert "alone, cold caches" in text


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing was measured"):
        write_report(tmp_path / "report.png", [NOTHING])


def test_the_table_has_a_row_for_each_condition(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    print_answer(Console(width=80), [MANY, CUT, NOTHING])
    rows = capsys.readouterr().out.splitlines()
    assert any(row.split()[:4] == ["net", "alone", "warm", "3000"] for row in rows)
    assert any(row.split()[:3] == ["memory", "warm", "700"] for row in rows if row.split())
    assert sum("segment " in row and "alone" in row and "600" in row for row in rows) == 3
    assert any(", in 3 segments whose budgets add up to 5.75 ms; " in row for row in rows)
    assert "net cannot be <read>" in rows


@pytest.mark.parametrize("width", [36, 80, 200])
def test_every_pair_is_reported_however_narrow_the_terminal(
    capsys: pytest.CaptureFixture[str], width: int
) -> None:
    from rich.console import Console

    print_pairs(Console(width=width), [("net", WITH_OTHERS.profile), ("other", CUT.profile)])
    printed = capsys.readouterr().out
    rows = [row.split() for row in printed.splitlines() if row.split()[:1] == ["net"]]
    # Each part repeats the runs alone: two figures, and two for each neighbour.
    assert sum(len(row) - 3 for row in rows) == 2 * 3
    assert all(name in printed for name in ("other", "third", "other (b)"))


def test_of_many_pairs_the_table_shows_the_worst(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    print_answer(Console(width=80), [WITH_OTHERS])
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert sum(row[:1] in (["after"], ["beside"]) for row in rows) == 1


def test_the_budget_of_the_whole_is_that_of_its_runs_beside_the_sum_of_its_segments() -> None:
    answer = as_json(CUT)
    (condition,) = answer["conditions"]
    parts = [item["wcet_ms"] for item in condition["segments"]]
    assert len(parts) == 3
    assert answer["sum_of_segments_ms"] == pytest.approx(sum(parts))
    assert max(parts) < answer["wcet_ms"] < sum(parts)
    assert answer["wcet_ms"] == condition["wcet_ms"] == condition["whole"]["wcet_ms"]
    assert CUT.profile is not None
    slowest = int(CUT.profile.samples_ns.sum(axis=1).max())
    assert condition["whole"]["max_ms"] == answer["max_ms"] == slowest / 1e6


def test_a_problem_is_reported_beside_what_is_known() -> None:
    answer = as_json(measured(batch(Condition(), 20), problem="the engine is gone"))
    assert (answer["measured"], answer["sentence"]) == (False, "the engine is gone")
    assert answer["runs"] == 20


def test_fewer_cold_runs_than_warm_ones_say_how_to_measure_more_where_they_decide() -> None:
    warm = Batch(np.full((300, 1), 1_000_000, np.int64), 1)
    cold = Batch(np.full((50, 1), 2_000_000, np.int64), 1, condition=COLD)
    assert "--cold-runs 300 measures as many" in measured(warm, cold).sentence
    quick = Batch(np.full((50, 1), 500_000, np.int64), 1, condition=COLD)
    assert "--cold-runs" not in measured(warm, quick).sentence
