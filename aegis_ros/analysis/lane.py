"""Whether everything on one lane meets its deadlines, with the numbers that decide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aegis_ros.analysis.demand import (
    MAX_POINTS,
    DemandCurve,
    LaneLoad,
    UndecidedError,
    demand_at,
    qpa,
)
from aegis_ros.analysis.leftover import slack_rates
from aegis_ros.analysis.response import curve_bounds, start_time_bounds
from aegis_ros.analysis.task import AnalysisTask, by_promise, require_unique
from aegis_ros.rationale import Inequality, ResponseBound, Rule, Witness
from aegis_ros.rationale.verdicts import (
    DemandFits,
    DemandTooHigh,
    Finding,
    LaneEmpty,
    LaneOverloaded,
    NoDeadlines,
    SlackShare,
    TaskTooLong,
    Undecided,
)
from aegis_ros.rationale.wording import verdict_words

__all__ = ["LaneVerdict", "check_lane", "is_schedulable", "queue_needed"]

_SCAN_POINTS = 4_000  # up to here, or so many a task, a scan costs less than a search
_SCAN_POINTS_PER_TASK = 200
_SAFE = 2**61


@dataclass(frozen=True, slots=True)
class LaneVerdict:
    """The answer for one lane.

    Attributes:
        lane: name.
        schedulable: whether every job of every sporadic arrival pattern meets its deadline, but
            for those of best effort, which are promised none.
        rule: the test that decided.
        utilization: sum of budgets over periods, without best effort.
        witness: interval length with the least slack; ``None`` for a lane without deadlines, and
            where the test had no answer within its limits.
        responses: bound on the response time of each task, when schedulable; none for a task of
            best effort.
        left, relation, right, unit: the inequality that decided.
        finding: what the test found, with its numbers.
        slack: what is left for each task of best effort.
    """

    lane: str
    schedulable: bool
    rule: Rule
    utilization: float
    witness: Witness | None
    responses: tuple[ResponseBound, ...]
    left: float
    relation: str
    right: float
    unit: str
    finding: Finding
    slack: tuple[SlackShare, ...] = ()

    @property
    def test(self) -> Inequality:
        """The inequality that decided."""
        return Inequality(self.left, self.relation, self.right, self.unit)

    @property
    def sentence(self) -> str:
        """The finding for people, without a full stop."""
        return verdict_words(self.finding, self.slack if self.schedulable else ())


def check_lane(
    tasks: Sequence[AnalysisTask],
    *,
    lane: str = "main",
    switch_ns: int = 0,
    tight: bool = False,
) -> LaneVerdict:
    """Test a lane under non-preemptive or limited-preemptive EDF.

    Sufficient for every sporadic arrival pattern (George, Rivierre & Spuri 1996; Bertogna & Baruah
    2010), and necessary: whoever blocks may have begun its longest segment one tick before all
    others become ready, after which more than t of work is due within t (Jeffay, Stanat & Martel
    1991 for one segment without jitter; the argument is the same with both). What is beyond the
    limits of the test is rejected as well. A task of best effort runs where nothing else is ready
    and is promised nothing: it may block everybody for its longest segment, and that is all.

    Args:
        tasks: everything bound to the lane.
        lane: its name.
        switch_ns: cost of starting one segment.
        tight: also follow start times for the response bounds; some milliseconds more.

    Raises:
        ConfigError: two tasks have the same name.
    """
    if not tasks:
        return _idle(lane, LaneEmpty(lane))
    require_unique(tasks)
    promised, slack = by_promise(tasks)
    verdict = (
        _check(tasks, promised, lane, switch_ns, tight=tight)
        if promised
        else _idle(lane, NoDeadlines(lane))
    )
    return replace(verdict, slack=slack_rates(tasks, switch_ns)) if slack else verdict


def _idle(lane: str, finding: Finding) -> LaneVerdict:
    return LaneVerdict(lane, True, Rule.UTILIZATION, 0.0, None, (), 0.0, "<=", 1.0, "", finding)


def _check(
    tasks: Sequence[AnalysisTask],
    promised: Sequence[AnalysisTask],
    lane: str,
    switch_ns: int,
    *,
    tight: bool,
) -> LaneVerdict:
    for task in promised:
        if task.wcet_ns(switch_ns) + task.jitter_ns > task.deadline_ns:
            return _too_long_alone(promised, task, lane, switch_ns)
    load = LaneLoad(tasks, switch_ns)
    if load.compare_to_one() > 0:
        return LaneVerdict(
            lane,
            False,
            Rule.UTILIZATION,
            load.utilization,
            _overload_witness(load, lane),
            (),
            load.utilization,
            ">",
            1.0,
            "",
            LaneOverloaded(lane, load.utilization),
        )
    return _demand_verdict(load, lane, tight)


def is_schedulable(tasks: Sequence[AnalysisTask], *, switch_ns: int = 0) -> bool:
    """Return only the answer of :func:`check_lane`, which is what a search needs."""
    promised, _ = by_promise(tasks)
    if not promised:
        return True
    for task in promised:
        if task.wcet_ns(switch_ns) + task.jitter_ns > task.deadline_ns:
            return False
    load = LaneLoad(tasks, switch_ns)
    if load.compare_to_one() > 0:
        return False
    end = load.horizon_ns()
    if end is None or not load.fits(end):
        return False
    few = min(MAX_POINTS, max(_SCAN_POINTS, _SCAN_POINTS_PER_TASK * len(tasks)))
    if load.points_until(end) <= few:
        return bool(np.min(load.curve(end).slack_ns) >= 0)
    # Most sets that fail do so early.
    early = load.points_until(load.latest_ns) <= few
    if early and np.min(load.curve(load.latest_ns).slack_ns) < 0:
        return False
    try:
        return qpa(load, end) is None
    except UndecidedError:
        return False


def queue_needed(task: AnalysisTask, bound_ns: int, switch_ns: int = 0) -> int:
    """Return how many jobs must be able to wait so that none is displaced by a newer one.

    A job starts at most ``R - C`` after its arrival, and the k-th one after it arrives at least
    ``k T`` later; so at most ``floor((R - C) / T)`` wait when another becomes ready. It is 1 where
    the response bound is below the period.
    """
    return max(0, bound_ns - task.wcet_ns(switch_ns)) // task.period_ns + 1


def _demand_verdict(load: LaneLoad, lane: str, tight: bool) -> LaneVerdict:
    end = load.horizon_ns()
    if end is None or not load.fits(end):
        return _undecided(load, lane)
    failed: int | None = None
    if load.points_until(end) > MAX_POINTS:
        try:
            failed = qpa(load, end)
        except UndecidedError:
            return _undecided(load, lane)
    curve, beyond = _curve(load, end, tight)
    if curve is None:
        witness = _witness(load, lane, load.latest_ns if failed is None else failed)
    else:
        least = int(np.argmin(curve.slack_ns))
        t_ns = int(curve.t_ns[least])
        witness = _witness(
            load, lane, t_ns if failed is None or curve.slack_ns[least] < 0 else failed
        )
    need = (witness.demand_ns + witness.blocking_ns) / 1e6
    if witness.slack_ns < 0:
        return LaneVerdict(
            lane,
            False,
            Rule.DEMAND_BOUND,
            load.utilization,
            witness,
            (),
            need,
            ">",
            witness.t_ns / 1e6,
            "ms",
            DemandTooHigh(lane, witness),
        )
    return LaneVerdict(
        lane,
        True,
        Rule.DEMAND_BOUND,
        load.utilization,
        witness,
        _responses(load, curve, beyond, lane, tight=tight),
        need,
        "<=",
        witness.t_ns / 1e6,
        "ms",
        DemandFits(lane, witness),
    )


def _curve(load: LaneLoad, end_ns: int, tight: bool) -> tuple[DemandCurve | None, int | None]:
    """Return the curve that decision and response bounds need, and the least slack beyond it.

    ``None`` as the slack: nothing beyond matters. ``None`` as the curve: too many points.
    """

    def possible(end: int | None) -> bool:
        return end is not None and load.fits(end) and load.points_until(end) <= MAX_POINTS

    latest = load.latest_ns
    if not possible(latest):
        return None, None
    reach = int(load.d.max())
    if tight:
        busy = load.busy_period_ns(load.longest_ns)
        cycle = load.hyperperiod_ns()
        covers = [
            max(end, latest)
            for end in (
                None if busy is None else busy + reach,
                None if cycle is None else latest + cycle,
            )
            if end is not None and possible(end)
        ]
        if covers:
            return load.curve(min(covers)), None
    wanted = load.horizon_ns(max(0, latest - demand_at(load, latest)), reach)
    if wanted is not None and possible(wanted):
        return load.curve(wanted), max(0, load.line_slack_ns(wanted)) if tight else None
    shorter = end_ns if possible(end_ns) else latest
    return load.curve(shorter), max(0, load.line_slack_ns(shorter))


def _responses(
    load: LaneLoad, curve: DemandCurve | None, beyond: int | None, lane: str, *, tight: bool
) -> tuple[ResponseBound, ...]:
    if curve is None:
        bounds = load.d.copy()
    else:
        bounds = np.minimum(load.d, curve_bounds(load, curve, beyond))
        if tight:
            bounds = start_time_bounds(load, curve, bounds, beyond)
    return tuple(
        ResponseBound(task.name, lane, bound, task.deadline_ns)
        for task, bound in zip(load.tasks, bounds.tolist(), strict=True)
    )


def _witness(load: LaneLoad, lane: str, t_ns: int) -> Witness:
    demand = demand_at(load, t_ns)
    blocker = load.blocker_at(t_ns)
    blocking = int(load.blocking_at(np.array([t_ns], np.int64))[0])
    name = blocker.name if blocker is not None else ""
    return Witness(lane, t_ns, demand, blocking, name, t_ns - demand - blocking)


def _too_long_alone(
    tasks: Sequence[AnalysisTask], task: AnalysisTask, lane: str, switch_ns: int
) -> LaneVerdict:
    wcet = task.wcet_ns(switch_ns)
    t_ns = task.deadline_ns - task.jitter_ns
    return LaneVerdict(
        lane,
        False,
        Rule.WCET_DEADLINE,
        float(sum(item.wcet_ns(switch_ns) / item.period_ns for item in tasks)),
        Witness(lane, t_ns, wcet, 0, "", t_ns - wcet),
        (),
        (wcet + task.jitter_ns) / 1e6,
        ">",
        task.deadline_ns / 1e6,
        "ms",
        TaskTooLong(task.name, wcet, task.jitter_ns, task.deadline_ns),
    )


def _overload_witness(load: LaneLoad, lane: str) -> Witness | None:
    """Return an interval length in which an overloaded lane is asked for more than its length."""
    end = load.latest_ns
    while load.points_until(end) <= MAX_POINTS and load.fits(end):
        curve = load.curve(end)
        late = np.nonzero(curve.slack_ns < 0)[0]
        if late.size:
            return _witness(load, lane, int(curve.t_ns[late[0]]))
        end *= 2
    # Beyond this h(t) > U t - sum U (D - J) is above t.
    spare = load.utilization - 1.0
    if spare > 1e-9:
        t_ns = int(float(np.sum(load.c / load.t * load.first)) / spare * 1.001) + load.latest_ns
        if t_ns < _SAFE and load.fits(t_ns):
            witness = _witness(load, lane, t_ns)
            if witness.slack_ns < 0:
                return witness
    return None


def _undecided(load: LaneLoad, lane: str) -> LaneVerdict:
    return LaneVerdict(
        lane,
        False,
        Rule.LIMIT,
        load.utilization,
        None,
        (),
        load.utilization,
        "<=",
        1.0,
        "",
        Undecided(lane, load.utilization, load.compare_to_one()),
    )
