"""Makes a trace of a simulated run, so that what explains robots explains simulations too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis import AnalysisTask
from aegis_ros.simulation import Outcome
from aegis_ros.trace.history import Trace, TracedTask
from aegis_ros.trace.records import RECORD, RecordKind

__all__ = ["trace_of"]

_BEHIND = (1 << 63) - 1  # where jobs of best effort are


def trace_of(*lanes: tuple[str, Outcome], switch_ns: int = 0) -> Trace:
    """Return the trace of simulated lanes, as an engine would have written it.

    Ranks are deadlines: right for EDF, and for other policies what is late is urgent all the same.
    Best effort ranks behind everything.

    Args:
        lanes: name and outcome of each; of simulations that kept their runs.
        switch_ns: as it was simulated; part of the budgets.
    """
    rows: list[tuple[int, ...]] = []
    tasks: dict[int, TracedTask] = {}
    for index, (name, outcome) in enumerate(lanes):
        first = len(tasks)
        rows += _rows(index, first, outcome, switch_ns)
        for number, item in enumerate(outcome.tasks, first):
            tasks[number] = TracedTask(
                number,
                item.name,
                name,
                item.period_ns,
                item.deadline_ns,
                0,
                item.jitter_ns,
                tuple(part + switch_ns for part in item.segments_ns),
                str(item.criticality),
                total_ns=item.switched(switch_ns).total_ns,
            )
    names = tuple(name for name, _ in lanes)
    return Trace(_records(rows), tasks, names, facts={"source": "simulation"})


def _rows(lane: int, first: int, outcome: Outcome, switch_ns: int) -> list[tuple[int, ...]]:
    """Return what happened on a lane: kind, lane, segment, task, number, time, four values."""
    work = outcome.workload
    task = (work.task + first).tolist()
    deadline = outcome.deadline_ns.tolist()
    promised = np.array([not item.best_effort for item in outcome.tasks], bool)
    rank = np.where(promised[outcome.workload.task], outcome.deadline_ns, _BEHIND).tolist()
    finished = outcome.finished_ns.tolist()
    ready = work.ready_ns.tolist()
    last = list(ready)
    rows: list[tuple[int, ...]] = []
    for job, arrival in enumerate(work.arrival_ns.tolist()):
        rows.append(
            (RecordKind.RELEASED, lane, 0, task[job], job, ready[job], arrival, ready[job],
             deadline[job], rank[job])
        )  # fmt: skip
    for run in outcome.runs:
        owner = task[run.job]
        budget = _share_ns(outcome.tasks[owner - first].switched(switch_ns), run.step)
        last[run.job] = run.end_ns
        rows.append(
            (RecordKind.SEGMENT_STARTED, lane, run.step, owner, run.job, run.start_ns,
             rank[run.job], budget, 0, 0)
        )  # fmt: skip
        rows.append(
            (RecordKind.SEGMENT_ENDED, lane, run.step, owner, run.job, run.end_ns, run.start_ns,
             run.end_ns, 0, 0)
        )  # fmt: skip
    for job, end in enumerate(finished):
        if end >= 0:
            rows.append(
                (RecordKind.FINISHED, lane, 0, task[job], job, end, int(work.arrival_ns[job]),
                 deadline[job], 0, 0)
            )  # fmt: skip
        else:
            rows.append((RecordKind.SKIPPED, lane, 0, task[job], job, last[job], -1, 0, 0, 0))
    return rows


def _records(rows: list[tuple[int, ...]]) -> npt.NDArray[np.void]:
    """Lay the rows out as records; at one instant, ends come before beginnings."""
    first = {
        RecordKind.SEGMENT_ENDED: 0,
        RecordKind.FINISHED: 1,
        RecordKind.SKIPPED: 1,
        RecordKind.RELEASED: 2,
        RecordKind.SEGMENT_STARTED: 3,
    }
    rows.sort(key=lambda row: (row[5], first[RecordKind(row[0])]))
    records = np.zeros(len(rows), RECORD)
    if rows:
        table = np.array(rows, np.int64)
        for column, name in enumerate(("kind", "lane", "segment", "task", "seq", "time_ns")):
            records[name] = table[:, column]
        records["values"] = table[:, 6:]
        records["serial"] = np.arange(1, len(rows) + 1)
    return records


def _share_ns(task: AnalysisTask, segment: int) -> int:
    """Return by how much a segment raises what its job may have used by then; at least 1."""
    before, after = (
        min(task.work_ns, sum(task.segments_ns[:count])) for count in (segment, segment + 1)
    )
    return max(1, after - before)
