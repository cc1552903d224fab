"""Writes traces to MCAP files and reads them back; runs outside the engine.

A file is made of chunks, each written whole and flushed: after a power cut or SIGKILL all but the
chunk in the making is there. Every message is JSON with a schema, so that viewers such as
Foxglove show it; what is needed to rebuild the run is repeated at the head of every file.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Footer, Message, Metadata
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import Writer

from aegis_ros.errors import ConfigError
from aegis_ros.rationale import Rationale
from aegis_ros.trace.history import Trace, TracedTask
from aegis_ros.trace.records import RECORD, Record, unpacked
from aegis_ros.trace.rows import (
    LostRow,
    RationaleRow,
    RecordRow,
    StateRow,
    decode_row,
    encode_row,
    rationale_of,
    rationale_row,
    record_of,
    record_row,
    require_words,
    row_schemas,
)

__all__ = ["Rotation", "TraceFile", "parts_of", "read_trace"]

_PROFILE = "aegis_ros"
_FORMAT = 2  # since there are records of frames
_CHUNK_BYTES = 128 * 1024
_FLUSH_NS = 1_000_000_000
_ROOM_BYTES = 1024 * 1024  # on a disk that was full, before a file is begun
_MOST_FILES_OF_A_TURN = 16
# What is read: other writers make larger chunks, and rows compress to a tenth or less.
_MOST_CHUNK_BYTES = 16 * 1024 * 1024
_MOST_TIMES, _LEAST_ROOM = 200, 1024 * 1024
_MAGIC_BYTES = 8  # at both ends of a file
_FRAME = struct.Struct("<BQ")  # kind and length of every record in it
_INDEX = struct.Struct("<HI")  # channel of an index, and bytes of its entries
_LAST_TIME_NS = 2**64 - 1
# What rows and run raise that cannot have been written so.
_DAMAGE = (KeyError, TypeError, ValueError, OverflowError, RecursionError, msgspec.DecodeError)

_Row = TypeVar("_Row")
_records = msgspec.json.Decoder(RecordRow)
_tasks = msgspec.json.Decoder(TracedTask)
_rationales = msgspec.json.Decoder(RationaleRow)
_states = msgspec.json.Decoder(StateRow)
_losses = msgspec.json.Decoder(LostRow)
_names = msgspec.json.Decoder(tuple[str, ...])
_texts = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a new file is begun, and how many are kept.

    Attributes:
        max_bytes: size after which the next file begins.
        max_age_s: age after which the next file begins.
        keep: files kept; the oldest are deleted.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_age_s: float = 3600.0
    keep: int = 4


class TraceFile:
    """Writes one run; a context manager. One thread at a time.

    The first file has the name that was asked for, the following ones a number in it:
    ``run.mcap``, ``run-1.mcap``, ``run-2.mcap``. Parts of an earlier run of that name are deleted.

    Args:
        path: first file.
        lanes: names of the lanes.
        config: configuration as YAML.
        digests: of models and profiles, by name.
        facts: versions, host, device and the like.
        rotation: when a new file is begun.
        wall_offset_ns: wall clock minus monotonic clock; taken now if not given.

    Attributes:
        refused: why the disk did not take the first file; the next one is begun by :meth:`resume`.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        lanes: Sequence[str] = (),
        config: str = "",
        digests: Mapping[str, str] | None = None,
        facts: Mapping[str, str] | None = None,
        rotation: Rotation | None = None,
        wall_offset_ns: int | None = None,
    ) -> None:
        """Begin the first file."""
        self._path = path
        self._rotation = rotation if rotation is not None else Rotation()
        offset = time.time_ns() - time.monotonic_ns() if wall_offset_ns is None else wall_offset_ns
        self._offset_ns = offset
        self._run = {
            "format": str(_FORMAT),
            "lanes": json.dumps(list(lanes)),
            "config": config,
            "digests": json.dumps(dict(digests or {})),
            "facts": json.dumps(dict(facts or {})),
            "wall_offset_ns": str(offset),
        }
        self._tasks: dict[int, TracedTask] = {}
        self._gone: set[int] = set()  # tasks whose contract no further file needs
        self._part = 0
        # Files that count as one: those begun because a disk was full, and the one before.
        self._turns: deque[list[int]] = deque([[0]])
        self._turn_bytes = 0  # of the files of the last turn that are closed
        self._last_ns = 0
        self._unwritten = 0  # rows since the last flush
        for old in parts_of(path)[1:]:
            old.unlink()
        self._stream: BufferedWriter
        self._writer: Writer
        self._channels: dict[str, int] = {}
        self._opened_ns = self._flushed_ns = 0
        self.refused: OSError | None = None
        try:
            self._open()
        except OSError as error:  # it was made, and there is no room for what it begins with
            self.refused = error
            self._abandon()
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def __enter__(self) -> TraceFile:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    @property
    def parts(self) -> int:
        """How many files were begun."""
        return self._part + 1

    def add_task(self, task: TracedTask) -> None:
        """Note the contract of a task; that of an earlier task of the same number is replaced."""
        self._tasks[task.id] = task
        self._message("task", self._last_ns, encode_row(task))

    def add_records(self, records: npt.NDArray[np.void]) -> None:
        """Write records, RECORD [N]."""
        left = len(records)
        try:
            for record in unpacked(records):
                left -= 1
                known = self._tasks.get(record.task)
                row = record_row(record, name=None if known is None else known.name)
                self._message("record", record.time_ns, encode_row(row))
        except OSError:
            self._unwritten += left
            raise

    def add_rationale(self, rationale: Rationale) -> None:
        """Write a decision."""
        self._message(
            "rationale", rationale.time_ns - self._offset_ns, encode_row(rationale_row(rationale))
        )

    def add_state(self, time_ns: int, state: Mapping[str, Any]) -> None:
        """Write what the records do not hold: arena, engine, device."""
        self._message("state", time_ns, encode_row(StateRow(time_ns, dict(state))))

    def add_lost(self, time_ns: int, count: int) -> None:
        """Note that ``count`` records were overwritten before they were read."""
        if count:
            self._message("lost", time_ns, encode_row(LostRow(time_ns, count)))

    def remember(self, task: TracedTask) -> None:
        """Have the contract of a task stand at the head of the next file, and write nothing now."""
        self._tasks[task.id] = task

    def forget(self, task_id: int) -> None:
        """Leave the contract of a task that is gone out of the files to come."""
        self._gone.add(task_id)

    def resume(self) -> int:
        """Begin the next file where this one cannot be written any more; what it holds stays.

        Nothing is begun while there is hardly any room, and files that are begun so take no older
        one away before they hold as much as one file may.

        Returns:
            How many rows were added since the last flush that succeeded, and are missing.

        Raises:
            OSError, ConfigError: no file can be written now; this may be called again.
        """
        self._require_room()
        self._abandon()
        self._part += 1
        try:
            self._open()
        except (OSError, ConfigError):
            self._abandon()
            with suppress(OSError):
                _part_path(self._path, self._part).unlink(missing_ok=True)
            self._part -= 1
            raise
        with suppress(OSError):  # somebody removed it
            self._turn_bytes += _part_path(self._path, self._part - 1).stat().st_size
        if len(self._turns[-1]) < _MOST_FILES_OF_A_TURN:
            self._turns[-1].append(self._part)
        else:
            self._next_turn()
        self._drop_oldest()
        missing, self._unwritten = self._unwritten, 0
        return missing

    def flush(self) -> None:
        """Write what was added, so that it survives this process."""
        # The library ends a chunk by its size only; a slow robot would lose minutes.
        end_chunk = getattr(self._writer, "_Writer__finalize_chunk", None)
        if end_chunk is not None:
            end_chunk()
        self._stream.flush()
        self._flushed_ns = time.monotonic_ns()
        self._unwritten = 0

    def close(self) -> None:
        """End the file; safe to call twice."""
        if not self._stream.closed:
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._stream.close()

    def _abandon(self) -> None:
        # Not the stream: what is in its memory counts as missing, and must not be written now.
        with suppress(OSError):
            self._stream.raw.close()

    def _open(self) -> None:
        path = _part_path(self._path, self._part)
        try:
            self._stream = path.open("wb")
        except OSError as error:
            raise ConfigError(
                f"the trace cannot be written ({error.strerror})", where="trace.file", value=path
            ) from error
        self._opened_ns = self._flushed_ns = time.monotonic_ns()
        self._writer = Writer(self._stream, chunk_size=_CHUNK_BYTES)
        self._writer.start(_PROFILE, "aegis_ros")
        self._writer.add_metadata("aegis_ros", self._run)
        for name, schema in row_schemas().items():
            number = self._writer.register_schema(
                f"aegis_ros.{name}", "jsonschema", json.dumps(schema).encode()
            )
            self._channels[name] = self._writer.register_channel(f"/aegis/{name}", "json", number)
        self._stream.flush()
        for task_id in self._gone:
            self._tasks.pop(task_id, None)
        self._gone.clear()
        for task in self._tasks.values():
            self._write("task", self._last_ns, encode_row(task))

    def _write(self, channel: str, time_ns: int, data: bytes) -> None:
        wall = min(max(0, time_ns + self._offset_ns), _LAST_TIME_NS)
        self._writer.add_message(self._channels[channel], wall, data, wall)

    def _message(self, channel: str, time_ns: int, data: bytes) -> None:
        self._last_ns = time_ns
        self._unwritten += 1
        self._write(channel, time_ns, data)
        now = time.monotonic_ns()
        if now - self._flushed_ns > _FLUSH_NS:
            self.flush()
        rotation = self._rotation
        if (
            self._turn_bytes + self._stream.tell() > rotation.max_bytes
            or now - self._opened_ns > rotation.max_age_s * 1e9
        ):
            self._next_part()

    def _next_part(self) -> None:
        self.close()
        self._part += 1
        self._next_turn()
        self._drop_oldest()
        self._open()

    def _next_turn(self) -> None:
        self._turns.append([self._part])
        self._turn_bytes = 0

    def _drop_oldest(self) -> None:
        while len(self._turns) > self._rotation.keep:
            for part in self._turns.popleft():
                _part_path(self._path, part).unlink(missing_ok=True)

    def _require_room(self) -> None:
        """Pass where there is room for more than the head of a file.

        Raises:
            OSError: there is not.
        """
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < min(self._rotation.max_bytes, _ROOM_BYTES):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _part_path(path: Path, part: int) -> Path:
    return path.with_stem(f"{path.stem}-{part}") if part else path


