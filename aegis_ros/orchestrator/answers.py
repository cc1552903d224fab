"""Makes the reason of an admission from the proof and from what else it means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aegis_ros.analysis import ChainsVerdict
from aegis_ros.orchestrator.claims import Neighbour
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.lane_choice import Admitted
from aegis_ros.rationale import ResponseBound
from aegis_ros.rationale.admission import (
    Budget,
    ChainTime,
    ConstantLatency,
    MovedTask,
    ResultsMeasured,
    RowsKept,
    SharedWith,
    SlowedTask,
    TaskAdmitted,
)
from aegis_ros.rationale.decimation import EveryNth
from aegis_ros.rationale.wording import words
from aegis_ros.spec import TaskSpec
from aegis_ros.wcet import PATTERN

__all__ = ["admission_reason"]

_TENTH_MS_NS = 100_000


def admission_reason(
    candidate: Candidate,
    admitted: Admitted,
    options: Options,
    others: Sequence[TaskSpec],
    *,
    lanes: int,
    load_note: str = "",
    neighbours: Sequence[Neighbour] = (),
    slowed: Sequence[SlowedTask] = (),
    unknown: Sequence[tuple[str, str]] = (),
) -> TaskAdmitted:
    """Return why a task is admitted, and what follows for those that run.

    Args:
        candidate: the task.
        admitted: lane and proof.
        options: the task on all lanes it may go to.
        others: running tasks.
        lanes: how many lanes there are.
        load_note: what the engine says of the network it loaded; may be empty.
        neighbours: other orchestrators on what its lane computes on.
        slowed: running tasks whose budgets grow.
        unknown: running tasks whose declared budgets stay, each with its lane.
    """
    spec = candidate.spec
    verdict = admitted.assignment.verdicts[admitted.lane]
    bound = next((item for item in verdict.responses if item.task == spec.name), None)
    decimation = admitted.decimation or {}
    return TaskAdmitted(
        task=spec.name,
        rule=verdict.rule,
        lane=admitted.lane,
        lane_method=admitted.assignment.method if lanes > 1 and not spec.lane else "",
        test=verdict.test,
        finding=verdict.finding,
        slack=verdict.slack,
        bound_ns=0 if bound is None else bound.bound_ns,
        deadline_ns=0 if bound is None else bound.deadline_ns,
        budget=Budget(candidate.wcet_source, candidate.work_ns, candidate.wcet_basis),
        cut=candidate.cut,
        load_note=load_note,
        latencies=_constant_latencies(spec, others, verdict.responses),
        decimated=tuple(
            EveryNth(each.name, each.period_ns, n)
            for each in (spec, *others)
            if (n := decimation.get(each.name, 1)) > 1
        ),
        utilization_before=admitted.utilization_before,
        utilization_after=verdict.utilization,
        witness=verdict.witness,
        responses=verdict.responses,
        moved=tuple(MovedTask(each.task, each.before, each.after) for each in admitted.moves),
        barred=tuple(words(each) for each in options.barred),
        chains=() if admitted.chains is None else _chains_of(spec.name, admitted.chains),
        shared=tuple(
            SharedWith(each.words, each.node, each.pid, each.utilization) for each in neighbours
        ),
        slowed=tuple(slowed),
        results=_results_measured(candidate),
        rows=_rows_kept(candidate),
        unknown=tuple(unknown),
    )


def _results_measured(candidate: Candidate) -> ResultsMeasured | None:
    """Return on what a budget was measured that depends on how much the network finds."""
    busy, frames = candidate.prepared.busy, candidate.measured_on
    if busy is None or not frames:
        return None
    return ResultsMeasured("" if frames == PATTERN else frames, busy.found, busy.most, busy.kept)


def _rows_kept(candidate: Candidate) -> RowsKept | None:
    """Return how many rows are kept where that is neither declared nor all there can be."""
    busy = candidate.prepared.busy
    if busy is None or not busy.kept or candidate.spec.output.max_results:
        return None
    return None if 0 < busy.most <= busy.kept else RowsKept(busy.kept, busy.most)


def _chains_of(name: str, verdict: ChainsVerdict) -> tuple[ChainTime, ...]:
    """Return the bounds of the chains that a task is part of."""
    return tuple(
        ChainTime(each.chain, each.latency_ns, each.deadline_ns)
        for each in verdict.bounds
        if name in each.chain.split(" → ")
    )


def _constant_latencies(
    spec: TaskSpec, others: Iterable[TaskSpec], responses: Iterable[ResponseBound]
) -> tuple[ConstantLatency, ...]:
    """Return what admitting a task means for constant latencies on its lane.

    Of the task itself whether its own holds, of the others those that do not hold.
    """
    bounds = {each.task: each for each in responses}
    found = []
    for each in (spec, *others):
        constant, kept = each.output.constant_latency_ns, each.output.publish_ns
        if not constant or each.name not in bounds:
            continue
        latest = bounds[each.name].bound_ns + kept
        if latest <= constant and each is not spec:
            continue
        holds = -(-latest // _TENTH_MS_NS) * _TENTH_MS_NS
        possible = holds <= each.deadline_ns - kept
        found.append(ConstantLatency(each.name, constant, latest, holds if possible else 0))
    return tuple(found)
