"""The benchmark of GPUs, as far as it can be tried without one: its ways, books and goals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.backends import CompiledNetwork
from aegis_ros.backends.testing.simulated import lasting
from aegis_ros.memory import Footprint
from aegis_ros.network import NetworkInput, TensorInfo
from aegis_ros.spec import FrameFormat
from benchmarks.compare.results import Results
from benchmarks.compare.rounds import Arm
from benchmarks.compare.workload import Network, Task, Workload
from benchmarks.gpu.__main__ import Report
from benchmarks.gpu.goals import goals, wilson
from benchmarks.gpu.ways import Bench, one_round

MS = 1_000_000


def network(cost_ms: int) -> CompiledNetwork:
    return CompiledNetwork(
        backend="simulated",
        key="key",
        paths=lasting("simulated.onnx", cost_ms * MS),
        inputs=(
            NetworkInput(TensorInfo("frame", "uint8", ("h", "w", 3)), FrameFormat.RGB8, (8, 8, 3)),
        ),
        outputs=(TensorInfo("values", "float32", (4,)),),
        footprint=Footprint(1000),
    )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    networks = {name: Network(name, {}, "high", (8, 8)) for name in ("quick", "slow")}
    device = {"backend": "simulated", "switch_ms": 0.1}
    return Bench(
        Workload(networks, {}, "quick", device, None, 1.0, 0.5),
        {"quick": network(1), "slow": network(40)},
        tmp_path,
        tmp_path,
    )


TASKS = (
    Task("quick", "quick", "/quick", 20.0, 20.0, "high"),
    Task("slow", "slow", "/slow", 100.0, 100.0, "high"),
)


@pytest.mark.parametrize("way", ["processes", "streams", "queue"])
def test_a_usual_way_runs_every_network_and_books_every_frame(bench: Bench, way: str) -> None:
    item = one_round(bench, Arm(way, way, way), load=0.5, number=0, tasks=TASKS, seconds=1.0)
    assert item.seconds == pytest.approx(1.0, rel=0.5)
    for task in TASKS:
        one = item.tasks[task.name]
        assert one.frames >= 5
        assert 0 < len(one.response_ms) <= one.frames
        assert one.without == one.frames - len(one.response_ms)
        assert (one.response_ms >= one.execution_ms).all()
    slow = float(item.tasks["slow"].execution_ms.min())
    assert slow >= 40.0
    # One behind the other in a queue; elsewhere a sleeping device holds nobody up.
    waited = float(item.tasks["quick"].response_ms.max())
    assert way != "queue" or waited >= 10.0


def test_a_part_that_fails_costs_itself_alone_and_is_noted(tmp_path: Path) -> None:
    facts: dict[str, Any] = {"device": "none", "failed": []}
    results = Results(
        Workload({}, {}, "a", {}, None, 1.0, 0.5), [], [], ways=[], goals=goals, facts=facts
    )
    report = Report(facts, results, tmp_path / "gpu.json", None)
    with report.part("one that ends the process"):
        raise SystemExit("no result within 30 s")
    with report.part("one that works"):
        facts["measured"] = 7
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert written["measured"] == 7
    assert written["failed"] == ["one that ends the process: SystemExit: no result within 30 s"]
    with pytest.raises(KeyboardInterrupt), report.part("one that a person ends"):
        raise KeyboardInterrupt


def test_the_interval_of_a_share() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(0, 1000)
    assert low == 0.0 and high == pytest.approx(0.0038, abs=1e-4)
    low, high = wilson(10, 100)
    assert (low, high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))


def test_what_would_speak_against_deadline_order_is_asked() -> None:
    def row(late: int) -> dict[str, Any]:
        return {"criticality": "high", "frames": 100, "late": late, "without": 0}

    proven = row(2) | {"bound_ms": 10.0, "worst_ms": 11.0, "beyond_bound": 1}
    rows = {"aegis": {"a": proven}, "streams": {"a": row(1)}, "queue": {"a": row(3)}}
    device = {"backend": "tensorrt", "switch_ms": 0.1}
    found = goals(
        {"0.8": {"rows": rows, "machine": {"aegis": {"lane_lost": 0.01}}}},
        Workload({}, {}, "a", device, None, 1.0, 0.5),
    )
    met = {what.split(": ", 1)[1]: ok for what, _, ok in found}
    assert met == {
        "no frame of high criticality late or without a result": False,
        "no larger share late than in way 'streams'": False,
        "no larger share late than in way 'queue'": True,
        "every response within its bound": False,
        "lane time lost to dispatch and switching below 2 %": True,
    }
