"""Why a device has the lanes it has, where they were chosen and not declared."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Reason

__all__ = ["LaneAlternative", "LanePlace", "LanesChosen"]


@dataclass(frozen=True, slots=True)
class LaneAlternative:
    """The best that one way to divide a device can do.

    Attributes:
        label: names it, as ``2 lanes``.
        lanes: how many it has.
        slack: least share of a deadline that is left after a worst-case response; negative where
            not all tasks are in time.
        task: who has the least slack, or would be late; empty where that is nobody in particular.
        late_ns: by how much it would be late, 0 where that is not what fails.
        utilization: of the lane that is asked for more than it has, 0 where that is not what fails.
        gap: how much more slack another placement could leave at most; 0 where this is the best.
        assumed: pairs of networks that were never measured beside each other.
        memory: whether the networks do not fit into the arena.
        unmeasured: tasks that were never measured on such lanes; nothing else is known then.
        problem: why nothing can be measured on such lanes, empty where it can; nothing else is
            known then.
    """

    label: str
    lanes: int
    slack: float
    task: str = ""
    late_ns: int = 0
    utilization: float = 0.0
    gap: float = 0.0
    assumed: int = 0
    memory: bool = False
    unmeasured: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LanePlace:
    """A lane and the names of its tasks."""

    lane: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LanesChosen(Reason):
    """Lanes were chosen for the tasks of the configuration.

    Attributes:
        chosen: what they are.
        others: what else was looked at.
        places: each lane with its tasks.
        slowdown: how many times longer a network is assumed to take beside one that it was never
            measured with.
    """

    decision = Decision.INFORMED
    rule = Rule.LANE_CHOICE

    chosen: LaneAlternative
    others: tuple[LaneAlternative, ...]
    places: tuple[LanePlace, ...]
    slowdown: float = 1.0
