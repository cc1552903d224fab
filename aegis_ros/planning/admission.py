"""Decides whether a task may run, with the proof or with what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aegis_ros.analysis import AnalysisTask, assign
from aegis_ros.memory import Holding
from aegis_ros.planning.arena_fit import full_while_moving, has_room, in_blocks, loadable
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.counterfactuals import changes_that_admit
from aegis_ros.planning.decimation import Decimation, with_fewer_frames
from aegis_ros.planning.lane_choice import Admitted, lane_names, place, used_before
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale.rejection import NotSchedulable
from aegis_ros.spec import Criticality, DeviceSpec

__all__ = ["decide"]


def decide(
    options: Options,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    memory: Sequence[Holding],
    decimations: Mapping[str, Decimation] | None = None,
    *,
    device: DeviceSpec,
    movable: Mapping[str, Options] | None = None,
    at_rest: bool = False,
) -> tuple[Candidate, Admitted]:
    """Test arena and schedulability beside what runs already.

    Where the task fits on no lane, a running one is moved to another lane so that it does, if
    that is possible; else frames of tasks of low criticality are left out.

    Args:
        options: the new task.
        admitted: for each running task, how the tests see it and its lane.
        memory: what is in memory for the running tasks, and for the frames of this one.
        decimations: of the running tasks that may be decimated.
        device: its lanes and its arena.
        movable: the running tasks that may move.
        at_rest: whether no job has been released yet.

    Returns:
        The task with the budget and the cut of its lane, and the proof.

    Raises:
        Refusal: it does not fit, with the numbers and what would help.
    """
    options = options.each(lambda one: loadable(one, memory, device.arena_bytes))
    spec = options.spec
    task = options.candidates[0].analysis_task()
    tasks = [item for item, _ in admitted.values()]
    fixed = {name: lane for name, (_, lane) in admitted.items()}
    switch_ns = device.switch_ns
    movable = movable or {}
    budgets = {name: each.by_lane() for name, each in movable.items()}
    found = place(options, admitted, budgets, device=device, at_rest=at_rest)
    full = None
    if found is not None and found.moves:
        lane = found.assignment.lane_of[task.name]
        full = full_while_moving(
            options.on(lane),
            lane,
            found.moves,
            movable=movable,
            memory=memory,
            arena_bytes=device.arena_bytes,
        )
        found = found if full is None else None
    shared = {} if decimations is None else decimations
    if found is not None:
        lane = found.assignment.lane_of[task.name]
        calm = all(
            shared[name].n == 1
            for name, (_, where) in admitted.items()
            if where == lane and name in shared
        )
        candidate, moves = in_blocks(
            options.on(lane), lane, found.moves, movable=movable, memory=memory
        )
        fits = Admitted(lane, found.assignment, used_before(admitted, lane, device), moves=moves)
        if calm or spec.criticality is Criticality.BEST_EFFORT:
            return candidate, fits
    with_fewer = with_fewer_frames(options, admitted, shared, device)
    if with_fewer is not None:
        lane = with_fewer.lane
        return in_blocks(options.on(lane), lane, (), movable={}, memory=memory)[0], with_fewer
    if found is not None:
        return candidate, fits
    if full is not None:
        raise Refusal(full)
    rejected = assign(
        [*tasks, task],
        lane_names(device),
        switch_ns=switch_ns,
        fixed=fixed,
        budgets={task.name: options.by_lane()},
    )
    lane = rejected.lane_of[task.name]
    verdict = rejected.verdicts[lane]
    raise Refusal(
        NotSchedulable(
            task=task.name,
            rule=verdict.rule,
            lane=lane,
            lanes=len(lane_names(device)),
            test=verdict.test,
            finding=verdict.finding,
            cut=options.on(lane).cut,
            utilization_before=used_before(admitted, lane, device),
            utilization_after=verdict.utilization,
            witness=verdict.witness,
            counterfactuals=changes_that_admit(
                options,
                admitted,
                lane,
                switch_ns=switch_ns,
                fits=lambda other: has_room(other, memory, device.arena_bytes),
            ),
        )
    )
