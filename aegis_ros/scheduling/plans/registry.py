"""Finds kinds of execution plans: ours, and those other distributions offer."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
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
        "generator": "aegis_ros.scheduling.plans.generator:GeneratorPlan",
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
        try:
            found = msgspec.convert(value, plan_types())
        except msgspec.ValidationError as error:
            unusable = _unusable()
            if not unusable:
                raise
            raise msgspec.ValidationError(
                f"{error}; plans that cannot be imported: {', '.join(unusable)}"
            ) from error
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
    found = []
    for name in names:
        with suppress(Exception):  # of another's module, named where a plan is not understood
            found.append(_PLANS.load(name))
    return Union[tuple(dict.fromkeys(found))]  # noqa: UP007


def _unusable() -> list[str]:
    """Return the names of the plans whose modules fail, each with the reason."""
    found = []
    for name in _PLANS.names():
        try:
            _PLANS.load(name)
        except Exception as error:  # of another's module
            found.append(f"{name} ({type(error).__name__}: {error})")
    return found