def parts_of(path: Path) -> tuple[Path, ...]:
    """Return the first file of a run and those that follow it, oldest first.

    The first is there even if it was deleted by rotation.
    """
    pattern = re.compile(re.escape(path.stem) + r"-(\d+)" + re.escape(path.suffix))
    numbered = []
    if path.parent.is_dir():
        for name in os.listdir(path.parent):
            match = pattern.fullmatch(name)
            if match is not None:
                numbered.append((int(match[1]), path.parent / name))
    return (path, *(file for _, file in sorted(numbered)))


def read_trace(path: Path) -> Trace:
    """Read a run back, all its files together.

    Args:
        path: its first file; or a later one, to read that one alone.

    Raises:
        ConfigError: there is no such file, or it is not a trace.
    """
    files = [file for file in parts_of(path) if file.exists()]
    if not files:
        raise ConfigError(
            "there is no such trace",
            where="TRACE",
            value=path,
            hint="Those of an orchestrator lie in its state directory, such as "
            "~/.ros/aegis_ros/nodes/orchestrator/traces",
        )
    reading = _Reading()
    for file in files:
        reading.read(file)
    try:
        return reading.trace()
    except _DAMAGE as error:
        raise _damaged(path, error) from error


@dataclass
class _Reading:
    """What has been read so far."""

    rows: list[Record] = field(default_factory=list)
    tasks: dict[int, TracedTask] = field(default_factory=dict)
    rationales: list[Rationale] = field(default_factory=list)
    states: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    lost: int = 0
    run: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    def read(self, path: Path) -> None:
        """Read one file as far as it goes."""
        topics: dict[int, str] = {}
        closed = False
        run: dict[str, str] = {}
        try:
            with path.open("rb") as stream:
                for record in _records_of(stream):
                    if isinstance(record, Metadata) and record.name == "aegis_ros":
                        run = record.metadata
                        if int(run["format"]) > _FORMAT:
                            raise ConfigError(
                                "the trace was written by a newer version",
                                where="TRACE",
                                value=path,
                            )
                    elif isinstance(record, Channel):
                        topics[record.id] = record.topic
                    elif isinstance(record, Message):
                        self._take(topics[record.channel_id], record.data)
                    closed |= isinstance(record, Footer)
        except OSError as error:
            raise ConfigError(
                f"the trace cannot be read ({error.strerror})", where="TRACE", value=path
            ) from error
        except _DAMAGE as error:
            raise _damaged(path, error) from error
        if not run:
            raise ConfigError(
                "the file is not a trace of aegis_ros",
                where="TRACE",
                value=path,
                expected="an MCAP file written with `trace:` in the configuration",
            )
        self.run = self.run or run
        self.cut |= not closed

    def trace(self) -> Trace:
        """Return all that was read."""
        records = np.zeros(len(self.rows), RECORD)
        for name, column in zip(RECORD.names or (), zip(*self.rows, strict=True), strict=False):
            records[name] = column
        return Trace(
            records,
            dict(self.tasks),
            _names.decode(self.run["lanes"]),
            tuple(self.rationales),
            self.lost,
            self.run["config"],
            {task.name: task.model_sha256 for task in self.tasks.values() if task.model_sha256}
            | _texts.decode(self.run["digests"]),
            _texts.decode(self.run["facts"]),
            tuple(self.states),
            _offset_ns(self.run["wall_offset_ns"]),
            self.cut,
        )

    def _take(self, topic: str, data: bytes) -> None:
        if topic == "/aegis/record":
            self.rows.append(record_of(decode_row(data, _records)))
        elif topic == "/aegis/task":
            task = _read(data, _tasks)
            self.tasks[task.id] = task
        elif topic == "/aegis/rationale":
            self.rationales.append(rationale_of(_read(data, _rationales)))
        elif topic == "/aegis/state":
            row = _read(data, _states)
            self.states.append((row.time_ns, row.state))
        elif topic == "/aegis/lost":
            self.lost += _read(data, _losses).lost


