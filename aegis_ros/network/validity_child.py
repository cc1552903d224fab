"""The work of the child process that looks at a large network before it is hashed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["answer"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse a network that is not valid whatever its weights are; say nothing of any other."""
    from aegis_ros.network.graph import require_valid_without_weights

    require_valid_without_weights(request["descriptor"], Path(request["source"]))
    return {}
