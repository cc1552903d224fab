"""The JSON rows of a trace file: one struct for each topic, from which its schema is made.

Rows only gain fields, each with a default, so that older files are read; fields that a newer
version added are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from aegis_ros.config import read_json
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import (
    Rationale,
)
from aegis_ros.rationale.plain import from_plain, to_plain
from aegis_ros.trace.balance import Balance
from aegis_ros.trace.history import TracedTask
from aegis_ros.trace.records import FIELDS, Record, RecordKind, rule_of

__all__ = [
    "ArenaRow",
    "DeviceRow",
    "EngineRow",
    "LaneRow",
    "LostRow",
    "RationaleRow",
    "RecordRow",
    "RunStateRow",
    "StateRow",
    "decode_row",
    "encode_row",
    "rationale_of",
    "rationale_row",
    "record_of",
    "record_row",
    "require_words",
    "row_schemas",
]

_Row = TypeVar("_Row")
_Number = int | UnsetType


class RecordRow(msgspec.Struct, frozen=True, gc=False):
    """A record by the names of its values, and what people plot of it.

    The values of each kind are listed in :data:`~aegis_ros.trace.records.FIELDS`.
    """

    kind: str
    time_ns: int
    lane: int
    segment: int
    task_id: int
    task: str | None
    seq: int
    serial: int
    arrival_ns: _Number = UNSET
    received_ns: _Number = UNSET
    deadline_ns: _Number = UNSET
    rank: _Number = UNSET
    budget_ns: _Number = UNSET
    began_ns: _Number = UNSET
    ended_ns: _Number = UNSET
    failed: _Number = UNSET
    used_ns: _Number = UNSET
    early_exit: _Number = UNSET
    rule: _Number = UNSET
    taken_ns: _Number = UNSET
    skips: _Number = UNSET
    handed_ns: _Number = UNSET
    decoded_ns: _Number = UNSET
    due_ns: _Number = UNSET
    stamped_ns: _Number = UNSET
    rule_name: str | UnsetType = UNSET
    response_ms: float | UnsetType = UNSET
    deadline_ms: float | UnsetType = UNSET
    execution_ms: float | UnsetType = UNSET


def _fields_of_rationale() -> Iterator[tuple[str, Any, Any]]:
    types = get_type_hints(Rationale) | {"reason": dict[str, Any] | None}
    for each in fields(Rationale):
        default = msgspec.NODEFAULT if each.default is MISSING else each.default
        yield each.name, types[each.name], default


RationaleRow = msgspec.defstruct("RationaleRow", list(_fields_of_rationale()), frozen=True)
"""A decision: the fields of a rationale, its reason as plain data that names its kind."""


class ArenaRow(msgspec.Struct, frozen=True):
    """The memory for networks and their buffers."""

    used_bytes: int
    budget_bytes: int


class DeviceRow(msgspec.Struct, frozen=True):
    """How fast and how hot the device was."""

    clock_factor: float
    temperature_c: float | None
    throttled: bool
    source: str


class EngineRow(msgspec.Struct, frozen=True):
    """The engine process."""

    pid: int
    restarts: int


class LaneRow(msgspec.Struct, frozen=True):
    """A lane at one moment."""

    name: str
    waiting: int
    shedding: bool


class RunStateRow(msgspec.Struct, frozen=True):
    """A run at one moment."""

    arena: ArenaRow
    device: DeviceRow
    engine: EngineRow
    lanes: list[LaneRow]
    tasks: dict[str, str]
    frames: dict[str, Balance] = {}


class _DescribedStateRow(msgspec.Struct, frozen=True):
    time_ns: int
    state: RunStateRow


class StateRow(msgspec.Struct, frozen=True):
    """A state as it is read: other versions may know more or less of it than this one."""

    time_ns: int
    state: dict[str, Any]


class LostRow(msgspec.Struct, frozen=True):
    """How many records were overwritten before they were read."""

    time_ns: int
    lost: int


_SHOWN: dict[str, type] = {
    "record": RecordRow,
    "task": TracedTask,
    "rationale": RationaleRow,
    "state": _DescribedStateRow,
    "lost": LostRow,
}
_KINDS = {int(kind): (kind.name.lower(), names) for kind, names in FIELDS.items()}
_MOST_BYTES = 8 * 1024 * 1024  # of a row
_encoder = msgspec.json.Encoder()


def encode_row(row: object) -> bytes:
    """Return a row as JSON."""
    return _encoder.encode(row)


def decode_row(data: bytes, decoder: msgspec.json.Decoder[_Row]) -> _Row:
    """Return the row in JSON, also in that of versions that wrote numbers JSON does not have.

    Raises:
        msgspec.DecodeError, ValueError: it is not such a row.
    """
    try:
        return decoder.decode(data)
    except msgspec.DecodeError:
        try:
            plain = read_json(data, "row", most_bytes=_MOST_BYTES, any_number=True)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        row: _Row = msgspec.convert(plain, decoder.type)
        return row


def require_words(row: object) -> None:
    """Pass if all whole numbers of a row have 64 bits at most; no writer has longer ones.

    Raises:
        ValueError: one is longer, and would not fit a float either.
    """
    _require_words(msgspec.to_builtins(row))


def _require_words(value: object) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            _require_words(each)
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        raise ValueError("a number of more than 64 bits")


def rationale_row(rationale: Rationale) -> msgspec.Struct:
    """Return a decision as a :data:`RationaleRow`."""
    values = {each.name: getattr(rationale, each.name) for each in fields(rationale)}
    reason = None if rationale.reason is None else to_plain(rationale.reason)
    return RationaleRow(**{**values, "reason": reason})


def rationale_of(row: msgspec.Struct) -> Rationale:
    """Return the decision of a row; without its reason where another version knows another one."""
    values = {each.name: getattr(row, each.name) for each in fields(Rationale)}
    reason = None if values["reason"] is None else from_plain(values["reason"])
    return Rationale(**{**values, "reason": reason})


def record_row(record: Record, *, name: str | None) -> RecordRow:
    """Return a record as a row; ``name`` is that of the task, ``None`` for unknown."""
    kind, lane, segment, task, seq, time_ns, values, serial = record
    known, names = _KINDS[kind]
    shown: dict[str, Any] = dict(zip(names, values, strict=False))
    if kind == RecordKind.FINISHED:  # what people plot
        arrival, deadline, used, _ = values
        shown["response_ms"] = (time_ns - arrival) / 1e6
        shown["deadline_ms"] = (deadline - arrival) / 1e6
        shown["execution_ms"] = used / 1e6
    elif kind in (RecordKind.SKIPPED, RecordKind.GATED):
        shown["rule_name"] = str(rule_of(values[0]) or "")
    return RecordRow(known, time_ns, lane, segment, task, name, seq, serial, **shown)


def record_of(row: RecordRow) -> Record:
    """Return the record that a row holds; what older files lack is 0.

    Raises:
        KeyError: its kind is not known here.
    """
    kind = RecordKind[row.kind.upper()]
    values = [getattr(row, name) for name in FIELDS[kind]]
    whole = [0 if value is UNSET else value for value in values]
    return Record(
        int(kind),
        row.lane,
        row.segment,
        row.task_id,
        row.seq,
        row.time_ns,
        whole + [0] * (4 - len(whole)),
        row.serial,
    )


def row_schemas() -> dict[str, dict[str, Any]]:
    """Return a JSON schema for each topic, in the plain form that viewers understand."""
    return {name: {**_plain(*_schema(row)), "title": name} for name, row in _SHOWN.items()}


def _schema(row: type) -> tuple[dict[str, Any], dict[str, Any]]:
    (schema,), components = msgspec.json.schema_components([row], ref_template="{name}")
    return schema, components


def _plain(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with references replaced by what they name, without alternatives."""
    if "$ref" in schema:
        return _plain(components[schema["$ref"]], components)
    if "anyOf" in schema:
        chosen = next(each for each in schema["anyOf"] if each.get("type") != "null")
        return _plain(chosen, components)
    if "enum" in schema:
        return {"type": "string"}
    plain: dict[str, Any] = {"type": schema.get("type", "object")}
    if "properties" in schema:
        plain["properties"] = {
            name: _plain(each, components) for name, each in schema["properties"].items()
        }
    if isinstance(schema.get("items"), dict):
        plain["items"] = _plain(schema["items"], components)
    return plain
