"""Budgets that jobs exceed again and again, and whether the tests hold with what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Inequality, Reason
from aegis_ros.rationale.verdicts import Finding

__all__ = ["BudgetExceeded", "RanBeside"]


@dataclass(frozen=True, slots=True)
class RanBeside:
    """A task that ran on a lane which slows this one when a budget was exceeded, and how often."""

    task: str
    lane: str
    times: int


@dataclass(frozen=True, slots=True)
class BudgetExceeded(Reason):
    """Jobs of a task exceed its budget again and again, by more than the lane has room for.

    Attributes:
        task: its name.
        lane: where it runs.
        times: how many jobs exceeded it.
        within_ns: in what time.
        beside: who ran on lanes that slow this one, who did most often first.
        before_ns: budget of a job.
        seen_ns: what its jobs take: of what was seen, the longest but one.
        declared: whether the user declared the budget; it is not changed then.
        late: who could be late if jobs take that long; empty for nobody.
        late_ns: by how much; 0 where the lane would be overloaded.
        test: the inequality that decided.
        finding: what the test found.
        utilization_before: of the lane.
        utilization_after: of the lane, with what was seen.
    """

    decision = Decision.INFORMED
    rule = Rule.OVERRUN

    task: str
    lane: str
    times: int
    within_ns: int
    beside: tuple[RanBeside, ...]
    before_ns: int
    seen_ns: int
    declared: bool
    late: str
    late_ns: int
    test: Inequality
    finding: Finding
    utilization_before: float
    utilization_after: float

    def tested(self) -> Inequality:
        """Return the inequality that decided."""
        return self.test
