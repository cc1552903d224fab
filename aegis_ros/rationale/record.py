"""A decision on record: its rule, its numbers and what would have changed it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Reason

__all__ = ["Counterfactual", "Rationale", "ResponseBound", "Witness"]


@dataclass(frozen=True, slots=True)
class Witness:
    """The interval length at which the demand test has least slack.

    Attributes:
        lane: lane tested.
        t_ns: interval length.
        demand_ns: demand bound h(t).
        blocking_ns: blocking B(t).
        blocking_task: task that blocks; empty for none.
        slack_ns: ``t - h(t) - B(t)``; negative when the test fails.
    """

    lane: str
    t_ns: int
    demand_ns: int
    blocking_ns: int
    blocking_task: str
    slack_ns: int


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A change, verified by running the test again, that would turn the answer around.

    Attributes:
        task: task to change.
        change: name of the field (``period_ms``, ``wcet_ms``, ``deadline_ms``, ``drop`` …).
        value: value of the field that passes, in its own unit.
        sentence: the same for people.
    """

    task: str
    change: str
    value: float
    sentence: str


@dataclass(frozen=True, slots=True)
class ResponseBound:
    """Analytical bound on the response time of one task, from arrival to end of execution."""

    task: str
    lane: str
    bound_ns: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Rationale:
    """Why something was decided.

    Attributes:
        id: unique and increasing within one orchestrator.
        time_ns: wall-clock time of the decision (nanoseconds since 1970).
        task: task concerned; empty for the orchestrator itself.
        decision: what was decided.
        rule: rule it was decided by.
        sentence: one or two sentences for people, with the numbers in them.
        job: sequence number of the job concerned, -1 for none.
        left: left side of the inequality tested (unit in ``unit``).
        relation: ``<=``, ``>`` …; empty when no inequality was tested.
        right: right side of the inequality.
        unit: unit of both sides.
        utilization_before: of the lane, 0..1; without the task.
        utilization_after: of the lane, 0..1; with the task.
        witness: tightest point of the demand test, if it was run.
        responses: response-time bounds of all tasks of the lane, if admitted.
        counterfactuals: verified changes that turn the answer around.
        count: how many equal events this record stands for (skips are aggregated).
        related: id of an earlier rationale this one follows from, 0 for none.
        reason: all numbers put into the decision; ``None`` where a file does not hold them.
    """

    id: int
    time_ns: int
    task: str
    decision: Decision
    rule: Rule
    sentence: str
    job: int = -1
    left: float = 0.0
    relation: str = ""
    right: float = 0.0
    unit: str = ""
    lane: str = ""
    utilization_before: float = 0.0
    utilization_after: float = 0.0
    witness: Witness | None = None
    responses: tuple[ResponseBound, ...] = ()
    counterfactuals: tuple[Counterfactual, ...] = ()
    count: int = 1
    related: int = 0
    reason: Reason | None = None
