"""Changes that would help, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aegis_ros.rationale import Counterfactual

__all__ = ["changes_as_json"]


def changes_as_json(changes: Sequence[Counterfactual]) -> list[dict[str, Any]]:
    """Return changes in the documented JSON form."""
    return [
        {
            "task": each.task,
            "change": each.change,
            "value": each.value,
            "sentence": each.sentence,
        }
        for each in changes
    ]
