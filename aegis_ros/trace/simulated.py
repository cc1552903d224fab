"""Makes a trace of a simulated run, so that what explains robots explains simulations too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aegis_ros.simulation import Outcome
from aegis_ros.trace.history import Trace, TracedTask
from aegis_ros.trace.records import RECORD, RecordKind

__all__ = ["trace_of"]


def trace_of(outcome: Outcome, *, lane: str = "lane", switch_ns: int = 0) -> Trace:
    """Return the trace of one simulated lane, as an engine would have written it.

    Ranks are deadlines: right for EDF, and for other policies what is late is urgent all the same.

    Args:
        outcome: of a simulation that kept its runs.
        lane: name of the lane.
        switch_ns: as it was simulated; part of the budgets.
    """
    work = outcome.workload
    task = work.task.tolist()
    deadline = outcome.deadline_ns.tolist()
    finished = outcome.finished_ns.tolist()
    ready = work.ready_ns.tolist()
    last = list(ready)
    rows: list[tuple[int, ...]] = []
    for job, arrival in enumerate(work.arrival_ns.tolist()):
        rows.append(
            (RecordKind.RELEASED, 0, task[job], job, ready[job], arrival, ready[job],
             deadline[job], deadline[job])
        )  # fmt: skip
    for run in outcome.runs:
        owner = task[run.job]
        budget = outcome.tasks[owner].segments_ns[run.segment] + switch_ns
        last[run.job] = run.end_ns
        rows.append(
            (RecordKind.SEGMENT_STARTED, run.segment, owner, run.job, run.start_ns,
             deadline[run.job], budget, 0, 0)
        )  # fmt: skip
        rows.append(
            (RecordKind.SEGMENT_ENDED, run.segment, owner, run.job, run.end_ns, run.start_ns,
             run.end_ns, 0, 0)
        )  # fmt: skip
    for job, end in enumerate(finished):
        if end >= 0:
            rows.append(
                (RecordKind.FINISHED, 0, task[job], job, end, int(work.arrival_ns[job]),
                 deadline[job], 0, 0)
            )  # fmt: skip
        else:
            rows.append((RecordKind.SKIPPED, 0, task[job], job, last[job], -1, 0, 0, 0))
    tasks = {
        index: TracedTask(
            index,
            item.name,
            lane,
            item.period_ns,
            item.deadline_ns,
            0,
            item.jitter_ns,
            tuple(part + switch_ns for part in item.segments_ns),
            str(item.criticality),
        )
        for index, item in enumerate(outcome.tasks)
    }
    return Trace(_records(rows), tasks, (lane,), facts={"source": "simulation"})


def _records(rows: list[tuple[int, ...]]) -> npt.NDArray[np.void]:
    """Lay the rows out as records; at one instant, ends come before beginnings."""
    first = {
        RecordKind.SEGMENT_ENDED: 0,
        RecordKind.FINISHED: 1,
        RecordKind.SKIPPED: 1,
        RecordKind.RELEASED: 2,
        RecordKind.SEGMENT_STARTED: 3,
    }
    rows.sort(key=lambda row: (row[4], first[RecordKind(row[0])]))
    records = np.zeros(len(rows), RECORD)
    if rows:
        table = np.array(rows, np.int64)
        for name, column in (("kind", 0), ("segment", 1), ("task", 2), ("seq", 3), ("time_ns", 4)):
            records[name] = table[:, column]
        records["values"] = table[:, 5:]
        records["serial"] = np.arange(1, len(rows) + 1)
    return records
