"""The benchmark of GPUs: in which order it runs what, what it leaves out, and its goals."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aegis_ros.errors import BackendError
from benchmarks.compare.workload import Workload
from benchmarks.gpu import options
from benchmarks.gpu.goals import against_dividing, goals, overruns, wilson
from benchmarks.gpu.order import PREPARE_S, Step, steps, ways_at
from benchmarks.gpu.place import places
from benchmarks.gpu.report import Report
from benchmarks.gpu.running import Run


def test_no_part_begins_when_there_is_no_time(tmp_path: Path) -> None:
    report = Report({}, tmp_path / "gpu.json", 0.0)
    assert report.late("processes")
    assert report.facts["no_time"] == ["processes"]
    assert report.left_s() == 0.0
    other = Report({}, None, 60.0)
    assert not other.late("processes") and 0.0 < other.left_s() <= 60.0
    assert other.late("shares", 100.0) and not other.late("queue", 5.0)
    assert other.facts["no_time"] == ["shares: may take 100 s, and 60 s are left"]


def test_a_part_that_fails_costs_itself_alone_and_is_noted(tmp_path: Path) -> None:
    facts: dict[str, Any] = {"device": "none"}
    report = Report(facts, tmp_path / "gpu.json", 60.0)
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
    def row(late: int, p99: float) -> dict[str, Any]:
        found = {"criticality": "high", "frames": 100, "late": late, "without": 0}
        return found | {"p99_over_deadline": p99}

    proven = row(2, 0.4) | {"bound_ms": 10.0, "worst_ms": 11.0, "beyond_bound": 1}
    proven |= {"execution_max_ms": 3.0}
    nothing = {"a": {"criticality": "high", "frames": 100, "late": 0, "without": 100}}
    rows = {"aegis": {"a": proven}, "aegis_3": nothing}
    rows |= {"streams": {"a": row(1, 0.3)}, "queue": {"a": row(3, 0.5)}}
    machine = {
        "aegis": {"lane_lost": 0.01, "results_per_s": 90.0, "dispatch_p99_us": 60.0},
        "aegis_3": {"results_per_s": 0.0},
        "streams": {"results_per_s": 100.0},
    }
    summary = {"0.8": {"rows": rows, "machine": machine}}
    device = {"backend": "tensorrt", "switch_ms": 0.1}
    found = goals(summary, Workload({}, {}, "a", device, None, 1.0, 0.5))
    lost = "lane time lost to dispatch and switching below 2 %"
    more = "no larger share late than in way 'queue'"
    met = {
        "no frame of high criticality late or without a result": False,
        "no larger share late than in way 'streams'": False,
        more: True,
        "at least 95% of the results of way 'streams'": False,
        "p99 response of a no longer than in way 'streams'": False,
        "every response within its bound": False,
        "p99 from release to start on a free lane at most 50 us": False,
        lost: True,
    }
    by_arm: dict[str, dict[str, bool]] = {}
    for what, _, ok in found:
        where, goal = what.split(": ", 1)
        by_arm.setdefault(where, {})[goal] = ok
    # Where nothing ran, nothing was reached.
    assert by_arm == {
        "at 80%, aegis": met,
        "at 80%, aegis_3": dict.fromkeys(met, False),
    }
    assert overruns(summary, {"net": 2.0}, {"a": "net"}) == [
        "at 80%: a once took 3.00 ms, its budget is 2.00 ms"
    ]
    assert overruns(summary, {"net": 4.0}, {"a": "net"}) == []


def test_what_was_missed_by_little_is_told_with_digits_that_show_it() -> None:
    def way(p99: float | None, results: float) -> tuple[dict[str, Any], dict[str, float]]:
        row = {"criticality": "high", "frames": 9, "late": 0, "without": 0}
        told = row if p99 is None else row | {"p99_over_deadline": p99}
        return {"a": told}, {"results_per_s": results}

    ran = {"aegis": way(0.0123, 4.7), "aegis_3": way(None, 4.0), "streams": way(0.0109, 5.2)}
    rows, machine = ({arm: each[at] for arm, each in ran.items()} for at in range(2))
    device = {"backend": "tensorrt", "switch_ms": 0.1}
    summary = {"0.8": {"rows": rows, "machine": machine}}
    said = [reached for _, reached, _ in goals(summary, Workload({}, {}, "a", device, None, 1, 1))]
    for told in ("4.7 against 5.2 results/s", "4 against 5 results/s"):
        assert told in said
    assert "0.012 against 0.011 of the deadline" in said
    assert "no result against 0.01 of the deadline" in said


def test_dividing_speaks_against_us_where_a_neighbour_outside_its_part_is_no_worse() -> None:
    def rows(name: str, divided: float, control: float) -> list[dict[str, Any]]:
        ways = {"one lane on 64": 1.0, "two lanes, 64 and the rest": divided}
        ways |= {"control: 64, and the other on all": control}
        return [{"network": name, "way": way, "p999_factor": each} for way, each in ways.items()]

    (said,) = against_dividing([*rows("a", 1.1, 1.9), *rows("b", 1.5, 1.4)])
    assert "gain b nothing" in said and "1.40 times" in said and "1.50 times" in said


def test_every_way_has_a_turn_at_the_most_telling_load_before_any_at_another() -> None:
    places_there = places(
        "onnxruntime_cuda", ["whole", "inside"], inside=16, share=64, scale=0, copies=0
    )
    found = {place.name: ways_at(place, None, cores=16) for place in places_there}
    asked: dict[str, Any] = {"parts": ["ways", "costs", "apart"], "seconds": 2.5, "choose_s": 45.0}
    todo = steps(found, loads=[0.5, 0.8, 0.95, 1.3], on_cores=False, controlled=True, **asked)
    inside = [step for step in todo if step.place == "inside"]
    arms = {"streams", "solo", "queue", "processes", "aegis", "aegis_auto", "aegis_shares"}
    first = [step.way for step in inside if step.first]
    assert arms < set(first) and [step.way for step in inside[: len(first)]] == first
    assert {step.loads for step in inside if step.way == "aegis"} == {
        (load,) for load in (0.5, 0.8, 0.95, 1.3)
    }
    assert inside[0].loads == (0.8, 0.95, 0.5, 1.3)
    whole = [(step.kind, step.way) for step in todo if step.place == "whole"]
    assert [kind for kind, _ in whole if kind != "way"] == [
        "divided",
        "host",
        "costs",
        "contention",
        "loads",
        "segments",
    ]
    assert whole.index(("divided", "")) < len(found["whole"]) + 1
    # All arms at the most telling load inside, and the first on the whole, fit into its minutes.
    before = [step.place for step in todo].index("whole") + 1
    assert sum(step.seconds for step in todo[:before]) + 2 * PREPARE_S < 7.5 * 60
    (cpu,) = places("onnxruntime", ["whole"], inside=16, share=64, scale=0, copies=0)
    assert set(ways_at(cpu, None, cores=2)) == arms - {"aegis_shares"} | {"aegis_2"}
    assert ways_at(cpu, ["aegis", "streams"], cores=2) == ["streams", "aegis"]
    only = steps({"whole": ["streams"]}, loads=[0.8], on_cores=True, controlled=False, **asked)
    assert [step.kind for step in only] == ["way", "host", "costs", "contention", "segments"]


def test_parts_that_do_not_fit_are_left_out_and_those_that_fit_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place,) = places("onnxruntime", ["whole"], inside=16, share=64, scale=0, copies=0)
    report = Report({}, tmp_path / "gpu.json", 100.0)
    shown: Any = SimpleNamespace(console=SimpleNamespace(print=lambda text: None))
    run = Run(
        {"whole": place},
        {"whole": ["streams"]},
        options=argparse.Namespace(),
        report=report,
        state=tmp_path,
        folder=tmp_path,
        shown=shown,
    )
    done = []

    def of_kind(step: Step, stand: Any) -> None:
        done.append(step.title)
        if step.kind == "segments":
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "_of_kind", of_kind)
    monkeypatch.setitem(run._stands, "whole", cast("Any", SimpleNamespace()))
    kinds = {"contention": 1000.0, "costs": 1.0, "segments": 1.0, "loads": 1.0}
    run.all([Step("whole", kind, seconds) for kind, seconds in kinds.items()])
    assert done == ["what a job costs", "between segments"]
    first, *others = report.facts["no_time"]
    assert first.startswith("whole device: beside another network: may take 1000 s, and ")
    assert others == [
        "whole device: between segments: interrupted",
        "whole device: beside loads: not begun",
    ]
    monkeypatch.setitem(run._stands, "whole", None)
    run.all([Step("whole", "costs", 1.0)])
    assert report.facts["failed"] == ["whole device: what a job costs: its networks were not built"]


def test_the_backend_is_the_first_that_works_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(name: str) -> Any:
        if name != "onnxruntime":
            raise BackendError(f"no {name} here")
        return SimpleNamespace(device_name=lambda: "two cores")

    monkeypatch.setattr(options, "create_backend", made)
    assert options.device_of(None) == ("onnxruntime", "two cores")
    with pytest.raises(SystemExit, match="tensorrt: no tensorrt here"):
        options.device_of("tensorrt")
