"""Whether everything on one lane meets its deadlines, with the numbers that decide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aegis_ros.analysis.demand import MAX_POINTS, DemandCurve, LaneLoad, qpa
from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.rationale import ResponseBound, Rule, Witness

__all__ = ["LaneVerdict", "check_lane", "is_schedulable"]


@dataclass(frozen=True, slots=True)
class LaneVerdict:
    """The answer for one lane.

    Attributes:
        lane: name.
        schedulable: whether every job of every sporadic arrival pattern meets its deadline.
        rule: the test that decided.
        utilization: sum of budgets over periods.
        witness: interval length with the least slack; ``None`` for an empty lane.
        responses: bound on the response time of each task, when schedulable.
        left, relation, right, unit: the inequality that decided.
        sentence: the same for people.
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
    sentence: str


def check_lane(
    tasks: Sequence[AnalysisTask], *, lane: str = "main", switch_ns: int = 0
) -> LaneVerdict:
    """Test a lane under non-preemptive or limited-preemptive EDF.

    Sufficient for fixed segment boundaries; also necessary for sporadic tasks of one segment
    without jitter (Jeffay, Stanat & Martel 1991; George, Rivierre & Spuri 1996).

    Args:
        tasks: everything bound to the lane.
        lane: its name.
        switch_ns: cost of starting one segment.
    """
    if not tasks:
        return LaneVerdict(
            lane,
            True,
            Rule.UTILIZATION,
            0.0,
            None,
            (),
            0.0,
            "<=",
            1.0,
            "",
            f"lane {lane} has nothing to do",
        )
    load = LaneLoad(tasks, switch_ns)
    for task in tasks:
        need = task.wcet_ns(switch_ns) + task.jitter_ns
        if need > task.deadline_ns:
            return LaneVerdict(
                lane,
                False,
                Rule.WCET_DEADLINE,
                load.utilization,
                _witness(load, None, lane, task),
                (),
                need / 1e6,
                ">",
                task.deadline_ns / 1e6,
                "ms",
                f"{task.name} alone needs {_ms(task.wcet_ns(switch_ns))} of execution and "
                f"{_ms(task.jitter_ns)} of jitter, more than its deadline of "
                f"{_ms(task.deadline_ns)}",
            )
    if load.overloaded():
        return LaneVerdict(
            lane,
            False,
            Rule.UTILIZATION,
            load.utilization,
            None,
            (),
            load.utilization,
            ">",
            1.0,
            "",
            f"the tasks of lane {lane} together need {load.utilization:.1%} of it",
        )
    end = load.last_point_ns()
    if end is None or load.points_until(end) > 50 * MAX_POINTS:
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
            f"lane {lane} is so close to fully used ({load.utilization:.4%}) that the test has no "
            "end within its limits; what cannot be decided is rejected",
        )
    curve = load.curve(max(end, int(load.first.max())))
    slack = curve.slack_ns
    tightest = int(np.argmin(slack))
    failed = int(curve.t_ns[tightest]) if slack[tightest] < 0 else None
    if failed is None and not curve.complete:
        failed = qpa(load, end)
    witness = _witness(load, curve, lane, None, failed)
    if failed is not None:
        need = witness.demand_ns + witness.blocking_ns
        blocker = (
            f" and {witness.blocking_task} may block for {_ms(witness.blocking_ns)}"
            if witness.blocking_task
            else ""
        )
        return LaneVerdict(
            lane,
            False,
            Rule.DEMAND_BOUND,
            load.utilization,
            witness,
            (),
            need / 1e6,
            ">",
            witness.t_ns / 1e6,
            "ms",
            f"within {_ms(witness.t_ns)} the tasks of lane {lane} can demand "
            f"{_ms(witness.demand_ns)}{blocker}: {_ms(-witness.slack_ns)} too much",
        )
    need = witness.demand_ns + witness.blocking_ns
    return LaneVerdict(
        lane,
        True,
        Rule.DEMAND_BOUND,
        load.utilization,
        witness,
        _responses(load, end, lane),
        need / 1e6,
        "<=",
        witness.t_ns / 1e6,
        "ms",
        f"in every interval the tasks of lane {lane} demand less than its length; closest at "
        f"{_ms(witness.t_ns)}, where {_ms(witness.slack_ns)} are left",
    )


def is_schedulable(tasks: Sequence[AnalysisTask], *, switch_ns: int = 0) -> bool:
    """Return only the answer of :func:`check_lane`, which is what a search needs."""
    if not tasks:
        return True
    load = LaneLoad(tasks, switch_ns)
    if np.any(load.c + load.j > load.d) or load.overloaded():
        return False
    end = load.last_point_ns()
    if end is None or load.points_until(end) > 50 * MAX_POINTS:
        return False
    return qpa(load, max(end, int(load.first.max()))) is None


def _witness(
    load: LaneLoad,
    curve: DemandCurve | None,
    lane: str,
    alone: AnalysisTask | None,
    failed_ns: int | None = None,
) -> Witness:
    if alone is not None or curve is None:
        assert alone is not None
        t_ns = alone.deadline_ns - alone.jitter_ns
        demand = alone.wcet_ns() if alone is None else int(load.c[load.tasks.index(alone)])
        return Witness(lane, t_ns, demand, 0, "", t_ns - demand)
    index = int(np.argmin(curve.slack_ns))
    if failed_ns is not None and curve.slack_ns[index] >= 0:
        curve = load.curve(failed_ns)
        index = curve.t_ns.size - 1
    t_ns, demand = int(curve.t_ns[index]), int(curve.demand_ns[index])
    blocking = int(curve.blocking_ns[index])
    blocker = load.blocker_at(t_ns) if blocking else None
    return Witness(
        lane, t_ns, demand, blocking, blocker.name if blocker else "", t_ns - demand - blocking
    )


def _responses(load: LaneLoad, end_ns: int, lane: str) -> tuple[ResponseBound, ...]:
    """Bound every response time from the demand curve of a schedulable lane.

    A job due t after the start of its busy interval ends by h(t) + B(t), so its response time is at
    most ``D_i - min slack(t)`` over all t from ``D_i - J_i`` on. The curve is followed until the
    slack can no longer shrink.
    """
    curve = load.curve(_settled_ns(load, end_ns))
    least_after = np.minimum.accumulate(curve.slack_ns[::-1])[::-1]
    bounds = []
    for index, task in enumerate(load.tasks):
        if curve.complete:
            start = int(np.searchsorted(curve.t_ns, load.first[index]))
            bound = int(load.d[index]) - int(least_after[start])
        else:
            bound = int(load.d[index])
        bounds.append(ResponseBound(task.name, lane, bound, task.deadline_ns))
    return tuple(bounds)


def _settled_ns(load: LaneLoad, end_ns: int) -> int:
    """Return an interval length beyond which the slack exceeds what it was at every D - J."""
    longest = int(load.first.max())
    end = max(end_ns, longest)
    if load.compare_to_one() >= 0:
        return end + longest
    curve = load.curve(end)
    at_first = curve.slack_ns[np.searchsorted(curve.t_ns, load.first)]
    spare = 1.0 - load.utilization
    excess = float(np.sum(load.c / load.t * (load.t - load.d + load.j)))
    linear = (max(excess, 0.0) + float(at_first.max())) / spare
    settled = max(end, int(linear * (1.0 + 1e-6)) + 1)
    if load.points_until(settled) > 20_000:
        busy = load.busy_period_ns()
        if busy is not None:
            settled = max(end, min(settled, busy + longest))
    return settled


def _ms(value_ns: int) -> str:
    return f"{value_ns / 1e6:.2f} ms"
