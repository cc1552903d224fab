"""What must hold, and what would show that deadline order and segments are not worth it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.compare.figures import bound_goal, lost_goal, missed_high
from benchmarks.compare.workload import Workload

__all__ = ["goals", "wilson"]

_Z = 1.96  # 95 %


def wilson(bad: int, count: int) -> tuple[float, float]:
    """Return the interval in which the true ratio lies with 95 %.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if count == 0:
        return 0.0, 1.0
    ratio, square = bad / count, _Z**2
    middle = (ratio + square / (2 * count)) / (1 + square / count)
    reach = (
        _Z * math.sqrt(ratio * (1 - ratio) / count + square / (4 * count**2)) / (1 + square / count)
    )
    return max(0.0, middle - reach), min(1.0, middle + reach)


def goals(summary: Mapping[str, Any], workload: Workload) -> list[tuple[str, str, bool]]:
    """Return what was to be reached, what was, and whether that is it.

    Args:
        summary: by load: ``rows`` and ``machine`` by arm.
        workload: what was run.
    """
    found: list[tuple[str, str, bool]] = []
    for load, one in summary.items():
        percent = f"at {float(load):.0%}"
        bad = {arm: missed_high(rows) for arm, rows in one["rows"].items()}
        if "aegis" not in bad:
            continue
        rows = one["rows"]["aegis"]
        late, frames = bad["aegis"]
        low, high = wilson(late, frames)
        found.append(
            (
                f"{percent}: no frame of high criticality late or without a result",
                f"{late} of {frames:,} (95 %: {low:.2%} to {high:.2%})",
                late == 0,
            )
        )
        for other in ("streams", "queue", "processes"):
            if other in bad:
                theirs, of = bad[other]
                found.append(
                    (
                        f"{percent}: no larger share late than in way {other!r}",
                        f"{late / max(1, frames):.2%} against {theirs / max(1, of):.2%}",
                        late * of <= theirs * frames,
                    )
                )
        found.append(bound_goal(percent, rows))
        found += lost_goal(percent, one["machine"]["aegis"])
    return found
