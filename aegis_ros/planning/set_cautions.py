"""What no budget of a file counts of tasks on other lanes, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.planning.candidate import Candidate
from aegis_ros.rationale.admission import BesideBudget, DeclaredBudget
from aegis_ros.rationale.wording.units import names

__all__ = ["cautions"]


def cautions(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return a sentence for each budget that other lanes may make too small.

    Args:
        candidates: tasks with their budgets beside each other.
    """
    found = []
    for each in candidates:
        name, basis = each.spec.name, each.wcet_basis
        if isinstance(basis, DeclaredBudget) and basis.unmeasured:
            found.append(
                f"{name}: wcet_ms is taken to be the time alone, and "
                f"{names(basis.unmeasured)} on other lanes may slow it, which nothing counts. "
                "aegis profile measures by how much; without wcet_ms, admission does"
            )
        if isinstance(basis, BesideBudget) and basis.lanes > 1 and not basis.at_once_ns:
            found.append(
                f"{name}: its budget follows from pairs of networks. With all {basis.lanes} other "
                "lanes busy at once it was never measured; an orchestrator does that before it "
                "admits, and may answer differently"
            )
    return tuple(found)
