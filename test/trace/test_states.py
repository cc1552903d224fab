"""States: what is noted once a second is read back, reported, and drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("mcap")

from aegis_ros.trace import RECORD
from aegis_ros.trace.chrome import chrome_events
from aegis_ros.trace.history import Trace
from aegis_ros.trace.mcap_file import TraceFile, read_trace
from aegis_ros.trace.page import report_page
from aegis_ros.trace.states import RunState, run_states, shown_series, state_sentences

SECOND = 10**9
MIB = 2**20

names = st.text(min_size=1, max_size=8)
states = st.builds(
    RunState,
    time_ns=st.integers(0, 10**15),
    arena_used_bytes=st.integers(0, 2**40),
    arena_budget_bytes=st.integers(0, 2**40),
    clock_factor=st.floats(0.01, 1.0),
    temperature_c=st.none() | st.floats(-40.0, 150.0),
    throttled=st.booleans(),
    device_source=st.text(max_size=8),
    engine_pid=st.integers(0, 2**22),
    restarts=st.integers(0, 100),
    waiting=st.dictionaries(names, st.integers(0, 1000), max_size=3),
    tasks=st.dictionaries(names, st.text(max_size=8), max_size=3),
)


def _trace(*kept: RunState) -> Trace:
    return Trace(np.zeros(0, RECORD), states=tuple((each.time_ns, each.plain()) for each in kept))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_count_as_not_known(value: str) -> None:
    text = '{"arena": {"used_bytes": ?}, "engine": {"pid": ?}, "device": {"clock_factor": ?}}'
    plain = json.loads(text.replace("?", value))
    (read,) = run_states(Trace(np.zeros(0, RECORD), states=((5, plain),)))
    assert (read.arena_used_bytes, read.engine_pid, read.clock_factor) == (0, 0, 1.0)


@given(states)
def test_a_state_comes_back_from_what_lies_in_a_file(state: RunState) -> None:
    plain = json.loads(json.dumps(state.plain()))
    (read,) = run_states(Trace(np.zeros(0, RECORD), states=((state.time_ns, plain),)))
    assert read == state


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["arena", "device", "lanes", "tasks", "name", "used_bytes"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_what_another_version_wrote_never_stops_a_reader(state: object) -> None:
    if isinstance(state, dict):
        run_states(Trace(np.zeros(0, RECORD), states=((1, state),)))


def test_a_file_keeps_states(tmp_path: Path) -> None:
    kept = RunState(
        SECOND, MIB, 4 * MIB, 0.8, 66.0, True, "nvml", 7, 1, {"a": 3}, ("a",), {"t": "shed"}
    )
    with TraceFile(tmp_path / "run.mcap") as file:
        file.add_state(kept.time_ns, kept.plain())
    assert run_states(read_trace(tmp_path / "run.mcap")) == (kept,)


def test_arena_heat_and_restarts_are_reported_to_people() -> None:
    trace = _trace(
        RunState(0, 2 * MIB, 8 * MIB, 1.0, 50.0),
        RunState(SECOND, 3 * MIB, 8 * MIB, 0.75, 88.0, True, restarts=2),
    )
    assert state_sentences(trace) == (
        "Arena: 3.0 MiB of 8.0 MiB used",
        "Device: as slow as 75% of its nominal speed, 88 °C at most, throttled in 1 of 2 readings",
        "The engine was restarted 2 times",
    )
    assert state_sentences(_trace()) == ()
    assert state_sentences(_trace(RunState(0))) == ("Device: at nominal speed",)


def test_viewers_draw_what_was_known_and_leave_the_rest_out() -> None:
    trace = _trace(RunState(5, MIB, 8 * MIB), RunState(SECOND, 2 * MIB, 8 * MIB, 0.5))
    series = {name: points for name, _, points in shown_series(run_states(trace))}
    assert series == {
        "arena used": [(5, 1.0), (SECOND, 2.0)],
        "device speed": [(5, 100.0), (SECOND, 50.0)],
    }


def test_perfetto_gets_a_counter_for_each_and_no_time_before_zero() -> None:
    events = list(chrome_events(_trace(RunState(7 * SECOND, MIB), RunState(8 * SECOND, 2 * MIB))))
    counters = [event for event in events if event["ph"] == "C"]
    assert [(event["ts"], event["args"]["value"]) for event in counters[:2]] == [
        (0.0, 1.0),
        (1e6, 2.0),
    ]
    assert {event["name"] for event in counters} == {"arena used (MiB)", "device speed (%)"}
    assert all(event.get("ts", 0.0) >= 0.0 for event in events)


def test_a_long_run_keeps_its_peaks_on_the_page() -> None:
    kept = [RunState(n * SECOND, MIB * (9 if n == 3001 else 1)) for n in range(5000)]
    page = report_page(_trace(*kept), "a run")
    data = json.loads(page.split("const D = ", 1)[1].split(";\n", 1)[0])
    arena = data["states"][0]
    assert arena["name"] == "arena used" and arena["most"] == 9.0 and len(arena["points"]) <= 600
    assert max(value for _, value in arena["points"]) == 9.0
