"""How tasks will be cut and placed when they are registered one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_ros.analysis import AnalysisTask
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.decimation import Decimation, with_fewer_frames
from aegis_ros.planning.lane_choice import place
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.segment_choice import cut_for_fewer_frames, cut_to_fit

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
    admitted: dict[str, tuple[AnalysisTask, str]] = {}
    cut: dict[str, Options] = {}
    for index, options in enumerate(tasks):
        coming = [item.candidates[0].analysis_task() for item in tasks[index + 1 :]]
        own = cut_to_fit(options, admitted, coming, None, preparation=preparation, estimate=True)
        name = own.spec.name
        cut[name] = own
        movable = {each: cut[each].by_lane() for each in admitted if not cut[each].spec.lane}
        found = place(own, admitted, movable, device=device, at_rest=True)
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
