"""Decides a lane under each of the scheduler's policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from aegis_ros.analysis.harmony import near_periods
from aegis_ros.analysis.lane import LaneVerdict, check_lane
from aegis_ros.analysis.modes import check_modes
from aegis_ros.analysis.periodic import MAX_PLACES, Followed, cycle_ns, follow, places_in
from aegis_ros.analysis.task import AnalysisTask, by_promise
from aegis_ros.analysis.timetable import MAX_SOLVED_PLACES, TimeTable, make_table
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import ResponseBound, Rule
from aegis_ros.rationale.verdicts import (
    BlockedInSlack,
    CycleTooLong,
    Finding,
    IdlingHelps,
    IdlingUnneeded,
    JitterHidesJobs,
    LateDespiteIdling,
    NearPeriod,
    NoGapFits,
    NoTableExists,
    PlacesAmbiguous,
    TableHolds,
    UndecidedSchedule,
    UndecidedTable,
)

__all__ = ["POLICIES", "PolicyName", "check_policy"]

PolicyName = Literal["edf", "cw_edf", "table"]
POLICIES: tuple[PolicyName, ...] = ("edf", "cw_edf", "table")


def check_policy(
    tasks: Sequence[AnalysisTask],
    *,
    policy: PolicyName = "edf",
    lane: str = "main",
    switch_ns: int = 0,
    limit_s: float = 5.0,
) -> tuple[LaneVerdict, TimeTable | None]:
    """Test a lane under a policy.

    ``edf``: :func:`check_lane`, or :func:`check_modes` where tasks may exceed their budgets, for
    every sporadic arrival pattern. ``cw_edf``: what EDF passes
    passes, for every sporadic pattern (nothing ever idles then); another set passes where
    following it through its cycle shows no late job, and then only for strictly periodic arrivals
    without jitter that begin together (Nasri & Fohler 2016), and none of best effort, which comes
    at any time. ``table``: tasks of best effort run in the gaps, which have to be long enough for
    each of their segments; the others have places in a static table and must arrive strictly
    periodically from the start of the table on, up to their jitter. Under the latter two nothing is
    dropped, high budgets count all the time, and a job counts by the sum of its segments, whatever
    budget it has as a whole.

    Args:
        tasks: everything bound to the lane.
        policy: one of ``POLICIES``.
        lane: its name.
        switch_ns: cost of starting one segment.
        limit_s: seconds that the search for a table may take.

    Returns:
        The verdict, and the lane's table where one was made.

    Raises:
        ConfigError: the policy is not known, two tasks have the same name, or the solver is not
            installed.
    """
    if policy not in POLICIES:
        raise ConfigError(
            "there is no such policy",
            where="policy",
            value=policy,
            expected="one of " + ", ".join(POLICIES),
        )
    if any(task.high_segments_ns for task in tasks):
        if policy == "edf":
            return check_modes(tasks, lane=lane, switch_ns=switch_ns).verdict, None
        tasks = [task.at_high() for task in tasks]
    if policy != "edf":  # looks ahead, and keeps places, for each segment's whole budget
        tasks = [task.by_segments() for task in tasks]
    verdict = check_lane(tasks, lane=lane, switch_ns=switch_ns)
    if policy == "edf" or not tasks or verdict.rule in (Rule.UTILIZATION, Rule.WCET_DEADLINE):
        return verdict, None
    if policy == "cw_edf":
        return _critical_window(tasks, verdict, switch_ns), None
    return _table(tasks, verdict, switch_ns, limit_s)


def _critical_window(
    tasks: Sequence[AnalysisTask], verdict: LaneVerdict, switch_ns: int
) -> LaneVerdict:
    if verdict.schedulable:
        return replace(verdict, finding=IdlingUnneeded(verdict.finding))
    slack = tuple(task.name for task in tasks if task.best_effort)
    if slack:
        return replace(verdict, finding=BlockedInSlack(verdict.finding, slack))
    late = tuple(task.name for task in tasks if task.jitter_ns)
    if late:
        return replace(verdict, finding=JitterHidesJobs(verdict.finding, late))
    run = follow(tasks, switch_ns=switch_ns)
    if run is None:
        cycle = _too_long(tasks, MAX_PLACES, lambda near: _idling_helps(near, switch_ns))
        return _beyond(verdict, UndecidedSchedule(verdict.lane, cycle))
    if run.late:
        due = next(task.deadline_ns for task in tasks if task.name == run.late)
        took = run.late_end_ns - run.late_arrival_ns
        return replace(
            _no(
                verdict,
                Rule.CRITICAL_WINDOW,
                LateDespiteIdling(verdict.lane, run.late, run.late_arrival_ns, took, due),
            ),
            left=took / 1e6,
            relation=">",
            right=due / 1e6,
            unit="ms",
        )
    return _yes(
        verdict,
        _bounds(tasks, verdict.lane, run),
        Rule.CRITICAL_WINDOW,
        IdlingHelps(verdict.lane, run.cycle_ns),
    )


def _idling_helps(tasks: Sequence[AnalysisTask], switch_ns: int) -> bool:
    run = follow(tasks, switch_ns=switch_ns)
    return run is not None and not run.late


def _table(
    tasks: Sequence[AnalysisTask], verdict: LaneVerdict, switch_ns: int, limit_s: float
) -> tuple[LaneVerdict, TimeTable | None]:
    placed, others = by_promise(tasks)
    if not placed:  # a table without places is EDF
        return verdict, None
    vague = tuple(task.name for task in placed if task.jitter_ns >= task.period_ns)
    if vague:
        return _no(verdict, Rule.TABLE, PlacesAmbiguous(vague)), None
    table, certain = make_table(placed, switch_ns=switch_ns, limit_s=limit_s)
    if table is None and certain:
        return _no(verdict, Rule.TABLE, NoTableExists(verdict.lane)), None
    if table is None:

        def fits(near: Sequence[AnalysisTask]) -> bool:
            made, _ = make_table(near, switch_ns=switch_ns, limit_s=limit_s)
            return made is not None and not _starved(made, others, switch_ns)

        cycle = _too_long(placed, MAX_SOLVED_PLACES, fits)
        return _beyond(verdict, UndecidedTable(verdict.lane, cycle)), None
    table = replace(table, event_triggered=tuple(task.name for task in others))
    places = len(table.places)
    starved = _starved(table, others, switch_ns)
    if starved:
        widest = _widest_gap_ns(table)
        return _no(
            verdict,
            Rule.TABLE,
            NoGapFits(verdict.lane, places, table.cycle_ns, starved, widest),
        ), table
    return _yes(
        verdict,
        tuple(
            ResponseBound(task.name, verdict.lane, table.worst_ns(task), task.deadline_ns)
            for task in placed
        ),
        Rule.TABLE,
        TableHolds(verdict.lane, places, table.cycle_ns),
    ), table


def _bounds(tasks: Sequence[AnalysisTask], lane: str, run: Followed) -> tuple[ResponseBound, ...]:
    return tuple(
        ResponseBound(task.name, lane, worst, task.deadline_ns)
        for task, worst in zip(tasks, run.worst_ns, strict=True)
    )


def _yes(
    verdict: LaneVerdict,
    responses: tuple[ResponseBound, ...],
    rule: Rule,
    finding: Finding,
) -> LaneVerdict:
    return replace(
        verdict,
        schedulable=True,
        rule=rule,
        witness=None,
        responses=responses,
        left=float(max(item.bound_ns - item.deadline_ns for item in responses)) / 1e6,
        relation="<=",
        right=0.0,
        unit="ms",
        finding=finding,
    )


def _no(verdict: LaneVerdict, rule: Rule, finding: Finding) -> LaneVerdict:
    """Reject, without the figures of the demand test: they did not decide."""
    return replace(
        verdict,
        schedulable=False,
        rule=rule,
        witness=None,
        responses=(),
        left=0.0,
        relation="",
        right=0.0,
        unit="",
        finding=finding,
    )


def _beyond(verdict: LaneVerdict, finding: Finding) -> LaneVerdict:
    return replace(
        _no(verdict, Rule.LIMIT, finding),
        left=verdict.utilization,
        relation="<=",
        right=1.0,
        unit="",
    )


def _too_long(
    tasks: Sequence[AnalysisTask],
    limit: int,
    holds: Callable[[Sequence[AnalysisTask]], bool],
) -> CycleTooLong | None:
    """Return the common cycle of the periods where it is too long to look at.

    Periods near by with a short cycle are told where the tasks hold with them.
    """
    cycle = cycle_ns(tasks)
    if cycle is not None and places_in(tasks, cycle) <= limit:
        return None
    near = _with_near_periods(tasks)
    short = None if near is None else cycle_ns(near)
    if near is None or short is None or places_in(near, short) > limit or not holds(near):
        return CycleTooLong(cycle, limit)
    instead = tuple(
        NearPeriod(task.name, task.period_ns, other.period_ns)
        for task, other in zip(tasks, near, strict=True)
        if task.period_ns != other.period_ns
    )
    return CycleTooLong(cycle, limit, instead, short)


def _with_near_periods(tasks: Sequence[AnalysisTask]) -> list[AnalysisTask] | None:
    """Return the tasks with a short common cycle; a deadline that is the period stays so."""
    near = near_periods([task.period_ns for task in tasks])
    if near is None:
        return None
    return [
        replace(
            task,
            period_ns=period,
            deadline_ns=period if task.deadline_ns == task.period_ns else task.deadline_ns,
        )
        for task, period in zip(tasks, near, strict=True)
    ]


def _starved(table: TimeTable, others: Sequence[AnalysisTask], switch_ns: int) -> tuple[str, ...]:
    """Return who has a segment that fits in none of the table's gaps."""
    if not others:
        return ()
    widest = _widest_gap_ns(table)
    return tuple(task.name for task in others if task.longest_ns(switch_ns) > widest)


def _widest_gap_ns(table: TimeTable) -> int:
    """Return the longest time between two places, from one cycle to the next too."""
    cycle = table.cycle_ns
    taken = sorted((at.start_ns % cycle, at.end_ns - at.start_ns) for at in table.places)
    following = [*(start for start, _ in taken[1:]), taken[0][0] + cycle]
    return max(
        after - start - length for (start, length), after in zip(taken, following, strict=True)
    )
