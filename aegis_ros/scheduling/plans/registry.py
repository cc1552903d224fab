"""Finds kinds of execution plans: ours, and those other distributions offer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Union

import msgspec

from aegis_ros.plugins import Plugins
from aegis_ros.scheduling.plans.base import ExecutionPlan

__all__ = ["plan_types", "received_plan"]

_PLANS = Plugins(
    "plan",
    "aegis_ros.plans",
    "plan",
    {
        "early_exit": "aegis_ros.scheduling.plans.segments:EarlyExitPlan",
        "segments": "aegis_ros.scheduling.plans.segments:SegmentPlan",
    },
)


def received_plan(value: object) -> ExecutionPlan:
    """Return the plan that a message holds.

    Args:
        value: its fields and its tag.

    Raises:
        msgspec.ValidationError: it is none.
    """
    found: ExecutionPlan
    try:
        found = msgspec.convert(value, _our_types())
    except msgspec.ValidationError:
        # What is installed is searched only then: a robot may be waiting for an engine.
        found = msgspec.convert(value, plan_types())
    return found


@cache
def plan_types() -> Any:
    """Return the union of all plans that can be sent to an engine.

    Each is a frozen :class:`msgspec.Struct` with a tag of its own, and satisfies
    :class:`~aegis_ros.scheduling.plans.ExecutionPlan`.
    """
    return _union(_PLANS.names())


@cache
def _our_types() -> Any:
    return _union(_PLANS.ours)


def _union(names: Iterable[str]) -> Any:
    found = [_PLANS.load(name) for name in names]
    return Union[tuple(dict.fromkeys(found))]  # noqa: UP007
