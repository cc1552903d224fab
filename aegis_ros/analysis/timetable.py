"""Makes a static time-triggered table for one lane, or shows that there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

from aegis_ros.analysis.periodic import Place, cycle_ns, follow, places_in
from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.errors import ConfigError

__all__ = ["MAX_SOLVED_PLACES", "TimeTable", "make_table"]

MAX_SOLVED_PLACES = 4_000  # segments in a cycle that the solver is asked about


@dataclass(frozen=True, slots=True)
class TimeTable:
    """The table of one lane.

    Attributes:
        cycle_ns: least common multiple of the periods.
        places: of every segment in one cycle, by start.
        method: ``followed`` (CW-EDF, written down) or ``solved``.
        event_triggered: names of the tasks that run in its gaps.
    """

    cycle_ns: int
    places: tuple[Place, ...]
    method: str
    event_triggered: tuple[str, ...] = ()

    def worst_ns(self, task: AnalysisTask) -> int:
        """Return the longest time from an arrival of a task in the table to its end."""
        return max(
            place.end_ns - place.job * task.period_ns
            for place in self.places
            if place.task == task.name
        )


def make_table(
    tasks: Sequence[AnalysisTask], *, switch_ns: int = 0, limit_s: float = 5.0
) -> tuple[TimeTable | None, bool]:
    """Return places for tasks that arrive periodically and in phase.

    The k-th job of a task arrives at ``k T``, is ready by ``k T + J``, and ends by ``k T + D``,
    in every cycle. First the schedule of CW-EDF is tried; where a job of it is late, a constraint
    solver (OR-tools CP-SAT) searches all tables.

    Args:
        tasks: at least one, with jitters below their periods.
        switch_ns: cost of starting one segment.
        limit_s: seconds that the solver may take.

    Returns:
        The table, ``None`` for none; and whether that is certain, not a matter of the limits.

    Raises:
        ConfigError: the solver is needed and not installed.
    """
    cycle = cycle_ns(tasks)
    if cycle is None:
        return None, False
    run = follow(tasks, switch_ns=switch_ns)
    if run is not None and not run.late:
        return TimeTable(cycle, _by_start(run.places), "followed"), True
    if places_in(tasks, cycle) > MAX_SOLVED_PLACES:
        return None, False
    return _solve(tasks, switch_ns, cycle, limit_s)


def _solve(
    tasks: Sequence[AnalysisTask], switch_ns: int, cycle: int, limit_s: float
) -> tuple[TimeTable | None, bool]:
    cp_model = _solver()
    # A table can always be pushed to the left until everything starts at a multiple of the grain.
    grain = gcd(
        cycle,
        switch_ns,
        *(value for task in tasks for value in (task.period_ns, task.jitter_ns, *task.segments_ns)),
    )
    model = cp_model.CpModel()
    end_of_all = 2 * cycle // grain  # one cycle meets no other than the next
    last_due = cycle // grain
    starts: list[tuple[Place, Any]] = []
    intervals = []
    for task in tasks:
        parts = [(part + switch_ns) // grain for part in task.segments_ns]
        before = None  # end of the segment before, also of the job before
        first = None
        for job in range(cycle // task.period_ns):
            ready = (job * task.period_ns + task.jitter_ns) // grain
            due = (job * task.period_ns + task.deadline_ns) // grain
            last_due = max(last_due, due)
            due = min(due, end_of_all)
            done = 0
            for segment, part in enumerate(parts):
                earliest, latest = ready + done, due - sum(parts[segment:])
                if earliest > latest:
                    return None, last_due <= end_of_all
                start = model.new_int_var(earliest, latest, "")
                if before is not None:
                    model.add(start >= before)
                first = start if first is None else first
                before = start + part
                done += part
                intervals.append(model.new_fixed_size_interval_var(start, part, ""))
                starts.append((Place(task.name, job, segment, 0, part), start))
        if before is not None and first is not None and task.deadline_ns > task.period_ns:
            model.add(first + cycle // grain >= before)
    if last_due > cycle // grain:
        intervals += [
            model.new_fixed_size_interval_var(start + cycle // grain, place.end_ns, "")
            for place, start in starts
        ]
    model.add_no_overlap(intervals)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1  # the same table every time
    solver.parameters.max_deterministic_time = limit_s
    solver.parameters.max_time_in_seconds = 4.0 * limit_s
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None, status == cp_model.INFEASIBLE and last_due <= end_of_all
    found = []
    for place, variable in starts:
        start = solver.value(variable) * grain
        end = start + place.end_ns * grain
        found.append(Place(place.task, place.job, place.segment, start, end))
    return TimeTable(cycle, _by_start(found), "solved"), True


def _solver() -> Any:
    try:
        from ortools.sat.python import cp_model  # large, and needed by few
    except ImportError as error:
        raise ConfigError(
            "making a table needs the constraint solver OR-tools, which is not installed",
            where="policy",
            value="table",
            hint="Install it with `pip install aegis_ros[table]`, or choose another policy",
        ) from error
    return cp_model


def _by_start(places: Sequence[Place]) -> tuple[Place, ...]:
    return tuple(sorted(places, key=lambda place: (place.start_ns, place.end_ns)))
