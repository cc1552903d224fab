"""`aegis explain`, `export` and `report`, as a person runs them on a trace."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.analysis import AnalysisTask
from aegis_ros.rationale import Counterfactual, Decision, Rationale, ResponseBound, Rule, Witness
from aegis_ros.trace import RecordKind
from aegis_ros.trace.explain import PartKind
from aegis_ros.trace.history import Trace
from aegis_ros.trace.page import report_page
from aegis_ros.trace.records import rule_code
from test.cli.conftest import Aegis
from test.trace.made import Release, answered, traced

pytest.importorskip("mcap")

from aegis_ros.trace.mcap_file import TraceFile

_MS = 1_000_000
_REJECTED = Rationale(
    4,
    10**18,
    "vlm",
    Decision.REJECTED,
    Rule.DEMAND_BOUND,
    "vlm does not fit lane gpu.",
    left=43.0,
    relation=">",
    right=40.0,
    unit="ms",
    lane="gpu",
    witness=Witness("gpu", 40 * _MS, 38 * _MS, 5 * _MS, "slam", -3 * _MS),
    responses=(ResponseBound("camera", "gpu", 9 * _MS, 15 * _MS),),
    counterfactuals=(Counterfactual("vlm", "period_ms", 450.0, "period_ms of vlm at least 450"),),
)


def _blocked(late: bool = True) -> Trace:
    tasks = [
        AnalysisTask("camera", (4 * _MS,), 20 * _MS, 15 * _MS),
        AnalysisTask("slam", (18 * _MS,), 100 * _MS, 90 * _MS),
    ]
    releases: list[Release] = [(0, n * 20 * _MS, n * 20 * _MS, (4 * _MS,)) for n in range(6)]
    if late:
        releases.append((1, 59 * _MS, 59 * _MS, (18 * _MS,)))
    return traced(tasks, releases)


@pytest.fixture
def late(tmp_path: Path) -> str:
    return _written(_blocked(), tmp_path / "run.mcap", _REJECTED)


def _written(trace: Trace, path: Path, *rationales: Rationale) -> str:
    with TraceFile(path, lanes=("gpu",), config="lanes: []\n", wall_offset_ns=10**18) as file:
        for task in trace.tasks.values():
            file.add_task(replace(task, lane="gpu"))
        file.add_records(trace.records)
        for rationale in rationales:
            file.add_rationale(rationale)
    return str(path)


def test_a_run_is_reported_in_sentences_then_figures_then_decisions(
    aegis: Aegis, late: str
) -> None:
    said = aegis("explain", late)
    assert said.code == 1
    order = ["7 jobs, 1 late", "latency from frame", "camera#4 was 6.00 ms late", "blocked it"]
    places = [said.out.index(text) for text in [*order, "vlm does not fit"]]
    assert places == sorted(places)


def test_a_run_in_time_ends_with_0(aegis: Aegis, tmp_path: Path) -> None:
    said = aegis("explain", _written(_blocked(late=False), tmp_path / "run.mcap"))
    assert said.code == 0 and "0 late" in said.out


def test_the_worst_job_is_taken_apart_and_its_cause_named(aegis: Aegis, late: str) -> None:
    said = aegis("explain", late, "--worst")
    assert said.code == 1
    assert "Because slam#3, less urgent but already running, blocked it for 17 ms" in said.out
    assert "would have met its deadline" in said.out
    assert re.search(r"blocking\s+slam#3 segment 0\s+17\.00\s+81\.0%", said.out)
    assert re.search(r"all\s+21\.00\s+100\.0%", said.out)


def test_a_job_can_be_asked_for_by_its_name(aegis: Aegis, late: str) -> None:
    said = aegis("explain", late, "--job", "camera#0")
    assert said.code == 0 and "camera#0 was in time" in said.out


def test_parts_in_json_add_up_to_the_latency(aegis: Aegis, late: str) -> None:
    job = json.loads(aegis("explain", late, "--worst", "--format", "json").out)
    assert sum(part["ms"] for part in job["parts"]) == pytest.approx(job["latency_ms"])
    assert job["late_ms"] == 6.0 and job["causes"][0]["kind"] == "blocking"


def test_a_run_in_json_holds_all_that_is_known(aegis: Aegis, late: str) -> None:
    run = json.loads(aegis("explain", late, "--format", "json").out)
    assert run["jobs"] == 7 and run["late"] == 1 and run["records_lost"] == 0
    assert [task["name"] for task in run["tasks"]] == ["camera", "slam"]
    assert run["decisions"][0]["id"] == 4


def test_a_decision_is_repeated_with_its_numbers(aegis: Aegis, late: str) -> None:
    said = aegis("explain", late, "--decision", "4")
    assert said.code == 1
    for text in ("vlm rejected by the rule demand_bound", "43 > 40 ms", "= 43.00 > t = 40.00 ms",
                 "period_ms of vlm at least 450", "9.00"):  # fmt: skip
        assert text in said.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--job", "camera#99"), "expected camera#0 to camera#6"),
        (("--job", "lidar#1"), "one of: camera, slam"),
        (("--job", "camera"), "expected camera#0"),
        (("--decision", "7"), "one of: 4"),
        (("--worst", "--job", "camera#1"), "exclude each other"),
        (("--format", "xml"), "text or json"),
    ],
)
def test_what_is_missing_is_reported_with_what_is_there(
    aegis: Aegis, late: str, arguments: tuple[str, ...], text: str
) -> None:
    said = aegis("explain", late, *arguments)
    assert said.code == 2 and text in said.err and not said.out


def test_an_empty_trace_is_no_mistake(aegis: Aegis, tmp_path: Path) -> None:
    path = _written(Trace(_blocked().records[:0]), tmp_path / "run.mcap")
    assert aegis("explain", path).code == 0
    assert aegis("export", path, "--chrome", str(tmp_path / "run.json")).code == 0
    assert aegis("report", path, "-o", str(tmp_path / "run.html")).code == 0
    said = aegis("explain", path, "--worst")
    assert said.code == 2 and "no job ended" in said.err


def test_a_job_is_drawn(aegis: Aegis, late: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "worst.svg"
    assert aegis("explain", late, "--plot", str(path)).code == 1
    assert "<svg" in path.read_text(encoding="utf-8")


def test_an_export_has_every_segment_arrow_and_deadline(
    aegis: Aegis, late: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    assert aegis("export", late, "--perfetto", str(path)).code == 0
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    kinds = Counter(event["ph"] for event in events)
    assert kinds["s"] == kinds["f"] == 7
    assert sum("ending" in event.get("args", {}) for event in events) == 7, "one slice a job"
    assert kinds["t"] == 7, "one segment each"
    assert sum("deadline of" in event["name"] for event in events if event["ph"] == "i") == 7
    assert any("missed by 6 ms" in event["name"] for event in events)
    names = {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert {"lane gpu", "camera: frames", "camera: results", "decisions"} <= names
    assert min(event["ts"] for event in events if "ts" in event) >= 0


def test_slices_of_one_track_overlap_only_where_parts_lie_in_their_job(
    aegis: Aegis, late: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    aegis("export", late, "--chrome", str(path))
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    ends: dict[tuple[int, int], float] = {}
    slices = (e for e in events if e["ph"] == "X" and "ending" not in e.get("args", {}))
    for event in sorted(slices, key=lambda e: e["ts"]):
        track = event["pid"], event["tid"]
        assert event["ts"] >= ends.get(track, 0.0) - 1e-6
        ends[track] = event["ts"] + event["dur"]


def test_an_export_without_a_target_says_which_there_are(aegis: Aegis, late: str) -> None:
    said = aegis("export", late)
    assert said.code == 2 and "--perfetto FILE" in said.err


def test_early_exits_are_counted_where_there_are_any(
    aegis: Aegis, tmp_path: Path, late: str
) -> None:
    trace = _blocked(late=False)
    records = trace.records.copy()
    ends = np.flatnonzero(records["kind"] == RecordKind.FINISHED)
    records["values"][ends[:2], 3] = 1
    early = _written(replace(trace, records=records), tmp_path / "early.mcap")
    assert json.loads(aegis("explain", early, "--format", "json").out)["tasks"][0]["early"] == 2
    assert "early" in aegis("explain", early).out
    assert "early" not in aegis("explain", late).out


def test_every_part_of_a_latency_has_a_colour_on_the_page() -> None:
    page = report_page(_blocked(), "a run")
    colours = page.split("const KIND = {", 1)[1].split("}", 1)[0]
    named = re.findall(r'"?([\w-]+)"?: "#[0-9a-f]{6}"', colours)
    assert set(named) == set(PartKind)


def test_a_report_is_one_page_that_asks_nobody_for_anything(
    aegis: Aegis, late: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.html"
    assert aegis("report", late, "-o", str(path)).code == 0
    page = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'`]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}, "the name of a format, never fetched"
    assert "default-src 'none'" in page and "camera#4" in page
    assert not re.search(r"\b(src|href)\s*=", page)


def test_a_name_cannot_break_out_of_the_page(aegis: Aegis, tmp_path: Path) -> None:
    trace = _blocked()
    evil = "</script><script>alert(1)</script>"
    tasks = {0: replace(trace.tasks[0], name=evil)}
    path = _written(Trace(trace.records, tasks), tmp_path / "run.mcap")
    aegis("report", path, "-o", str(tmp_path / "run.html"))
    assert evil not in (tmp_path / "run.html").read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_reported(
    aegis: Aegis, late: str, tmp_path: Path
) -> None:
    said = aegis("report", late, "-o", str(tmp_path / "no" / "folder.html"))
    assert said.code == 2 and "cannot be written" in said.err


def test_an_answer_is_taken_apart_by_its_steps_and_the_slack_it_had(
    aegis: Aegis, tmp_path: Path
) -> None:
    path = _written(answered(_MS), tmp_path / "run.mcap")
    said = aegis("explain", path, "--job", "llm#0")
    assert said.code == 0
    assert "llm#0 answered for 28.00 ms; no deadline is promised to it" in said.out
    assert re.search(r"prefill 2 +1 +4\.00 +2\.00", said.out), said.out
    assert re.search(r"decode 1 +2 +8\.00 +3\.00", said.out), said.out
    words = " ".join(said.out.split())
    assert "In 28.00 ms, tasks held its lane for 16.00 ms (57%)" in words
    assert "of the 12.00 ms that they left it used 12.00 ms (100%)" in words
    assert "the longest wait without a break took 10.00 ms, the last of it for camera#0" in words


def test_who_waits_for_a_generator_is_told_for_which_step(aegis: Aegis, tmp_path: Path) -> None:
    path = _written(answered(_MS), tmp_path / "run.mcap")
    assert "llm#0 prefill 2 part 1" in aegis("explain", path, "--job", "camera#0").out
    assert "llm#0 decode 1 part 1" in aegis("explain", path, "--job", "camera#1").out


def test_programs_get_the_steps_of_an_answer_and_its_slack(aegis: Aegis, tmp_path: Path) -> None:
    path = _written(answered(_MS), tmp_path / "run.mcap")
    found = json.loads(aegis("explain", path, "--job", "llm#0", "--format", "json").out)
    assert found["steps"] == [
        {"step": "prefill 2", "times": 1, "ms": 4.0, "longest_part_ms": 2.0},
        {"step": "decode 1", "times": 2, "ms": 8.0, "longest_part_ms": 3.0},
    ]
    assert found["slack"] == {
        "taken_ms": 16.0,
        "left_ms": 12.0,
        "used_ms": 12.0,
        "longest_wait_ms": 10.0,
    }
    camera = json.loads(aegis("explain", path, "--job", "camera#0", "--format", "json").out)
    assert "steps" not in camera and "slack" not in camera
    (blocked,) = [each for each in camera["parts"] if each["task"] == "llm"]
    assert (blocked["segments"], blocked["names"]) == ([1], ["prefill 2 part 1"])


def test_answers_are_never_late_whatever_a_generator_promises(aegis: Aegis, tmp_path: Path) -> None:
    trace = answered(_MS)
    tasks = dict(trace.tasks)
    tasks[2] = replace(tasks[2], criticality="low")
    said = aegis("explain", _written(replace(trace, tasks=tasks), tmp_path / "run.mcap"))
    assert said.code == 0 and "0 late" in said.out
    assert re.search(r"llm +gpu +1 +0 +0 +28\.00 +28\.00 +28\.00 +- *\n", said.out), said.out


def _cut(trace: Trace, ending: RecordKind | None) -> Trace:
    """Return a trace that ends, or whose generator is stopped, 18 ms after it began."""
    records = trace.records[trace.records["time_ns"] <= 18 * _MS].copy()
    if ending is not None:
        row = records[:1].copy()
        values = (rule_code(Rule.CRITICALITY), 0, 0, 0)
        row[0] = (ending, 0, 0, 2, 0, 18 * _MS, values, len(records))
        records = np.concatenate([records, row])
    return replace(trace, records=records)


def test_an_answer_that_was_stopped_or_goes_on_is_told_as_such(
    aegis: Aegis, tmp_path: Path
) -> None:
    stopped = _written(_cut(answered(_MS), RecordKind.SKIPPED), tmp_path / "stopped.mcap")
    said = aegis("explain", stopped, "--job", "llm#0")
    assert "llm#0 was stopped (criticality) after it had answered for 18.00 ms" in said.out
    goes_on = _written(_cut(answered(_MS), None), tmp_path / "goes_on.mcap")
    said = aegis("explain", goes_on, "--job", "llm#0")
    assert "llm#0 had answered for 18.00 ms when the trace ended" in said.out
    assert aegis("explain", goes_on, "--job", "llm#7").err.endswith("expected llm#0.\n")


def test_the_picture_of_an_answer_names_its_steps(
    aegis: Aegis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    path, picture = _written(answered(_MS), tmp_path / "run.mcap"), tmp_path / "answer.svg"
    assert aegis("explain", path, "--job", "llm#0", "--plot", str(picture)).code == 0
    drawn = picture.read_text(encoding="utf-8")
    assert ">prefill 2<" in drawn and ">decode 1<" in drawn and ">#0<" in drawn
    assert ">time since it began / ms<" in drawn and ">deadline<" not in drawn


def test_the_report_names_steps(tmp_path: Path) -> None:
    page = report_page(answered(_MS), "a run")
    assert '"prefill 2 part 0"' in page and '"decode 1 part 1"' in page
