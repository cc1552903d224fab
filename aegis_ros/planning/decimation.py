"""How a task fits once frames of tasks of low criticality are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from aegis_ros.analysis import AnalysisTask, assign, decimated, find_decimation, safe_removal_ns
from aegis_ros.planning.candidate import Options
from aegis_ros.planning.lane_choice import Admitted, lane_names, used_before
from aegis_ros.spec import Criticality, DeviceSpec

__all__ = ["Decimation", "most_decimated", "with_fewer_frames"]


@dataclass(frozen=True, slots=True)
class Decimation:
    """The decimation of a running task.

    Attributes:
        n: every n-th frame becomes a job now.
        limit: how large n may become.
    """

    n: int
    limit: int


def most_decimated(
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    decimations: Mapping[str, Decimation],
) -> dict[str, tuple[AnalysisTask, str]]:
    """Return the running tasks at the lowest rates they may have."""
    return {
        name: (
            _with_decimation(task, own, own.limit) if (own := decimations.get(name)) else task,
            lane,
        )
        for name, (task, lane) in admitted.items()
    }


def with_fewer_frames(
    options: Options,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    decimations: Mapping[str, Decimation],
    device: DeviceSpec,
) -> Admitted | None:
    """Return how a task fits where frames are left out, on the lane that loses least by it.

    Args:
        options: the new task.
        admitted: for each running task, how the tests see it and its lane.
        decimations: of the running tasks that may be decimated.
        device: its lanes.
    """
    spec = options.spec
    if spec.criticality is Criticality.BEST_EFFORT:
        return None  # nobody gives up a promise for what has none
    limits = {name: own.limit for name, own in decimations.items()}
    limits[spec.name] = spec.decimation_limit
    switch_ns = device.switch_ns
    full = {
        name: (_with_decimation(item, own) if (own := decimations.get(name)) else item, lane)
        for name, (item, lane) in admitted.items()
    }
    found: list[tuple[int, int, str, dict[str, int]]] = []
    for lane, task in options.by_lane().items():
        running = [item for item, where in admitted.values() if where == lane]
        if safe_removal_ns(running, 0, switch_ns=switch_ns) is None:
            continue  # no instant is certain from which on the lane runs at other rates
        together = [*(item for item, where in full.values() if where == lane), task]
        decimation = find_decimation(
            together,
            limits,
            [lane],
            switch_ns=switch_ns,
            fixed={item.name: lane for item in together},
        )
        if decimation is not None:
            most_out = max(decimation.values(), default=1)
            found.append((most_out, sum(decimation.values()), lane, decimation))
    if not found:
        return None
    _, _, lane, decimation = min(found, key=lambda item: item[:2])
    task = options.by_lane()[lane]
    running = [
        item if where != lane else decimated([full[name][0]], decimation)[0]
        for name, (item, where) in admitted.items()
    ]
    fixed = {name: where for name, (_, where) in admitted.items()} | {task.name: lane}
    assignment = assign(
        [*running, *decimated([task], decimation)],
        lane_names(device),
        switch_ns=switch_ns,
        fixed=fixed,
    )
    if not assignment.schedulable:
        return None
    before = used_before(admitted, lane, device)
    return Admitted(lane, replace(assignment, method="least decimation"), before, decimation)


def _with_decimation(task: AnalysisTask, own: Decimation, decimation: int = 1) -> AnalysisTask:
    """Return a task that is decimated with every n-th frame instead."""
    return replace(task, period_ns=task.period_ns // own.n * decimation)