def _read(data: bytes, decoder: msgspec.json.Decoder[_Row]) -> _Row:
    row = decode_row(data, decoder)
    require_words(row)
    return row


def _records_of(stream: BinaryIO) -> Iterator[object]:
    """Yield the whole records of a file, up to its end or to where its writer was killed."""
    size = _whole_bytes(stream)
    room = _LEAST_ROOM + _MOST_TIMES * size
    whole = io.BytesIO(stream.read(size))
    try:
        for record in StreamReader(whole, emit_chunks=True, validate_crcs=True).records:
            if isinstance(record, Chunk):
                chunk = _unpacked(record, min(room, _MOST_CHUNK_BYTES))
                room -= len(chunk.data)
                yield from breakup_chunk(chunk, validate_crc=True)
            else:
                yield record
    except Exception:  # no closing part, or a damaged chunk: each codec has errors of its own
        return


def _unpacked(chunk: Chunk, most_bytes: int) -> Chunk:
    """Return a chunk whose data are as they were before they were compressed.

    Raises:
        ValueError: they are more than that: a few bytes can stand for gigabytes.
        Exception: they are damaged; each codec has errors of its own.
    """
    data = chunk.data
    if chunk.compression == "zstd":
        import zstandard

        reader = zstandard.ZstdDecompressor(max_window_size=_MOST_CHUNK_BYTES)
        with reader.stream_reader(data) as unpacked:
            data = unpacked.read(most_bytes + 1)
    elif chunk.compression == "lz4":
        from lz4.frame import LZ4FrameDecompressor

        data = LZ4FrameDecompressor().decompress(data, max_length=most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError("a chunk is larger than a chunk can be")
    if data[:1] == b"\0":  # the first record has a kind that none has
        raise ValueError("a chunk holds no records")
    return replace(chunk, compression="", data=data)


def _offset_ns(text: str) -> int:
    offset_ns = int(text)
    require_words(offset_ns)
    return offset_ns


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"the trace is damaged ({type(error).__name__}: {error})", where="TRACE", value=path
    )


