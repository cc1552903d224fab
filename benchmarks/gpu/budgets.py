"""What a budget rests on, and what other rules would make of the same runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from aegis_ros.wcet import Profile

__all__ = ["budget_row"]

_QUANTILES = (50.0, 99.0, 99.9)


def budget_row(profile: Profile) -> dict[str, Any]:
    """Return the figures of a network that runs whole.

    ``tolerance_ms`` is what bounds the 99.9th percentile with 95 % confidence (0 where the runs are
    too few), without the slowest runs beyond it, that the budget counts in and adds 10 % to.
    """
    profile = profile.apart() or profile  # one lane's; what other lanes add is admission's to say
    condition, decided = profile.deciding_total()
    samples = profile.of(condition).sum(axis=1)
    row: dict[str, Any] = {
        "budget_ms": decided.value_ns / 1e6,
        "decided_by": condition.label,
        "runs": int(samples.size),
        "runs_of_all_conditions": profile.runs,
        "max_ms": float(samples.max()) / 1e6,
        "tolerance_ms": decided.tolerance_ns / 1e6,
        "pwcet_ms": decided.pwcet_ns / 1e6,
        "sentence": decided.sentence,
    }
    for each, value in zip(_QUANTILES, np.percentile(samples, _QUANTILES), strict=True):
        row[f"p{each:g}_ms"] = float(value) / 1e6
    alone = profile.of(profile.conditions[0]).sum(axis=1)
    row["alone_p50_ms"] = float(np.median(alone)) / 1e6
    row["largest_ms"] = sorted((float(each) / 1e6 for each in samples), reverse=True)[:5]
    return row
