"""Trace files: all comes back, also from a writer that was killed."""

from __future__ import annotations

import functools
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis_ros.errors import ConfigError
from aegis_ros.rationale import (
    Counterfactual,
    Decision,
    Rationale,
    ResponseBound,
    Rule,
    Witness,
)
from aegis_ros.sandbox.scratch import Scratch
from aegis_ros.trace import FIELDS, RECORD, RecordKind
from aegis_ros.trace.history import TracedTask

pytest.importorskip("mcap")

import lz4.frame
import zstandard
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import Channel, Message, Metadata
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import CompressionType, Writer

from aegis_ros.trace.mcap_file import Rotation, TraceFile, parts_of, read_trace

_TASK = TracedTask(1, 'came"ra', "gpu", 10, 20, 1, 2, (3, 4), "high", 15, "ab12")
_RATIONALE = Rationale(
    7,
    1_700_000_000_000_000_123,
    "camera",
    Decision.ADMITTED,
    Rule.DEMAND_BOUND,
    "It fits.",
    left=0.5,
    relation="<=",
    right=1.0,
    unit="ms",
    witness=Witness("gpu", 1, 2, 3, "lidar", -4),
    responses=(ResponseBound("camera", "gpu", 5, 6),),
    counterfactuals=(Counterfactual("camera", "period_ms", 12.5, "Slower."),),
)


def _records(count: int, first: int = 0) -> np.ndarray:
    records = np.zeros(count, RECORD)
    records["kind"] = RecordKind.SEGMENT_ENDED
    records["task"] = 1
    records["seq"] = np.arange(first, first + count)
    records["serial"] = records["seq"] + 1
    records["time_ns"] = 1000 + records["seq"].astype(np.int64)
    records["values"][:, 0] = 5
    return records


def test_gives_back_everything_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with TraceFile(
        path,
        lanes=("gpu", "cpu"),
        config="tasks: []\n",
        digests={"model": "ab12"},
        facts={"backend": "simulated"},
        wall_offset_ns=77,
    ) as file:
        file.add_task(_TASK)
        file.add_records(_records(50))
        file.add_rationale(_RATIONALE)
        file.add_state(3000, {"arena_bytes": 5, "device": {"temperature": 61.5}})
        file.add_lost(4000, 3)
        file.add_lost(5000, 0)
    trace = read_trace(path)
    assert (trace.records == _records(50)).all()
    assert trace.tasks == {1: _TASK}
    assert trace.rationales == (_RATIONALE,)
    assert trace.states == ((3000, {"arena_bytes": 5, "device": {"temperature": 61.5}}),)
    assert trace.lanes == ("gpu", "cpu") and trace.config == "tasks: []\n"
    assert trace.digests == {"model": "ab12", _TASK.name: _TASK.model_sha256}
    assert trace.facts == {"backend": "simulated"}
    assert trace.lost == 3 and trace.wall_offset_ns == 77 and not trace.cut


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(RecordKind)),
            st.integers(0, 255),
            st.integers(0, 65535),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**64 - 1),
            st.integers(-(2**63), 2**63 - 1),
            st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
        ),
        max_size=20,
    )
)
def test_every_record_that_can_be_written_is_read_bit_by_bit(
    tmp_path: Path, rows: list[tuple[RecordKind, int, int, int, int, int, list[int]]]
) -> None:
    records = np.zeros(len(rows), RECORD)
    for index, (kind, lane, segment, task, seq, time_ns, values) in enumerate(rows):
        used = len(FIELDS[kind])
        whole = (kind, lane, segment, task, seq, time_ns, values[:used] + [0] * (4 - used), index)
        records[index] = whole
    with TraceFile(tmp_path / "run.mcap", wall_offset_ns=0) as file:
        file.add_records(records)
    assert (read_trace(tmp_path / "run.mcap").records == records).all()


