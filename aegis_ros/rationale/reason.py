"""What all reasons have in common: a reason is the data of one decision, without its words."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule

__all__ = ["UNTESTED", "Inequality", "Reason"]


@dataclass(frozen=True, slots=True)
class Inequality:
    """A test that decided: ``left relation right``, both in ``unit``."""

    left: float
    relation: str
    right: float
    unit: str


UNTESTED = Inequality(0.0, "", 0.0, "")


class Reason:
    """Why something was decided; each kind is a frozen dataclass of plain values.

    Names and text are strings, times integer nanoseconds, and whatever belongs to several reasons
    is a dataclass of the same sort. Fields named like those of a
    :class:`~aegis_ros.rationale.Rationale` (``lane``, ``job``, ``utilization_after`` …) are taken
    over by it. How a reason reads is in :mod:`aegis_ros.rationale.wording` alone.

    Attributes:
        decision: what was decided.
        rule: rule it was decided by.
    """

    __slots__ = ()

    decision: Decision
    rule: Rule

    def tested(self) -> Inequality:
        """Return the inequality that decided; :data:`UNTESTED` for none."""
        return UNTESTED
