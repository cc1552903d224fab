"""The English of :mod:`aegis_ros.rationale.budgets`."""

from __future__ import annotations

from aegis_ros.rationale import budgets
from aegis_ros.rationale.wording.units import length, ms, names
from aegis_ros.rationale.wording.words import words, words_of


@words_of(budgets.BudgetExceeded)
def _budget_exceeded(reason: budgets.BudgetExceeded) -> str:
    seen = ms(reason.seen_ns)
    text = (
        f"{reason.times} jobs of {reason.task} exceeded its budget of {ms(reason.before_ns)} "
        f"within {length(reason.within_ns)}"
    )
    if reason.beside:
        ran = names([f"{each.task} (lane {each.lane}) in {each.times}" for each in reason.beside])
        text += f"; beside them ran {ran} of these"
    tested = words(reason.finding)
    if reason.late:
        late = f", {reason.late} by up to {ms(reason.late_ns)}" if reason.late_ns else ""
        return (
            f"{text}. With {seen}, which all but the longest kept, deadlines could be missed"
            f"{late}: {tested}. The budget stays and is enforced; measure {reason.task} again, or "
            "give it a longer period"
        )
    if reason.declared:
        return (
            f"{text}. The tests would hold with {seen}, which all but the longest kept: {tested}. "
            "Declare that (wcet_ms), or leave it out to have it measured"
        )
    return f"{text}. It is {seen} from now on, which all but the longest kept: {tested}"
