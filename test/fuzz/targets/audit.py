"""The audit log: a file that somebody edited, or that a power cut left as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.audit import AuditLog, AuditRecord, read, verify
from aegis_ros.audit.chain import FILE_NAME, FIRST, sealed
from test.fuzz.mutation import Mutator
from test.fuzz.target import Target, Try

__all__ = ["TARGET"]

_COUNT = 6
_WORDS = (
    *b'"number": "digest":" "event": "asked_by": "task": \n {} null [] 1e999 \\u0000 \\ud800'.split(
        b" "
    ),
    *(str(2**exponent - less).encode() for exponent in (31, 32, 63, 64) for less in (0, 1)),
    b'"admitted"',
    b"\n\n",
    b"{" * 5_000,
)


def _records() -> list[AuditRecord]:
    made: list[AuditRecord] = []
    for number in range(1, _COUNT + 1):
        record = AuditRecord(
            number=number,
            time="2026-11-27T10:00:00.000Z",
            event="admitted",
            asked_by="service register_model",
            task=f"task{number}",
            rule="schedulable",
            sentence="It fits",
        )
        made.append(sealed(record, made[-1].digest if made else FIRST))
    return made


def _lines(records: Sequence[AuditRecord]) -> bytes:
    names = AuditRecord.__struct_fields__
    return b"".join(
        json.dumps({name: getattr(each, name) for name in names}).encode() + b"\n"
        for each in records
    )


_WHOLE = _records()


def _seeds() -> Sequence[bytes]:
    last = _WHOLE[-1]
    edge = sealed(AuditRecord(number=2**64 - 1, time="", event="x"), FIRST)
    return [_lines(_WHOLE), _lines(_WHOLE[2:]), _lines([edge]), _lines([last]), b"", b"\n"]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    folder = scratch / "audit"

    def work(data: bytes) -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / FILE_NAME).write_bytes(data)
        verdict = verify(folder, _WHOLE[-1].digest)
        kept = [each for _, _, each in read(folder) if isinstance(each, AuditRecord)]
        if not verdict.damage:
            # What the oldest record of a rotated log follows is gone, so its text proves nothing.
            proven = kept if kept[0].number == 1 else kept[1:]
            assert all(each in _WHOLE for each in proven), "an edit was not seen"
        log = AuditLog(folder)
        log.note("configured", task="after")
        log.close()
        newest = [each for _, _, each in read(folder) if isinstance(each, AuditRecord)][-1]
        assert newest.task == "after", "the log does not go on"
        assert log.head == (newest.number, newest.digest)
        return not verdict.damage

    yield work


TARGET = Target(
    name="audit",
    title="audit log",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=32 * 1024, text=True),
    opened=_opened,
    weight=0.3,
    brief=60,
)
