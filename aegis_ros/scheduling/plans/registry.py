"""Finds kinds of execution plans: ours, and those other distributions offer."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Any, Union

from aegis_ros.scheduling.plans.segments import EarlyExitPlan, SegmentPlan

__all__ = ["plan_types"]

_GROUP = "aegis_ros.plans"


@cache
def plan_types() -> Any:
    """Return the union of all plans that can be sent to an engine.

    Each is a frozen :class:`msgspec.Struct` with a tag of its own, and satisfies
    :class:`~aegis_ros.scheduling.plans.ExecutionPlan`.
    """
    others = {point.name: point for point in entry_points(group=_GROUP)}
    found = [others[name].load() for name in sorted(others)]
    return Union[tuple(dict.fromkeys([SegmentPlan, EarlyExitPlan, *found]))]  # noqa: UP007
