"""Tells from the outside whether an engine is gone, hangs, or has a lane that does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aegis_ros.engine.page import EnginePage
from aegis_ros.engine.speech import LoadGenerator
from aegis_ros.engine.types import LoadSpec
from aegis_ros.rationale.engine import EngineCause, EngineEnded, LaneStuck, LoopStuck

__all__ = ["Trouble", "trouble"]

_STALE_LOOP_NS = 1_000_000_000
_STUCK_FACTOR = 20
_STUCK_LEAST_NS = 2_000_000_000
_STUCK_UNKNOWN_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with an engine.

    Attributes:
        cause: what is wrong.
        suspects: ids of the tasks that may have caused it.
        since_ns: from when on nothing useful happened, monotonic.
        lane: where; -1 for everywhere.
    """

    cause: EngineCause
    suspects: tuple[int, ...]
    since_ns: int
    lane: int = -1


def trouble(
    exit_code: int | None,
    page: EnginePage,
    loaded: Mapping[int, LoadSpec | LoadGenerator],
    now_ns: int,
    *,
    outside: bool = False,
) -> Trouble | None:
    """Return what is wrong; ``None`` if all is well.

    Args:
        exit_code: of the process, ``None`` while it runs.
        page: its heartbeat page.
        loaded: what is loaded, by task id.
        now_ns: monotonic time.
        outside: whether somebody else ended the process: nothing that ran is to blame then.
    """
    lanes = page.lanes()
    running = tuple(lane.task_id for lane in lanes if lane.task_id >= 0)
    if exit_code is not None:
        suspects = () if outside else running
        return Trouble(EngineEnded(exit_code, outside), suspects, page.alive_ns)
    stale = now_ns - page.alive_ns
    if stale > _STALE_LOOP_NS:
        # A loop that stands still says nothing about what the lanes do.
        return Trouble(LoopStuck(stale), (), page.alive_ns)
    for index, lane in enumerate(lanes):
        spec = loaded.get(lane.task_id)
        if lane.task_id == -1:
            continue
        # The page says when a segment began, not which one it is.
        plan = None if spec is None else spec.plan
        budget = max(map(plan.limit, range(plan.steps))) if plan is not None else 0
        limit = max(_STUCK_FACTOR * budget, _STUCK_LEAST_NS) if budget else _STUCK_UNKNOWN_NS
        busy = now_ns - lane.since_ns
        if busy > limit:
            suspects = (lane.task_id,) if spec is not None else ()
            cause = LaneStuck("" if spec is None else spec.name, busy, budget)
            return Trouble(cause, suspects, lane.since_ns, index)
    return None
