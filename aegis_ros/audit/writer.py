"""Writes the audit log, on a thread of its own: no decision waits for a disk."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import msgspec

from aegis_ros.audit.chain import FILE_NAME, FIRST, AuditRecord, files, last_record, sealed

__all__ = ["AuditLog", "asked_by", "asker"]

_MOST_WAITING = 10_000
_RETRY_S = 1.0  # of a disk that refused
_MOST_SENTENCE = 1_000  # characters
_asker: ContextVar[str] = ContextVar("asker", default="")


@contextmanager
def asked_by(who: str) -> Iterator[None]:
    """Note on whose behalf the calls inside are made, in this thread."""
    token = _asker.set(who)
    try:
        yield
    finally:
        _asker.reset(token)


def asker() -> str:
    """Return on whose behalf this thread works; empty for the node itself."""
    return _asker.get()


class AuditLog:
    """An audit log that goes on where the last process left it.

    A disk that refuses is reported once; records wait, up to a bound, and are written when it
    takes them again. What had to be dropped is a record, too.

    Args:
        folder: is created; one process at a time writes there.
        max_bytes: of one file, before the next is begun.
        keep: how many full files stay.
        on_problem: called once, with the reason, when the disk begins to refuse.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 4 * 1024 * 1024,
        keep: int = 8,
        on_problem: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """Start the thread."""
        self._folder, self._max_bytes, self._keep = folder, max_bytes, keep
        self._on_problem = on_problem
        self._waiting: queue.Queue[AuditRecord | None] = queue.Queue()
        self._left: list[AuditRecord] = []  # taken from there, and not written yet
        self._counting = threading.Lock()
        self._dropped = 0
        self._refuses = False
        self._opened = False
        self._number, self._head = 0, FIRST
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def head(self) -> tuple[int, str]:
        """Number and digest of the last record that is on the disk."""
        return self._number, self._head

    def note(self, event: str, *, task: str = "", rule: str = "", sentence: str = "") -> None:
        """Add a record; never waits. Who asked is taken from :func:`asked_by`."""
        if self._waiting.qsize() + len(self._left) >= _MOST_WAITING:
            with self._counting:
                self._dropped += 1
            return
        now = time.time_ns()
        seconds, rest = divmod(now, 1_000_000_000)
        self._waiting.put(
            AuditRecord(
                number=0,
                time=f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}"
                f".{rest // 1_000_000:03d}Z",
                event=event,
                asked_by=asker()[:_MOST_SENTENCE],
                task=task,
                rule=rule,
                sentence=sentence[:_MOST_SENTENCE],
            )
        )

    def close(self) -> None:
        """Write what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            records = self._taken(_RETRY_S if self._left else None)
            ended = None in records
            self._left += [record for record in records if record is not None]
            if self._left and self._wrote(self._left):
                self._left = []
        if self._left:  # one more time
            time.sleep(_RETRY_S)
            self._wrote(self._left)

    def _taken(self, timeout_s: float | None) -> list[AuditRecord | None]:
        """Wait for a record; return all that wait, with ``None`` where the log is closed."""
        try:
            records = [self._waiting.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        while not self._waiting.empty():
            records.append(self._waiting.get_nowait())
        return records

    def _wrote(self, records: list[AuditRecord]) -> bool:
        """Return whether the disk took the records; when it first refuses, report why."""
        try:
            if not self._opened:
                self._open()
            dropped = self._dropped
            self._write(_with_dropped(records, dropped))
        except OSError as error:
            self._opened = False  # what is on the disk is read again before more is added
            if not self._refuses:
                self._refuses = True
                self._on_problem(
                    f"the audit log in {self._folder} cannot be written ({error.strerror or error})"
                )
            return False
        self._refuses = False
        with self._counting:
            self._dropped -= dropped  # not before that is a record itself
        return True

    def _open(self) -> None:
        """Find the end of the log; a line that was cut short stays where it is, in a full file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in reversed(files(self._folder)):
            record, clean = last_record(path)
            if not clean and path.name == FILE_NAME:
                self._rotate()
            if record is not None:
                self._number, self._head = record.number, record.digest
                break
        self._opened = True

    def _write(self, records: list[AuditRecord]) -> None:
        current = self._folder / FILE_NAME
        number, head = self._number, self._head
        lines = b""
        for record in records:
            number += 1
            made = sealed(msgspec.structs.replace(record, number=number), head)
            head = made.digest
            lines += msgspec.json.encode(made) + b"\n"
        descriptor = os.open(current, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, lines) != len(lines):
                    raise OSError("no space is left for the whole record")
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):  # what stays all the same is read before more is added
                    os.ftruncate(descriptor, size)  # all of it, or nothing
                raise
        finally:
            os.close(descriptor)
        self._number, self._head = number, head
        if size + len(lines) >= self._max_bytes:
            self._rotate()

    def _rotate(self) -> None:
        rotated = files(self._folder)[:-1]
        newest = int(rotated[-1].name.split(".")[1]) if rotated else 0
        os.replace(self._folder / FILE_NAME, self._folder / f"audit.{newest + 1}.jsonl")
        for path in rotated[: max(0, len(rotated) + 1 - self._keep)]:
            path.unlink(missing_ok=True)


def _with_dropped(records: list[AuditRecord], dropped: int) -> list[AuditRecord]:
    """Return records with one more that says how many there should be besides, if any."""
    if not dropped:
        return records
    return [
        *records,
        msgspec.structs.replace(
            records[-1],
            event="dropped",
            asked_by="",
            task="",
            rule="",
            sentence=f"{dropped} records were dropped: the disk did not take them in time",
        ),
    ]
