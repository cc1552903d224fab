"""The format of the audit log: one JSON object a line, sealed with the digest of the one before.

``digest = SHA-256(previous digest + the line without its digest)``. Whoever edits, inserts or
removes a record has to compute all later digests anew, and then the last one is no longer the one
that was published. Cutting off the end is seen only by who knows that last digest: it stands in
``/diagnostics``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aegis_ros.config import regular_only

__all__ = [
    "FILE_NAME",
    "FIRST",
    "AuditRecord",
    "Damage",
    "Verdict",
    "files",
    "last_record",
    "read",
    "sealed",
    "verify",
]

FILE_NAME = "audit.jsonl"
FIRST = "0" * 64  # what the first record follows
_MOST_LINE_BYTES = 64 * 1024
_OLDEST = "audit.1.jsonl"
_MOST_DAMAGE = 1_000  # lines that are named; nobody reads more
_ROTATED = re.compile(r"^audit\.(\d{1,9})\.jsonl$")


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line.

    Attributes:
        number: counts from 1, over all files.
        time: UTC, ISO 8601.
        event: a decision (``admitted``, ``removed`` …), or what happened to the node or its log.
        asked_by: who asked, as far as ROS tells it; empty for the node itself.
        task: the task concerned.
        rule: what decided.
        sentence: the decision in English.
        digest: over the digest before and all of the above, hex.
    """

    number: int
    time: str
    event: str
    asked_by: str = ""
    task: str = ""
    rule: str = ""
    sentence: str = ""
    digest: str = ""


def sealed(record: AuditRecord, previous: str) -> AuditRecord:
    """Return a record with its digest, given that of the record before."""
    return msgspec.structs.replace(record, digest=_digest(record, previous))


def _digest(record: AuditRecord, previous: str) -> str:
    plain = msgspec.json.encode(msgspec.structs.replace(record, digest=""))
    return hashlib.sha256(previous.encode() + plain).hexdigest()


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that is not what was written.

    Attributes:
        file: where.
        line: its number, from 1.
        problem: what is wrong, a sentence.
    """

    file: Path
    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the whole log found.

    Attributes:
        records: how many were read.
        first: number of the first record that is kept; earlier ones were rotated away.
        head: digest of the last one.
        damage: everything that is wrong, in order.
    """

    records: int
    first: int
    head: str
    damage: tuple[Damage, ...]


def files(folder: Path) -> list[Path]:
    """Return the files of a log, oldest first."""
    rotated = sorted(
        (int(match[1]), path)
        for path in folder.glob("audit.*.jsonl")
        if (match := _ROTATED.match(path.name))
    )
    current = folder / FILE_NAME
    return [path for _, path in rotated] + ([current] if current.exists() else [])


def read(folder: Path) -> Iterator[tuple[Path, int, AuditRecord | Damage]]:
    """Return file, line and record of every line, oldest first; a damaged line as such.

    Raises:
        OSError: a file cannot be read.
    """
    for path in files(folder):
        for line, each in _lines(path):
            yield path, line, each


def verify(folder: Path, head: str = "") -> Verdict:
    """Check every record against the one before.

    Args:
        folder: where the log is.
        head: a digest that must be among the records; empty to accept any end.

    Raises:
        OSError: a file cannot be read.
    """
    previous: AuditRecord | None = None
    first, count, lines = 0, 0, 0
    found = not head
    damage: list[Damage] = []
    path, line = folder / FILE_NAME, 0
    for path, line, each in read(folder):
        if isinstance(each, Damage):
            lines += 1
            if lines <= _MOST_DAMAGE:
                damage.append(each)
            continue
        count += 1
        if previous is None:
            first = each.number
            problem = _problem_of_oldest(each, path)
        else:
            problem = _problem(each, previous)
        if problem and len(damage) < 2 * _MOST_DAMAGE:
            damage.append(Damage(path, line, problem))
        found = found or each.digest == head
        previous = each
    if lines > _MOST_DAMAGE:
        damage.append(
            Damage(path, line, f"{lines:,} lines are damaged, of which the first are named")
        )
    if not found:
        damage.append(Damage(path, line, f"no record has the digest {head[:16]}…: the end is gone"))
    return Verdict(count, first, previous.digest if previous else FIRST, tuple(damage))


def last_record(path: Path) -> tuple[AuditRecord | None, bool]:
    """Return the last whole record of a file, and whether the file ends with it.

    Raises:
        OSError: the file cannot be read.
    """
    last: AuditRecord | None = None
    clean = True
    for _, each in _lines(path):
        clean = isinstance(each, AuditRecord)
        if isinstance(each, AuditRecord):
            last = each
    return last, clean


def _problem_of_oldest(record: AuditRecord, path: Path) -> str:
    """What the oldest record follows is kept no longer, unless it is the first of all."""
    if record.number == 1:
        return "" if record == sealed(record, FIRST) else "record 1 was edited"
    # Files are numbered from 1 as they become full, and the oldest are deleted.
    if path.name in (FILE_NAME, _OLDEST):
        return f"the records before record {record.number} are missing"
    return ""


def _problem(record: AuditRecord, previous: AuditRecord) -> str:
    if record.number != previous.number + 1:
        return f"record {record.number} follows record {previous.number}: records are missing"
    if record != sealed(record, previous.digest):
        return f"record {record.number}, or the one before, was edited"
    return ""


def _lines(path: Path) -> Iterator[tuple[int, AuditRecord | Damage]]:
    with open(path, "rb", opener=regular_only) as content:
        for line, data in enumerate(iter(lambda: content.readline(_MOST_LINE_BYTES), b""), 1):
            yield line, _parsed(path, line, data)


def _parsed(path: Path, line: int, data: bytes) -> AuditRecord | Damage:
    if not data.endswith(b"\n"):
        return Damage(path, line, "the line is cut short (a power cut, or edited)")
    try:
        return msgspec.json.decode(data, type=AuditRecord)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Damage(path, line, "the line is no record")
