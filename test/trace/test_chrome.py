"""Chrome's trace events, as Perfetto wants them: it drops what is not so, and says it lost data."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask
from aegis_ros.simulation import simulate, sporadic_arrivals
from aegis_ros.simulation.tracing import trace_of
from aegis_ros.trace import RECORD, RecordKind
from aegis_ros.trace.chrome import chrome_events
from aegis_ros.trace.history import Trace, TracedTask
from test.task_sets import task_sets
from test.trace.made import answered

_MS = 1_000_000


def _published(late_ns: list[int]) -> Trace:
    """Jobs every 10 ms, each published so long after it finished."""
    rows = []
    for seq, delay in enumerate(late_ns):
        at = seq * 10 * _MS
        rows.append((RecordKind.RELEASED, seq, at, [at, at, at + 9 * _MS, 0]))
        rows.append((RecordKind.FINISHED, seq, at + _MS, [at, at + 9 * _MS, 0, 0]))
        rows.append((RecordKind.PUBLISHED, seq, at + _MS + delay, [0, 0, 0, 0]))
    records = np.zeros(len(rows), RECORD)
    for index, (kind, seq, time_ns, values) in enumerate(rows):
        records[index] = (kind, 0, 0, 1, seq, time_ns, values, index)
    return Trace(records, {1: TracedTask(1, "camera")})


def _check(trace: Trace) -> None:
    events = list(chrome_events(trace))
    flows: dict[Any, Counter[str]] = {}
    tracks: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in events:
        if event["ph"] in "stf":
            assert isinstance(event["id"], int), "Perfetto binds no flow with another id"
            flows.setdefault(event["id"], Counter())[event["ph"]] += 1
        elif event["ph"] == "X":
            key = event["pid"], event["tid"]
            tracks.setdefault(key, []).append((event["ts"], event["ts"] + event["dur"]))
    assert all(count["s"] == 1 and count["f"] <= 1 for count in flows.values())
    assert len(flows) == len(trace.jobs)
    for slices in tracks.values():
        open_until: list[float] = []
        for begin, end in sorted(slices, key=lambda each: (each[0], -each[1])):
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            assert not open_until or end <= open_until[-1], "one lies within another"
            open_until.append(end)


@given(task_sets(), st.integers(0, 10**6))
def test_arrows_have_numbers_and_slices_lie_beside_or_within_each_other(
    tasks: list[AnalysisTask], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    work = sporadic_arrivals(tasks, 200, generator).with_overruns(0, 2.0, 0.3, generator)
    _check(trace_of(("lane", simulate(tasks, work, queue=3, keep_runs=True))))


@given(st.lists(st.integers(0, 40 * _MS), max_size=12))
def test_results_that_leave_one_behind_the_other_do_not_overlap(late_ns: list[int]) -> None:
    _check(_published(late_ns))


def test_a_job_that_ended_at_an_early_exit_is_distinguished_from_the_others() -> None:
    trace = _published([0, 0])
    records = trace.records.copy()
    records["values"][(records["kind"] == RecordKind.FINISHED) & (records["seq"] == 1), 3] = 1
    trace = Trace(records, trace.tasks)
    assert [job.early_exit for job in trace.jobs.values()] == [False, True]
    names = [event.get("name", "") for event in chrome_events(trace)]
    assert sum(name.startswith("result of") for name in names) == 1
    assert sum(name.startswith("early result of") for name in names) == 1


def test_what_a_generator_ran_is_named_by_its_steps() -> None:
    trace = answered()
    _check(trace)
    events = [each for each in chrome_events(trace) if each.get("cat") == "llm"]
    assert [each["name"] for each in events] == [
        *["llm#0 prefill 2"] * 2,
        *["llm#0 decode 1"] * 4,
    ]
    assert [each["args"]["name"] for each in events[:2]] == ["prefill 2 part 0", "prefill 2 part 1"]
    cameras = [each for each in chrome_events(trace) if each.get("cat") == "camera"]
    assert [each["name"] for each in cameras] == ["camera#0", "camera#1"]
    assert "name" not in cameras[0]["args"]
    marks = [each["name"] for each in chrome_events(trace) if each["ph"] == "i"]
    assert marks == ["deadline of camera#0", "deadline of camera#1"]
