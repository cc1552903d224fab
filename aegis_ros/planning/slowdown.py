"""How slow the device may become before something has to be shed, and what that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from aegis_ros.analysis import AnalysisTask, breakdown, decimated, shed_order

__all__ = ["Slowdown", "slowdown_of"]

_MAX_TASKS = 100  # beyond, the search takes longer than the answer it belongs to
_GRAIN = 10_000
_BELOW = 0.99


@dataclass(frozen=True, slots=True)
class Slowdown:
    """What a lane bears.

    Attributes:
        slowest_speed: share of the nominal speed at which every deadline still holds, rounded up.
        sheds_first: names of what is shed at a hundredth less, first to go first; empty where
            fewer frames are enough.
    """

    slowest_speed: float
    sheds_first: tuple[str, ...]


def slowdown_of(
    tasks: Sequence[AnalysisTask], switch_ns: int, limits: Mapping[str, int] | None = None
) -> Slowdown | None:
    """Return what a schedulable lane bears under EDF; ``None`` where it is empty or very large.

    Args:
        tasks: of the lane.
        switch_ns: cost of starting one segment; it takes longer on a slow device, too.
        limits: by name, by how much frames may become fewer before a task is shed.
    """
    if not 0 < len(tasks) <= _MAX_TASKS:
        return None
    factor = breakdown([task.switched(switch_ns) for task in tasks])
    grains, step = ceil(_GRAIN / max(factor, 1.0)), 1
    # Each budget is rounded up on its own, which can be a nanosecond more than the search saw.
    while grains < _GRAIN and shed_order(tasks, grains / _GRAIN, switch_ns=switch_ns):
        grains, step = min(_GRAIN, grains + step), 2 * step
    speed = grains / _GRAIN
    least_load = decimated(tasks, {} if limits is None else limits)
    return Slowdown(speed, shed_order(least_load, speed * _BELOW, switch_ns=switch_ns))
