"""How tasks will be cut and placed when they are registered one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aegis_ros.analysis import AnalysisTask, is_schedulable
from aegis_ros.analysis.lanes import Budgets
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.chains import chains_verdict
from aegis_ros.planning.contention import Placed
from aegis_ros.planning.decimation import Decimation, with_fewer_frames
from aegis_ros.planning.lane_choice import lane_names, least_slack, place
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.planning.relocation import Relocated
from aegis_ros.planning.segment_choice import cut_for_fewer_frames, cut_to_fit
from aegis_ros.spec import DeviceSpec

__all__ = ["Foreseen", "foresee"]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A task as it will run, and its lane; the lane is empty for one that will be rejected."""

    candidate: Candidate
    lane: str


def foresee(tasks: Sequence[Options], preparation: Preparation) -> list[Foreseen]:
    """Return tasks as they will be cut and placed when they are registered one by one.

    Budgets of segments that were never measured are estimated from the whole's.

    Args:
        tasks: as :meth:`Preparation.prepare` returns them.
        preparation: compiles networks again.

    Raises:
        Refusal: a network cannot be compiled again.
    """
    device = preparation.device
    if preparation.contention.present:
        return _beside_each_other(tasks, preparation)
    admitted: dict[str, tuple[AnalysisTask, str]] = {}
    cut: dict[str, Options] = {}
    follows = {each.spec.name: each.spec.follows for each in tasks if each.spec.follows}
    for index, options in enumerate(tasks):
        coming = [item.candidates[0].analysis_task() for item in tasks[index + 1 :]]
        own = cut_to_fit(options, admitted, coming, None, preparation=preparation, estimate=True)
        name = own.spec.name
        cut[name] = own
        movable = {each: cut[each].by_lane() for each in admitted if not cut[each].spec.lane}
        found = _placed(own, admitted, movable, follows=follows, device=device)
        if found is None:
            # Rejected ones are waited for by nobody; decimated ones are.
            decimations = {
                each: Decimation(1, item.spec.decimation_limit) for each, item in cut.items()
            }
            with_fewer = with_fewer_frames(own, admitted, decimations, device)
            if with_fewer is None:
                finer = cut_for_fewer_frames(
                    options, admitted, decimations, None, preparation=preparation
                )
                with_fewer = with_fewer_frames(finer, admitted, decimations, device)
                cut[name] = own if with_fewer is None else finer
            if with_fewer is not None:
                lane = with_fewer.lane
                admitted[name] = (cut[name].on(lane).analysis_task(), lane)
            continue
        for move in found.moves:
            admitted[move.task] = (movable[move.task][move.after], move.after)
        lane = found.assignment.lane_of[name]
        admitted[name] = (own.on(lane).analysis_task(), lane)
    return [
        Foreseen(options.on(lane) if lane else options.candidates[0], lane)
        for name, options in cut.items()
        for lane in [admitted[name][1] if name in admitted else ""]
    ]


def _beside_each_other(tasks: Sequence[Options], preparation: Preparation) -> list[Foreseen]:
    """Return the same for lanes that slow each other, with the budgets that hold beside the others.

    Lanes are tried one by one, as for a registration. Where a pair was never measured, the budget
    alone decides where a task goes.

    Raises:
        Refusal: a network cannot be compiled again.
    """
    device = preparation.device
    placed: dict[str, Placed] = {}
    cut: dict[str, Options] = {}
    follows = {each.spec.name: each.spec.follows for each in tasks if each.spec.follows}
    for index, options in enumerate(tasks):
        coming = [item.candidates[0].analysis_task() for item in tasks[index + 1 :]]
        own = cut_to_fit(
            options, _seen(placed), coming, None, preparation=preparation, estimate=True
        )
        name = own.spec.name
        cut[name] = own
        decimations = {
            each: Decimation(1, item.spec.decimation_limit) for each, item in cut.items()
        }
        found: list[tuple[float, dict[str, Placed]]] = []
        fewer: dict[str, Placed] | None = None
        for lane in (each for each in lane_names(device) if each in own.by_lane()):
            one, together = _tried(own, lane, placed, preparation)
            if not all(
                is_schedulable(
                    [
                        each.candidate.analysis_task()
                        for each in together.values()
                        if each.lane == other
                    ],
                    switch_ns=device.switch_ns,
                )
                for other in preparation.contention.slowed_by(lane)
            ):
                continue
            fits = _placed(one, _seen(together), {}, follows=follows, device=device)
            after = {**together, name: Placed(one.on(lane), lane)}
            if fits is not None:
                found.append((least_slack(fits.assignment), after))
            elif fewer is None and with_fewer_frames(one, _seen(together), decimations, device):
                fewer = after
        if found:
            placed = max(found, key=lambda item: item[0])[1]
        elif fewer is not None:
            placed = fewer
    return [
        Foreseen(placed[name].candidate, placed[name].lane)
        if name in placed
        else Foreseen(options.candidates[0], "")
        for name, options in cut.items()
    ]


def _tried(
    own: Options, lane: str, placed: Mapping[str, Placed], preparation: Preparation
) -> tuple[Options, dict[str, Placed]]:
    """Return a task on one lane, and those that are there with the budgets they have beside it."""
    try:
        one, grown = preparation.contention.placed(own, lane, placed, None)
    except Refusal:
        one, grown = replace(own, candidates=(replace(own.on(lane), lanes=(lane,)),)), {}
    return one, {
        name: Placed(grown.get(name, each.candidate), each.lane) for name, each in placed.items()
    }


def _seen(placed: Mapping[str, Placed]) -> dict[str, tuple[AnalysisTask, str]]:
    return {name: (each.candidate.analysis_task(), each.lane) for name, each in placed.items()}


def _placed(
    options: Options,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    movable: Budgets,
    *,
    follows: Mapping[str, str],
    device: DeviceSpec,
) -> Relocated | None:
    """Return where a task fits and no chain could be late, or else where it fits."""
    first: Relocated | None = None
    left: Options | None = options
    while left is not None:
        found = place(left, admitted, movable, device=device, at_rest=True)
        if found is None:
            break
        first = first or found
        lane = found.assignment.lane_of[options.spec.name]
        moved = {move.task: (movable[move.task][move.after], move.after) for move in found.moves}
        own = {options.spec.name: (options.on(lane).analysis_task(), lane)}
        proven = chains_verdict(
            {**admitted, **moved, **own}, follows, {}, switch_ns=device.switch_ns
        )
        if proven is None or proven.schedulable:
            return found
        left = left.off(lane)
    return first