def test_other_programs_find_topics_schemas_and_times(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with TraceFile(path, wall_offset_ns=10**18) as file:
        file.add_task(_TASK)
        file.add_records(_records(2))
    with path.open("rb") as stream:
        messages = list(make_reader(stream).iter_messages("/aegis/record"))
    schema, channel, message = messages[0]
    assert schema is not None and schema.encoding == "jsonschema"
    assert json.loads(schema.data)["type"] == "object"
    assert channel.message_encoding == "json" and message.log_time == 10**18 + 1000
    assert json.loads(message.data)["task"] == 'came"ra'


_WRITER = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from aegis_ros.trace.mcap_file import TraceFile
from test.trace.test_mcap_file import _TASK, _records
file = TraceFile(Path(sys.argv[1]), lanes=("gpu",))
file.add_task(_TASK)
file.add_records(_records(2000))
file.flush()
print("flushed", flush=True)
first = 2000
while True:
    file.add_records(_records(100, first))
    first += 100
    time.sleep(0.001)
"""


def test_a_file_whose_writer_was_killed_is_read_up_to_its_last_chunk(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None and child.stdout.readline() == b"flushed\n"
    deadline = time.monotonic() + 100.0
    size = path.stat().st_size
    while path.stat().st_size < size + 20_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    trace = read_trace(path)
    assert trace.cut and trace.tasks == {1: _TASK} and trace.lanes == ("gpu",)
    assert len(trace.records) > 2000
    assert (trace.records == _records(len(trace.records))).all()


@given(st.floats(0.0, 1.0))
def test_a_file_cut_anywhere_gives_back_a_beginning(where: float) -> None:
    whole = _whole_file()
    path = whole.with_name("cut.mcap")
    path.write_bytes(whole.read_bytes()[: int(where * whole.stat().st_size)])
    try:
        records = read_trace(path).records
    except ConfigError as error:
        assert "not a trace" in str(error)
        return
    assert (records == _records(len(records))).all()


@given(st.floats(0.0, 1.0, exclude_max=True), st.integers(1, 255))
def test_a_file_damaged_anywhere_gives_back_a_beginning(where: float, change: int) -> None:
    whole = _whole_file()
    path = whole.with_name("damaged.mcap")
    data = bytearray(whole.read_bytes())
    data[int(where * len(data))] ^= change
    path.write_bytes(data)
    try:
        records = read_trace(path).records
    except ConfigError:
        return
    assert (records == _records(len(records))).all()


@pytest.mark.parametrize("kind", [0, *(set(Opcode) - {Opcode.CHUNK}), 0x10, 0x86])
def test_a_chunk_of_a_damaged_kind_ends_what_is_read(kind: int) -> None:
    whole = _whole_file()
    data = bytearray(whole.read_bytes())
    chunks = []
    at = 8
    while at < len(data) - 8:
        if data[at] == Opcode.CHUNK:
            chunks.append(at)
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    assert len(chunks) > 2
    path = whole.with_name("kind.mcap")
    for at in chunks:
        path.write_bytes(data[:at] + bytes([kind]) + data[at + 1 :])
        records = read_trace(path).records
        assert (records == _records(len(records))).all()


@pytest.mark.parametrize("row", ['{"time_ns": %s, "state": {}}', '{"time_ns": 1, "state": %s}'])
@pytest.mark.parametrize("value", ["9" * 400, "-1" + "0" * 30, "[" * 90_000])
def test_rows_that_no_version_wrote_are_damage(row: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with TraceFile(path) as file:
        file._write("state", 1, (row % value).encode())
    with pytest.raises(ConfigError, match="is damaged"):
        read_trace(path)


def _bomb(compression: str, size: int) -> bytes:
    """Return the record of a chunk that is small only as long as it is compressed."""
    if compression == "zstd":
        packed = zstandard.compress(bytes(size))
    else:
        packed = lz4.frame.compress(bytes(size))
    name = compression.encode()
    chunk = struct.pack("<QQQII", 0, 0, size, 0, len(name)) + name
    chunk += struct.pack("<Q", len(packed)) + packed
    return b"\x06" + struct.pack("<Q", len(chunk)) + chunk


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_chunk_that_would_fill_the_memory_ends_a_trace(
    compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.mcap"
    with TraceFile(path) as file:
        file.add_records(_records(10))
        file.flush()
        written = path.stat().st_size
    data = path.read_bytes()[:written] + _bomb(compression, 64 * 1024 * 1024)
    path.write_bytes(data)
    broken_up: list[int] = []
    monkeypatch.setattr(
        "aegis_ros.trace.mcap_file.breakup_chunk",
        lambda chunk, **options: broken_up.append(len(chunk.data)) or breakup_chunk(chunk),
    )
    trace = read_trace(path)
    assert len(trace.records) == 10
    assert trace.cut
    assert broken_up and max(broken_up) < 64 * 1024


@pytest.mark.parametrize("compression", list(CompressionType))
def test_traces_that_other_tools_packed_anew_are_read(
    compression: CompressionType, tmp_path: Path
) -> None:
    path = tmp_path / "run.mcap"
    with (
        _whole_file().open("rb") as stream,
        path.open("wb") as target,
    ):
        writer = Writer(target, compression=compression)
        writer.start("aegis_ros", "another tool")
        channels: dict[int, int] = {}
        for record in StreamReader(stream).records:
            if isinstance(record, Metadata):
                writer.add_metadata(record.name, record.metadata)
            elif isinstance(record, Channel):
                schema = writer.register_schema(record.topic, "jsonschema", b"{}")
                channels[record.id] = writer.register_channel(record.topic, "json", schema)
            elif isinstance(record, Message):
                time_ns = record.log_time
                writer.add_message(channels[record.channel_id], time_ns, record.data, time_ns)
        writer.finish()
    assert (read_trace(path).records == _records(600)).all()


@pytest.mark.parametrize(
    "changed",
    [{"task_id": -1}, {"seq": 2**64}, {"lane": 300}, {"time_ns": 2**63}, {"time_ns": "x"}],
)
def test_numbers_that_no_record_holds_are_damage(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    source, path = _whole_file(), tmp_path / "run.mcap"
    with source.open("rb") as stream, path.open("wb") as target:
        reader, writer = make_reader(stream), Writer(target)
        writer.start()
        (meta,) = reader.iter_metadata()
        writer.add_metadata(meta.name, meta.metadata)
        _, channel, message = next(iter(reader.iter_messages(topics="/aegis/record")))
        row = json.dumps(json.loads(message.data) | changed).encode()
        known = writer.register_channel(channel.topic, channel.message_encoding, 0)
        writer.add_message(known, message.log_time, row, message.publish_time)
        writer.finish()
    with pytest.raises(ConfigError, match="damaged"):
        read_trace(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"lanes": "5"},
        {"lanes": '"main"'},
        {"lanes": "[1]"},
        {"facts": "[]"},
        {"facts": '{"device": 1}'},
        {"digests": "null"},
        {"digests": '{"camera": {}}'},
        {"facts": "{"},
        {"wall_offset_ns": "soon"},
    ],
)
def test_facts_of_a_run_that_are_of_another_type_are_damage(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    source, path = _whole_file(), tmp_path / "run.mcap"
    with source.open("rb") as stream, path.open("wb") as target:
        (meta,) = make_reader(stream).iter_metadata()
        writer = Writer(target)
        writer.start()
        writer.add_metadata(meta.name, meta.metadata | changed)
        writer.finish()
    with pytest.raises(ConfigError, match="damaged"):
        read_trace(path)


@functools.cache
def _scratch() -> Scratch:
    return Scratch()


def _whole_file() -> Path:
    path = _scratch().path / "whole.mcap"
    if not path.exists():
        with TraceFile(path) as file:
            for first in range(0, 600, 100):
                file.add_records(_records(100, first))
                file.flush()
    return path


def test_a_new_file_begins_at_the_size_asked_for_and_old_ones_go(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    (tmp_path / "run-9.mcap").write_bytes(b"of an earlier run")
    with TraceFile(path, rotation=Rotation(max_bytes=20_000, keep=2)) as file:
        file.add_task(_TASK)
        for first in range(0, 20_000, 100):
            file.add_records(_records(100, first))
            file.flush()
        assert file.parts > 3
        last = file.parts - 1
    assert [part.name for part in parts_of(path) if part.exists()] == [
        f"run-{last - 1}.mcap",
        f"run-{last}.mcap",
    ]
    trace = read_trace(path)
    seqs = trace.records["seq"].tolist()
    assert seqs == list(range(seqs[0], 20_000)) and trace.tasks == {1: _TASK}
    assert len(read_trace(tmp_path / f"run-{last}.mcap").records) < len(seqs)


def _filled(path: Path) -> TraceFile:
    """Return a trace that has as many files as it may, of some hundred records each."""
    file = TraceFile(path, rotation=Rotation(max_bytes=20_000, keep=3))
    file.add_task(_TASK)
    while file.parts < 5:
        file.add_records(_records(100))
        file.flush()
    return file


def test_files_begun_on_a_disk_that_is_full_again_and_again_take_no_older_one_away(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.mcap"
    with _filled(path) as file:
        before = parts_of(path)[1:]
        for seq in range(10):
            file.add_records(_records(1, seq))
            file.flush()
            file.resume()
        assert all(part.exists() for part in before)
        while file.parts < 100:  # nor do they stay for ever
            file.add_records(_records(1))
            file.flush()
            file.resume()
        assert len(parts_of(path)) <= 1 + 3 * 16
    assert not any(part.exists() for part in before)


def test_on_a_disk_with_hardly_any_room_no_file_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.mcap"
    with _filled(path) as file:
        before, parts = parts_of(path), file.parts
        with monkeypatch.context() as patch:
            patch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=4, f_frsize=4096))
            with pytest.raises(OSError, match="No space left"):
                file.resume()
        assert (parts_of(path), file.parts) == (before, parts)
        file.add_records(_records(1))  # it is as it was
        assert file.resume() >= 0 and file.parts == parts + 1


def test_the_contract_of_a_task_that_is_gone_is_not_at_the_head_of_later_files(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.mcap"
    with TraceFile(path) as file:
        file.add_task(_TASK)
        file.forget(_TASK.id)
        file.add_records(_records(1))
        assert file._tasks == {1: _TASK}  # its last records are named
        file.flush()
        file.resume()
        assert file._tasks == {}
    assert read_trace(path).tasks == {1: _TASK}
    assert read_trace(tmp_path / "run-1.mcap").tasks == {}


def test_a_new_file_begins_at_the_age_asked_for(tmp_path: Path) -> None:
    with TraceFile(tmp_path / "run.mcap", rotation=Rotation(max_age_s=0.0)) as file:
        file.add_records(_records(3))
        assert file.parts == 4
    assert len(read_trace(tmp_path / "run.mcap").records) == 3


@pytest.mark.parametrize("content", [b"", b"not MCAP at all", b"\x89MCAP0\r\n"])
def test_what_is_no_trace_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.mcap"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a trace"):
        read_trace(path)


def test_a_missing_trace_and_a_place_that_cannot_be_written_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such trace"):
        read_trace(tmp_path / "none.mcap")
    with pytest.raises(ConfigError, match="cannot be written"):
        TraceFile(tmp_path / "no" / "such" / "folder.mcap")
