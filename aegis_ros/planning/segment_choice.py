"""In how many segments a task is to run, for the sake of more urgent ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aegis_ros.analysis import AnalysisTask
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.cutting import SEGMENT_COUNTS, BlockingCheck, blocking_tolerance
from aegis_ros.planning.decimation import Decimation, most_decimated
from aegis_ros.planning.lane_choice import lane_names
from aegis_ros.planning.preparation import Measure, Preparation
from aegis_ros.rationale.admission import CutForOthers, CutNote, CutNotWorth, CutReason
from aegis_ros.spec import DeviceSpec

__all__ = ["cut_for_fewer_frames", "cut_to_fit"]


def cut_to_fit(
    options: Options,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    awaited: Sequence[AnalysisTask],
    measure: Measure | None,
    *,
    preparation: Preparation,
    estimate: bool = False,
    decimation: int = 1,
) -> Options:
    """Return the task in the fewest of 1, 2, 4 and 8 segments that more urgent tasks can bear.

    On each class of lanes by itself. A task of best effort that cannot stay whole gets as many
    of them as its cut allows. A task whose number of segments is declared, and one that would
    not fit however finely it were cut, is returned as it is.

    Args:
        options: whole, as :meth:`Preparation.prepare` returns it.
        admitted: for each running task, how the tests see it and its lane.
        awaited: tasks that are known to come; they count where they leave any time at all.
        measure: as for :meth:`Preparation.prepare`.
        preparation: compiles a network again, and finds its budgets.
        estimate: take the budgets of segments that cannot be measured now from the whole's.
        decimation: n where the task is to take every n-th frame.

    Raises:
        Refusal: segments would have to be measured, and that is not possible now.
    """
    return options.each(
        lambda one: _cut(
            one,
            admitted,
            awaited,
            measure,
            preparation=preparation,
            estimate=estimate,
            decimation=decimation,
        )
    )


def cut_for_fewer_frames(
    options: Options,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    decimations: Mapping[str, Decimation],
    measure: Measure | None,
    *,
    preparation: Preparation,
    estimate: bool = True,
) -> Options:
    """Return a task cut for what others can bear once all that may be decimated are.

    Args:
        options: as for :func:`cut_to_fit`, and so with the rest.
        admitted: for each running task, how the tests see it and its lane.
        decimations: of the running tasks that may be decimated.
        measure: called to measure a missing profile.
        preparation: as for :func:`cut_to_fit`.
        estimate: take the budgets of segments that cannot be measured now from the whole's.

    Raises:
        Refusal: as :func:`cut_to_fit`.
    """
    spare = most_decimated(admitted, decimations)
    decimation = options.spec.decimation_limit
    return cut_to_fit(
        options,
        spare,
        (),
        measure,
        preparation=preparation,
        estimate=estimate,
        decimation=decimation,
    )


def _cut(
    candidate: Candidate,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    awaited: Sequence[AnalysisTask],
    measure: Measure | None,
    *,
    preparation: Preparation,
    estimate: bool,
    decimation: int,
) -> Candidate:
    if candidate.spec.segments or candidate.compiled.segments > 1:
        return candidate
    task = candidate.analysis_task(decimation)
    known: dict[int, Candidate] = {}
    tried: CutReason | None = None
    for coming in (awaited, ()):
        checks = _blocking_checks(
            task, candidate.lanes, admitted, coming, device=preparation.device
        )
        if any(check.fits(task) for check in checks):
            break
        blocked = [check for check in checks if not check.waits(task)]
        for parts in reversed(SEGMENT_COUNTS) if task.best_effort else SEGMENT_COUNTS:
            if not any(check.fits(task.cut(parts)) for check in blocked):
                continue
            if parts not in known:
                known[parts] = preparation.in_segments(candidate, parts, measure, estimate=estimate)
            cut = known[parts]
            if cut.compiled.segments != parts and task.best_effort:
                tried = _note(cut)
                continue
            if cut.compiled.segments != parts:
                return replace(candidate, cut=_note(cut))
            for check in blocked:
                if check.fits(cut.analysis_task(decimation)):
                    return replace(cut, cut=_why_cut(candidate, cut, check))
            tried = _why_whole(cut, blocked)
    return replace(candidate, cut=tried)


def _blocking_checks(
    task: AnalysisTask,
    lanes: Sequence[str],
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    awaited: Sequence[AnalysisTask],
    *,
    device: DeviceSpec,
) -> list[BlockingCheck]:
    switch_ns = device.switch_ns
    checks = []
    for lane in lanes:
        others = tuple(item for item, where in admitted.values() if where == lane)
        # Of those that may go anywhere, it is not known yet whom they will meet.
        coming = [
            item
            for item in awaited
            if item.name != task.name and (item.lane == lane or lane_names(device) == (lane,))
        ]
        tolerance = blocking_tolerance([*others, *coming], task, switch_ns)
        checks.append(BlockingCheck(others, tolerance, switch_ns))
    return checks


def _note(cut: Candidate) -> CutReason | None:
    return CutNote(cut.compiled.note) if cut.compiled.note else None


def _why_cut(whole: Candidate, cut: Candidate, check: BlockingCheck) -> CutReason:
    waiting, tolerance_ns = check.tolerates()
    return CutForOthers(
        cut.plan.steps, max(cut.plan.budgets_ns), whole.work_ns, waiting, tolerance_ns
    )


def _why_whole(cut: Candidate, checks: Sequence[BlockingCheck]) -> CutReason:
    waiting, tolerance_ns = max((check.tolerates() for check in checks), key=lambda item: item[1])
    return CutNotWorth(cut.plan.steps, max(cut.plan.budgets_ns), waiting, tolerance_ns)
