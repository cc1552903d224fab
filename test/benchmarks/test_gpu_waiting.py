"""What a job costs on a GPU lane: as much of the measurement as runs without a GPU."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from aegis_ros.backends.testing import networks
from aegis_ros.engine import JobResult
from aegis_ros.spec import Wait
from benchmarks.compare.workload import Network, Workload
from benchmarks.gpu import host, waiting
from benchmarks.gpu.bench import Bench
from test.backends import fake_ort
from test.benchmarks.test_gpu import network

US = 1_000


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_JOBS": 5, "_BLOCK": 4, "_PILED": 3}.items():
        monkeypatch.setattr(waiting, name, value)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    declared = {"quick": Network("quick", {}, "high", (8, 8))}
    device = {"backend": "simulated", "switch_ms": 0.1}
    workload = Workload(declared, {}, "quick", device, None, 1.0, 0.5)
    return Bench(workload, {"quick": network(1)}, tmp_path, tmp_path)


def test_a_device_that_nothing_waits_for_is_measured_in_the_one_way_it_has(bench: Bench) -> None:
    parts = list(waiting.job_costs(bench, bench.compiled, {}, rounds=2))
    assert [what for what, _ in parts] == [
        f"what a job costs in the engine, wait: sleep, turn {turn}" for turn in (1, 2)
    ]
    (row,) = parts[1][1]()
    assert (row["network"], row["way"], row["turn"], row["segments"]) == ("quick", "sleep", 1, 1)
    assert row["release_to_start_us"]["count"] == row["end_to_next_start_us"]["count"] + 1 == 5
    assert row["cycle_us"]["p50"] >= 1000.0
    assert row["sent_to_end_us"]["p50"] >= 1000.0
    assert "gpu_idle_us" not in row


def test_every_way_is_timed_on_one_thread_with_the_same_network(
    tmp_path: Path, make_network: Callable[..., Any]
) -> None:
    backend = fake_ort.fake_backend()
    compiled = backend.compile(make_network("chain"), tmp_path, 3)
    rows = waiting.of_thread(backend, "chain", compiled)
    assert [row["way"] for row in rows] == [str(way) for way in Wait]
    assert {row["segments"] for row in rows} == {3}
    assert len({row["device_us"] for row in rows}) == 1
    for row in rows:
        assert row["beyond_us"]["count"] == 4 * waiting._BLOCK
    driver = backend._driver
    assert driver.names().count("spin") >= 3 * 4 * waiting._BLOCK  # type: ignore[attr-defined]
    assert not any(driver.held.values())  # type: ignore[attr-defined]


def test_what_the_gpu_waits_for_lies_between_two_ends_on_the_host() -> None:
    jobs = [
        JobResult(0, seq, 0, 0, 0, 0, end - 900 * US, end, 850 * US, {})
        for seq, end in enumerate(np.cumsum([1000 * US, 1000 * US, 1000 * US]).tolist())
    ]
    found = waiting._behind(jobs, 800.0)
    assert found["cycle_us"]["p50"] == 1000.0
    assert found["end_to_next_start_us"]["p50"] == 100.0
    assert found["within_us"]["p50"] == 50.0
    assert found["gpu_idle_us"]["p50"] == 200.0
    assert found["lost"] == pytest.approx(0.2)


def test_both_tables_are_printed_and_each_way_is_held_to_the_goal() -> None:
    numbers = {"count": 1, "p50": 10.0, "p99": 20.0, "max": 30.0}
    engine = {
        "part": "engine",
        "network": "a",
        "segments": 1,
        "turn": 0,
        "core_behind": None,
        **dict.fromkeys(
            ("release_to_start_us", "end_to_next_start_us", "within_us", "gpu_idle_us"), numbers
        ),
    }
    rows = [
        {"part": "thread", "network": "a", "segments": 1, "way": "spin", "device_us": 500.0}
        | {"beyond_us": numbers, "core": 1.0},
        engine | {"way": "spin", "lost": 0.01},
        engine | {"way": "sleep", "lost": 0.06},
    ]
    out = io.StringIO()
    waiting.show_job_costs(Console(file=out, width=200), rows)
    text = out.getvalue()
    assert "beyond the time of the GPU" in text and "through the engine" in text
    assert "lane time lost < 2% with wait: spin: yes (at most 1.0%)" in text
    assert "lane time lost < 2% with wait: sleep: no (at most 6.0%)" in text


@pytest.fixture
def make_network(tmp_path: Path) -> Callable[..., Any]:
    """Return a function (kind, name, shape) -> PreparedNetwork."""
    return lambda *arguments: networks.make_network(tmp_path, *arguments)


def test_the_hosts_part_of_a_job_is_timed_and_its_memory_counted_without_a_gpu() -> None:
    found = host.figures(3)
    assert [(each.unit, each.count) for each in found] == [
        ("us", 30),
        ("bytes", 3),
        ("bytes", 3),
        ("us", 3),
        ("us", 3),
        ("us", 30),
        ("bytes", 3),
        ("bytes", 3),
    ]
    assert all(each.p50 > 0 for each in found if "what stays" not in each.name)
    out = io.StringIO()
    host.show_host(Console(file=out, width=200), [asdict(each) for each in found])
    assert "what stays of that" in out.getvalue()


def test_memory_that_a_job_keeps_is_told_from_what_it_gives_back() -> None:
    kept: list[bytes] = []

    def gives_back() -> float:
        return float(len(bytes(10_000)))

    def keeps() -> float:
        kept.append(bytes(1_000))
        return gives_back()

    peak, stays = host._memory("a job", gives_back, 100)
    assert peak.p50 == pytest.approx(10_000, rel=0.1) and stays.p50 == pytest.approx(0, abs=50)
    peak, stays = host._memory("a job", keeps, 100)
    assert peak.p50 >= 11_000 and stays.p50 == pytest.approx(1_050, rel=0.1)
