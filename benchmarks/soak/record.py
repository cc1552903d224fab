"""Keeps a run in files as it goes, and reads them: a run that is cut off still gives figures."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.soak.faults import Kind
from benchmarks.soak.ledger import HEARD, SENT, STOPPED, Contract, Count
from benchmarks.soak.trends import Sample
from benchmarks.soak.windows import Window

__all__ = ["Counted", "Record", "Run", "read_run"]

_EVENTS, _SENT, _HEARD, _STOPPED = "run.jsonl", "sent.bin", "heard.bin", "stopped.bin"


@dataclass(frozen=True, slots=True)
class Counted:
    """What the node counted at a moment.

    Attributes:
        life: of the node: 0 for the first.
        at_ns: when, on the wall clock.
        quiet: whether no frame was on its way: only then the counts are exact.
        tasks: what it counted of each task.
        in_flight: of all tasks, those that are gone included, as ``/diagnostics`` says.
        status_ns: stamp of the status that the counts are of; 0 where nobody kept it.
        waited: whether it was taken after every reason had had the time to be told: some are summed
            up for seconds, or for a minute. So are the last ones of a run that is not cut off.
    """

    life: int
    at_ns: int
    quiet: bool
    tasks: Mapping[str, Count]
    in_flight: int
    status_ns: int = 0
    waited: bool = False


@dataclass
class Run:
    """Everything that was recorded.

    Attributes:
        facts: what was asked for, and on which machine.
        contracts: of the tasks, by their numbers.
        asked: how often each fault was asked for.
        begin_ns, end_ns: of the run.
        lives: when each life of the node began.
        counts: in their order.
        windows: of the faults that were injected.
        samples: in their order.
        remarks: what should not have been.
        status_gap_ms: the longest time between two statuses of one life of the node, by their own
            stamps; 0 where nobody looked.
        sent, heard, stopped: see ``ledger``.
        ended: whether the run ended by itself.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    contracts: list[Contract] = field(default_factory=list)
    asked: dict[Kind, int] = field(default_factory=dict)
    begin_ns: int = 0
    end_ns: int = 0
    lives: list[int] = field(default_factory=list)
    counts: list[Counted] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    status_gap_ms: float = 0.0
    sent: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, SENT))
    heard: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, HEARD))
    stopped: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, STOPPED))
    ended: bool = False

    @property
    def minutes(self) -> float:
        """How long it really ran."""
        return (self.end_ns - self.begin_ns) / 60e9


class Record:
    """Writes a run; safe to use from several threads.

    Args:
        folder: of its files; those of an earlier run are replaced.

    Attributes:
        stopped: file that a witness of standstills writes to.
    """

    def __init__(self, folder: Path) -> None:
        """Begin with nothing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._events = (folder / _EVENTS).open("w", encoding="utf-8", buffering=1)
        self._heard = (folder / _HEARD).open("wb")
        self._sent = folder / _SENT
        self.stopped = folder / _STOPPED
        for each in (self._sent, self.stopped):
            each.unlink(missing_ok=True)

    def note(self, event: str, **values: Any) -> None:
        """Write one event."""
        text = json.dumps({"event": event, **values})
        with self._lock:
            self._events.write(text + "\n")

    def window(self, window: Window) -> None:
        """Write the window of a fault."""
        self.note("window", **asdict(window))

    def counted(self, counted: Counted) -> None:
        """Write what the node counted."""
        self.note("count", **asdict(counted))

    def sample(self, sample: Sample) -> None:
        """Write what a process held."""
        self.note("sample", **asdict(sample))

    def heard(self, row: bytes) -> None:
        """Write one result, as bytes of :data:`~benchmarks.soak.ledger.HEARD`."""
        with self._lock:
            self._heard.write(row)

    def keep(self, sent: Path) -> None:
        """Bring the files up to date; ``sent`` is where the cameras write what they send."""
        with self._lock:
            self._heard.flush()
            if sent.exists():
                with sent.open("rb") as source, self._sent.open("ab") as target:
                    source.seek(target.tell())
                    target.write(source.read())

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._events.close()
            self._heard.close()


def read_run(folder: Path) -> Run:
    """Read what was recorded, however far it got.

    Raises:
        OSError: there is no such run.
    """
    run = Run()
    for line in (folder / _EVENTS).read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue  # the last line of a run that was cut off
        _take(run, values.pop("event"), values)
    run.sent = _rows(folder / _SENT, SENT)
    run.heard = _rows(folder / _HEARD, HEARD)
    run.stopped = _rows(folder / _STOPPED, STOPPED)
    return run


def _take(run: Run, event: str, values: dict[str, Any]) -> None:
    run.end_ns = max(run.end_ns, values.get("end_ns", 0), values.get("at_ns", 0))
    match event:
        case "run":
            run.contracts = [Contract(**each) for each in values.pop("contracts")]
            run.asked = {Kind(kind): number for kind, number in values.pop("asked").items()}
            run.facts = values
        case "begin":
            run.begin_ns = values["at_ns"]
        case "life":
            run.lives.append(values["at_ns"])
        case "count":
            tasks = {name: Count(**each) for name, each in values.pop("tasks").items()}
            run.counts.append(Counted(tasks=tasks, **values))
        case "window":
            run.windows.append(Window(**{**values, "kind": Kind(values["kind"])}))
        case "sample":
            run.samples.append(Sample(**values))
        case "remark":
            run.remarks.append(values["text"])
        case "status_gap":
            run.status_gap_ms = max(run.status_gap_ms, values["gap_ms"])
        case "end":
            run.ended = True
            run.facts = {**run.facts, **values}


def _rows(path: Path, kind: np.dtype[np.void]) -> npt.NDArray[np.void]:
    raw = path.read_bytes() if path.exists() else b""
    return np.frombuffer(raw[: len(raw) // kind.itemsize * kind.itemsize], kind)
