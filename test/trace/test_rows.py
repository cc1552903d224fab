"""Rows of trace files: one declaration of each, and files of the version before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from aegis_ros.rationale import (
    Counterfactual,
    Decision,
    Rationale,
    ResponseBound,
    Rule,
    Witness,
)
from aegis_ros.rationale.frames import NewerFrame
from aegis_ros.trace import FIELDS, RecordKind
from aegis_ros.trace.explain import split
from aegis_ros.trace.history import Ending, TracedTask
from aegis_ros.trace.mcap_file import _DAMAGE
from aegis_ros.trace.records import Record
from aegis_ros.trace.rows import (
    RationaleRow,
    RecordRow,
    StateRow,
    decode_row,
    encode_row,
    rationale_of,
    rationale_row,
    record_row,
    row_schemas,
)
from aegis_ros.trace.states import RunState, run_states

pytest.importorskip("mcap")

from aegis_ros.trace.mcap_file import read_trace

DATA = Path(__file__).parent / "data"
MS = 1_000_000


def test_every_value_of_every_kind_has_a_place_in_a_row() -> None:
    named = {name for names in FIELDS.values() for name in names}
    assert named <= set(RecordRow.__struct_fields__)


def test_a_row_holds_only_what_its_kind_has() -> None:
    row = record_row(Record(RecordKind.SKIPPED, 0, 0, 1, 5, 100, [0, 0, 0, 0], 9), name="camera")
    assert json.loads(encode_row(row)) == {
        "kind": "skipped",
        "time_ns": 100,
        "lane": 0,
        "segment": 0,
        "task_id": 1,
        "task": "camera",
        "seq": 5,
        "serial": 9,
        "rule": 0,
        "rule_name": str(Rule.NEWER_FRAME),
    }


def test_schemas_are_plain_and_name_what_rows_hold() -> None:
    schemas = row_schemas()
    assert set(schemas) == {"record", "task", "rationale", "state", "lost"}
    text = json.dumps(schemas)
    assert "$ref" not in text and "anyOf" not in text
    record = schemas["record"]["properties"]
    assert record["task"] == {"type": "string"} and record["response_ms"] == {"type": "number"}
    assert schemas["task"]["properties"]["segments_ns"]["items"] == {"type": "integer"}
    state = schemas["state"]["properties"]["state"]["properties"]
    assert state["lanes"]["items"]["properties"]["shedding"] == {"type": "boolean"}
    assert set(state) == set(RunState(0).plain())
    rationale = schemas["rationale"]["properties"]
    assert rationale["rule"] == {"type": "string"}
    assert rationale["responses"]["items"]["properties"]["bound_ns"] == {"type": "integer"}


def test_numbers_that_json_does_not_have_are_read_and_odd_rows_are_not() -> None:
    decoder = msgspec.json.Decoder(RationaleRow)
    rationale = rationale_row(Rationale(1, 2, "camera", Decision.ADMITTED, Rule.LIMIT, "It fits."))
    odd = encode_row(rationale).replace(b'"left":0.0', b'"left":Infinity')
    assert decode_row(odd, decoder).left == float("inf")
    with pytest.raises(msgspec.ValidationError):
        decode_row(encode_row(rationale).replace(b'"id":1', b'"id":"one"'), decoder)


@pytest.mark.parametrize("nested", ["[" * 100_000, "[" * 40 + "NaN" + "]" * 40, "[NaN"])
def test_rows_that_are_nested_too_deep_or_cut_short_are_damage(nested: str) -> None:
    decoder = msgspec.json.Decoder(StateRow)
    with pytest.raises(_DAMAGE):
        decode_row(f'{{"time_ns": 1, "state": {{"arena": {nested}}}}}'.encode(), decoder)


def test_a_row_of_absurd_length_is_not_read() -> None:
    decoder = msgspec.json.Decoder(StateRow)
    row = b'{"time_ns": 1, "state": {"arena": [NaN' + b",NaN" * 2_100_000 + b"]}}"
    with pytest.raises(ValueError, match="too long"):
        decode_row(row, decoder)


def test_a_decision_comes_back_with_the_numbers_of_its_reason() -> None:
    decoder = msgspec.json.Decoder(RationaleRow)
    reason = NewerFrame("camera", 5)
    decided = Rationale(
        1, 2, "camera", Decision.SKIPPED, Rule.NEWER_FRAME, "Skipped.", job=5, reason=reason
    )
    data = encode_row(rationale_row(decided))
    assert b'"reason":{"kind":"newer_frame","task":"camera","job":5}' in data
    assert rationale_of(decode_row(data, decoder)) == decided
    newer = data.replace(b'"newer_frame","task"', b'"not_known_yet","task"')
    assert rationale_of(decode_row(newer, decoder)) == replace(decided, reason=None)


def test_a_file_of_the_version_before_is_read_as_it_was_meant() -> None:
    trace = read_trace(DATA / "run-0.1.0.mcap")
    assert trace.lanes == ("lane0",) and trace.lost == 3 and not trace.cut
    assert trace.config == "tasks: []\n" and trace.facts["version"] == "0.1.0"
    assert trace.digests == {"camera": "cd34", "extra": "ab12"}
    segments = (2 * MS, 2 * MS)
    assert trace.tasks == {
        1: TracedTask(
            1,
            "camera",
            "lane0",
            100 * MS,
            1000 * MS,
            MS,
            2 * MS,
            segments,
            "high",
            9 * MS,
            "cd34",
            4 * MS,
        )
    }
    assert trace.rationales == (
        Rationale(
            1,
            10**18,
            "camera",
            Decision.ADMITTED,
            Rule.DEMAND_BOUND,
            "It fits.",
            left=0.5,
            relation="<=",
            right=1.0,
            unit="ms",
            witness=Witness("lane0", 1, 2, 3, "lidar", -4),
            responses=(ResponseBound("camera", "lane0", 5, 6),),
            counterfactuals=(Counterfactual("camera", "period_ms", 12.5, "Slower."),),
        ),
    )
    (state,) = run_states(trace)
    assert (state.arena_used_bytes, state.clock_factor, state.temperature_c) == (7, 0.9, 61.5)
    assert state.throttled and state.waiting == {"lane0": 2} and state.shedding == ("lane0",)
    endings = {job.seq: job.ending for job in trace.by_task[1]}
    assert endings == {
        1: Ending.FINISHED,
        2: Ending.FINISHED,
        3: Ending.SKIPPED,
        4: Ending.FINISHED,
    }
    assert trace.records["kind"].tolist().count(RecordKind.LOST) == 1
    for job in trace.by_task[1]:
        if job.ending is Ending.FINISHED:
            assert job.stamped_ns == job.begin_ns and job.used_ns >= 2 * MS
            assert job.handed_ns < job.decoded_ns < job.published_ns
            assert split(trace, job).total_ns() == job.latency_ns
