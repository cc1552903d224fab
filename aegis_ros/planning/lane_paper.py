"""Chooses lanes for the tasks of a file from what is known of them, measuring nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from aegis_ros.analysis import AnalysisTask
from aegis_ros.backends import create_backends
from aegis_ros.config import together
from aegis_ros.errors import ConfigError
from aegis_ros.host import pinnable_cores
from aegis_ros.planning.contention import Placed
from aegis_ros.planning.lane_options import OptionsLayout
from aegis_ros.planning.lane_plan import plan_lanes
from aegis_ros.planning.lane_reason import lanes_chosen
from aegis_ros.planning.lane_table import TableLayout
from aegis_ros.planning.layouts import MOST_LANES, layouts_of
from aegis_ros.planning.preparation import Preparation
from aegis_ros.rationale.lanes import LaneAlternative, LanesChosen
from aegis_ros.spec import DeviceSpec, OrchestratorSpec
from aegis_ros.wcet import KnownProfiles, RememberedProfiles

__all__ = ["OnPaper", "choose_for_networks", "choose_for_table"]


@dataclass(frozen=True)
class OnPaper:
    """What was chosen.

    Attributes:
        device: with its lanes.
        placed: each task on its lane.
        preparation: for that device.
        reason: the decision with its alternatives.
    """

    device: DeviceSpec
    placed: Mapping[str, Placed]
    preparation: Preparation
    reason: LanesChosen


def choose_for_networks(
    spec: OrchestratorSpec,
    profiles: KnownProfiles,
    cache_dir: Path,
    *,
    slowdown: Fraction,
    refused: Callable[[str, str], ConfigError],
) -> OnPaper | None:
    """Return lanes for the tasks of a configuration, from stored profiles.

    Args:
        spec: its tasks name no lanes.
        profiles: measured budgets.
        cache_dir: prepared and compiled networks.
        slowdown: how many times longer a network is assumed to take beside one that it was never
            measured with.
        refused: makes an error of a task's name and why it cannot run.

    Returns:
        ``None`` where no layout has budgets for all tasks.

    Raises:
        ConfigError: there is no such backend, or tasks cannot run at all.
    """
    backends = create_backends(replace(spec.device, lanes=DeviceSpec().lanes))
    known = RememberedProfiles(profiles)
    layouts: dict[str, OptionsLayout] = {}
    prepared: dict[str, Preparation] = {}
    unmeasured: list[LaneAlternative] = []
    (backend,) = backends.values()
    for each in layouts_of(spec.device, backend, pinnable_cores()):
        preparation = Preparation(replace(spec, device=each.device), backends, known, cache_dir)
        options, unknown, errors = preparation.known(spec.tasks, refused)
        if errors:
            raise together(errors, errors[0].where)
        if unknown:
            unmeasured.append(
                LaneAlternative(each.label, len(each.device.lanes), -1.0, unmeasured=tuple(unknown))
            )
            continue
        prepared[each.label] = preparation
        layouts[each.label] = OptionsLayout(options, preparation, slowdown)
    if not layouts:
        return None
    plan = plan_lanes(layouts)
    assumed = {
        each.label: len(layouts[each.label].assumptions(each.found.lane_of))
        for each in plan.alternatives
    }
    reason = lanes_chosen(plan, unmeasured=unmeasured, assumed=assumed, slowdown=float(slowdown))
    best = plan.best
    preparation = prepared[best.label]
    placed = layouts[best.label].placed(best.found.lane_of)
    return OnPaper(preparation.device, placed, preparation, reason)


def choose_for_table(
    tasks: Sequence[AnalysisTask], switch_ns: int, slowdown: Fraction
) -> tuple[tuple[str, ...], tuple[AnalysisTask, ...], LanesChosen]:
    """Return lanes for tasks whose budgets are written down, each slowed by every other lane.

    Args:
        tasks: they name no lanes.
        switch_ns: cost of starting a segment.
        slowdown: how many times longer a task is assumed to take while another lane is busy.

    Returns:
        Names of the lanes, the tasks on them with the budgets they have there, and the decision.
    """
    layouts = {}
    for count in range(1, MOST_LANES + 1):
        lanes = ("main",) if count == 1 else tuple(f"lane{each + 1}" for each in range(count))
        layouts["1 lane" if count == 1 else f"{count} lanes"] = TableLayout(
            lanes,
            {task.name: dict.fromkeys(lanes, task) for task in tasks},
            lambda task, other: slowdown,
            switch_ns,
        )
    plan = plan_lanes(layouts)
    assumed = {each.label: _met(each.found.lane_of) for each in plan.alternatives if slowdown != 1}
    reason = lanes_chosen(plan, assumed=assumed, slowdown=float(slowdown))
    placed = tuple(replace(task, lane=lane) for task, lane in plan.best.tasks.values())
    return plan.best.lanes, placed, reason


def _met(lane_of: Mapping[str, str]) -> int:
    """Return how many pairs of tasks meet: the first runs while the second does."""
    return sum(one != two for one in lane_of.values() for two in lane_of.values())
