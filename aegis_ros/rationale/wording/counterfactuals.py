"""Puts a change that would admit a task on record together with its words."""

from __future__ import annotations

from aegis_ros.rationale.changes import Change
from aegis_ros.rationale.record import Counterfactual
from aegis_ros.rationale.wording.words import words

__all__ = ["counterfactual"]


def counterfactual(change: Change) -> Counterfactual:
    """Return a change as it is answered: what to change, the value that passes, and the words."""
    task, value = change.of()
    return Counterfactual(task, change.change, value, words(change))
