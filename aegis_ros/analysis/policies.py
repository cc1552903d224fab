"""Decides a lane under each of the scheduler's policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from aegis_ros.analysis.lane import LaneVerdict, check_lane, in_slack
from aegis_ros.analysis.modes import check_modes
from aegis_ros.analysis.periodic import MAX_PLACES, Followed, cycle_ns, follow, places_in
from aegis_ros.analysis.task import AnalysisTask, by_promise
from aegis_ros.analysis.timetable import MAX_SOLVED_PLACES, TimeTable, make_table
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import ResponseBound, Rule

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
        return replace(verdict, sentence=f"{verdict.sentence}; so the lane never has to idle")
    slack = [task.name for task in tasks if task.best_effort]
    if slack:
        return replace(
            verdict,
            sentence=f"{verdict.sentence}; idling in time for the next job could help, but what is "
            f"of best effort ({_names(slack)}) then needs gaps that are known: use the policy "
            "table, or cut it more finely",
        )
    late = [task.name for task in tasks if task.jitter_ns]
    if late:
        return replace(
            verdict,
            sentence=f"{verdict.sentence}; idling in time for the next job could help, but it "
            f"cannot be foreseen when the jobs of {_names(late)} become ready (release jitter)",
        )
    run = follow(tasks, switch_ns=switch_ns)
    if run is None:
        return _beyond(
            verdict,
            f"{_too_long(tasks, MAX_PLACES)}the schedule of lane {verdict.lane} did not repeat "
            "within the limits of the test; what cannot be decided is rejected",
        )
    if run.late:
        due = next(task.deadline_ns for task in tasks if task.name == run.late)
        took = run.late_end_ns - run.late_arrival_ns
        return replace(
            _no(verdict, Rule.CRITICAL_WINDOW, ""),
            left=took / 1e6,
            relation=">",
            right=due / 1e6,
            unit="ms",
            sentence=(
                f"even with idling in time for the next job, the one of {run.late} that arrives "
                f"at {run.late_arrival_ns / 1e6:g} ms ends {took / 1e6:g} ms later, after its "
                f"deadline of {due / 1e6:g} ms, when all tasks arrive periodically and together"
            ),
        )
    return _yes(
        verdict,
        _bounds(tasks, verdict.lane, run),
        Rule.CRITICAL_WINDOW,
        f"no job of lane {verdict.lane} is late in a whole cycle of {run.cycle_ns / 1e6:g} ms with "
        "idling in time for the next job; this holds where all tasks arrive strictly "
        "periodically and begin together, not for any other arrivals",
    )


def _table(
    tasks: Sequence[AnalysisTask], verdict: LaneVerdict, switch_ns: int, limit_s: float
) -> tuple[LaneVerdict, TimeTable | None]:
    placed, others = by_promise(tasks)
    if not placed:  # a table without places is EDF
        return verdict, None
    vague = [task.name for task in placed if task.jitter_ns >= task.period_ns]
    if vague:
        return _no(
            verdict,
            Rule.TABLE,
            f"a job of {_names(vague)} cannot be told from the next: its jitter is not below its "
            "period, and a table needs to know which place is whose",
        ), None
    table, certain = make_table(placed, switch_ns=switch_ns, limit_s=limit_s)
    if table is None and certain:
        return _no(
            verdict,
            Rule.TABLE,
            f"no table of lane {verdict.lane} exists: every order of the segments within a cycle "
            "makes a job late",
        ), None
    if table is None:
        return _beyond(
            verdict,
            f"{_too_long(placed, MAX_SOLVED_PLACES)}no table of lane {verdict.lane} was "
            "found within the limits of the search; what cannot be decided is rejected",
        ), None
    table = replace(table, event_triggered=tuple(task.name for task in others))
    about = (
        f"a table of {len(table.places)} places in a cycle of {table.cycle_ns / 1e6:g} ms holds "
        f"all tasks of lane {verdict.lane} that arrive periodically"
    )
    widest = _widest_gap_ns(table)
    starved = [task.name for task in others if task.longest_ns(switch_ns) > widest]
    if starved:
        return _no(
            verdict,
            Rule.TABLE,
            f"{about}, but a segment of {_names(starved)} fits in none of its gaps, of which the "
            f"longest has {widest / 1e6:g} ms",
        ), table
    gaps = f"; {in_slack(verdict.slack)} at most, in its gaps" if others else ""
    return _yes(
        verdict,
        tuple(
            ResponseBound(task.name, verdict.lane, table.worst_ns(task), task.deadline_ns)
            for task in placed
        ),
        Rule.TABLE,
        f"{about}{gaps}; this holds where they arrive strictly periodically from the start of "
        "the table on",
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
    sentence: str,
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
        sentence=sentence,
    )


def _no(verdict: LaneVerdict, rule: Rule, sentence: str) -> LaneVerdict:
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
        sentence=sentence,
    )


def _beyond(verdict: LaneVerdict, sentence: str) -> LaneVerdict:
    return replace(
        _no(verdict, Rule.LIMIT, sentence),
        left=verdict.utilization,
        relation="<=",
        right=1.0,
        unit="",
    )


def _too_long(tasks: Sequence[AnalysisTask], limit: int) -> str:
    """Say so where the periods have a common cycle that is too long to look at."""
    cycle = cycle_ns(tasks)
    if cycle is not None and places_in(tasks, cycle) <= limit:
        return ""
    length = "hours" if cycle is None else f"{cycle / 1e9:g} s"
    return (
        f"the periods have a common cycle of {length}, with more than {limit:,} segments in it: "
        "choose periods that divide each other; "
    )


def _widest_gap_ns(table: TimeTable) -> int:
    """Return the longest time between two places, from one cycle to the next too."""
    cycle = table.cycle_ns
    taken = sorted((at.start_ns % cycle, at.end_ns - at.start_ns) for at in table.places)
    following = [*(start for start, _ in taken[1:]), taken[0][0] + cycle]
    return max(
        after - start - length for (start, length), after in zip(taken, following, strict=True)
    )


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
