"""Decimation: tasks that take every n-th frame because not everything fits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Reason

__all__ = ["DecimationCause", "DecimationChanged", "EveryNth"]


class DecimationCause(StrEnum):
    """Why the decimation of a task changed."""

    ADMITTED = "admitted"
    REMOVED = "removed"
    SHARED_ANEW = "shared_anew"
    SLOWER = "slower"
    FASTER = "faster"


@dataclass(frozen=True, slots=True)
class EveryNth:
    """A task with frames every ``period_ns`` of which every n-th becomes a job."""

    task: str
    period_ns: int
    n: int


@dataclass(frozen=True, slots=True)
class DecimationChanged(Reason):
    """A running task takes every n-th frame from now on.

    Attributes:
        task: its name.
        lane: where it runs.
        period_ns: between its frames.
        before, after: n before and now.
        cause: why it changed.
        other: the task that was admitted or removed.
        factor: speed of the device, where that is the cause.
        utilization_after: of the lane, 0 where it is not known.
    """

    decision = Decision.INFORMED
    rule = Rule.DECIMATION

    task: str
    lane: str
    period_ns: int
    before: int
    after: int
    cause: DecimationCause
    other: str = ""
    factor: float = 1.0
    utilization_after: float = 0.0