def _whole_bytes(stream: BinaryIO) -> int:
    """Return how many bytes of a file are whole records; the stream is at its begin after.

    A damaged kind would make a chunk something that is passed over, and leave a gap. A chunk's
    indices come right behind it: those that come behind anything else give it away.
    """
    size = stream.seek(0, os.SEEK_END)
    at = before_at = _MAGIC_BYTES
    before = 0
    while at + _FRAME.size <= size:
        stream.seek(at)
        kind, length = _FRAME.unpack(stream.read(_FRAME.size))
        if at + _FRAME.size + length > size:
            break
        if kind == Opcode.MESSAGE_INDEX:
            if not _is_index(stream, length):
                size = at
            elif before not in (Opcode.CHUNK, Opcode.MESSAGE_INDEX):
                size = before_at
        before, before_at = kind, at
        at += _FRAME.size + length
    stream.seek(0)
    # What is left of a file that was ended is its closing mark.
    return size if size - at == _MAGIC_BYTES else min(at, size)


def _is_index(stream: BinaryIO, length: int) -> bool:
    """Return whether what follows is as long as it says, as an index of a chunk is."""
    content = stream.read(_INDEX.size)
    if len(content) < _INDEX.size or length < _INDEX.size:
        return False
    _, entries = _INDEX.unpack(content)
    return bool(length == _INDEX.size + entries)
