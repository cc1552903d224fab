"""Finds kinds of execution plans: ours, and those other distributions offer."""

from __future__ import annotations

from functools import cache
from typing import Any, Union

from aegis_ros.plugins import Plugins

__all__ = ["plan_types"]

_PLANS = Plugins(
    "plan",
    "aegis_ros.plans",
    "plan",
    {
        "early_exit": "aegis_ros.scheduling.plans.segments:EarlyExitPlan",
        "segments": "aegis_ros.scheduling.plans.segments:SegmentPlan",
    },
)


@cache
def plan_types() -> Any:
    """Return the union of all plans that can be sent to an engine.

    Each is a frozen :class:`msgspec.Struct` with a tag of its own, and satisfies
    :class:`~aegis_ros.scheduling.plans.ExecutionPlan`.
    """
    found = [_PLANS.load(name) for name in _PLANS.names()]
    return Union[tuple(dict.fromkeys(found))]  # noqa: UP007
