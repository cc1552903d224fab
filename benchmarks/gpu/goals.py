"""What must hold, and what would show that deadline order and admission are not worth it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.compare.figures import LOST_GOAL, bound_goal, lost_goal, missed_high
from benchmarks.compare.workload import Workload
from benchmarks.gpu.device import CONTROL, DIVIDED

__all__ = ["against_dividing", "goals", "overruns", "wilson"]

_Z = 1.96  # 95 %
_OURS = "aegis"
_USUAL = ("streams", "queue", "processes")
_LEAST_RESULTS = 0.95  # of those of a stream a network
_MOST_DISPATCH_US = 50.0
_MOST_DIGITS = 6
_NOTHING = "nothing ran"


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
        for arm in one["rows"]:
            if arm.startswith(_OURS):
                found += _of(f"at {float(load):.0%}, {arm}", arm, one, workload.urgent)
    return found


def _of(where: str, arm: str, one: Mapping[str, Any], urgent: str) -> list[tuple[str, str, bool]]:
    """Return the goals of one of our ways at one load."""
    found: list[tuple[str, str, bool]] = []
    bad = {each: missed_high(rows) for each, rows in one["rows"].items()}
    rows, machine = one["rows"][arm], one["machine"]
    late, frames = bad[arm]
    low, high = wilson(late, frames)
    found.append(
        (
            f"{where}: no frame of high criticality late or without a result",
            f"{late} of {frames:,} (95 %: {low:.2%} to {high:.2%})",
            late == 0,
        )
    )
    for other in _USUAL:
        if other in bad:
            theirs, of = bad[other]
            found.append(
                (
                    f"{where}: no larger share late than in way {other!r}",
                    f"{late / max(1, frames):.2%} against {theirs / max(1, of):.2%}",
                    late * of <= theirs * frames,
                )
            )
    if "streams" in machine and "results_per_s" in machine[arm]:
        mine, theirs_s = (float(machine[each]["results_per_s"]) for each in (arm, "streams"))
        found.append(
            (
                f"{where}: at least {_LEAST_RESULTS:.0%} of the results of way 'streams'",
                f"{_against(mine, theirs_s, 0)} results/s",
                mine >= _LEAST_RESULTS * theirs_s,
            )
        )
    key = "p99_over_deadline"
    quick = one["rows"].get("streams", {}).get(urgent, {}).get(key)
    if quick is not None:
        ours = rows.get(urgent, {}).get(key)
        found.append(
            (
                f"{where}: p99 response of {urgent} no longer than in way 'streams'",
                f"{_against(ours, quick, 2)} of the deadline",
                ours is not None and float(ours) <= quick,
            )
        )
    what, reached, met = bound_goal(where, rows)
    ran = any("bound_ms" in row for row in rows.values())
    found.append((what, reached if ran else _NOTHING, met and ran))
    dispatch = machine[arm].get("dispatch_p99_us")
    found.append(
        (
            f"{where}: p99 from release to start on a free lane at most {_MOST_DISPATCH_US:.0f} us",
            "no lane was ever free" if dispatch is None else f"{dispatch:.0f} us",
            dispatch is not None and dispatch <= _MOST_DISPATCH_US,
        )
    )
    lost = lost_goal(where, machine[arm])
    return found + (lost or [(f"{where}: {LOST_GOAL}", _NOTHING, False)])


def _against(ours: float | None, theirs: float, digits: int) -> str:
    """Return two figures in words, with as many digits as it takes to tell them apart."""
    if ours is None:
        return f"no result against {theirs:.{digits}f}"
    while (
        digits < _MOST_DIGITS and ours != theirs and f"{ours:.{digits}f}" == f"{theirs:.{digits}f}"
    ):
        digits += 1
    return f"{ours:.{digits}f} against {theirs:.{digits}f}"


def against_dividing(shared: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return in words for which networks multiprocessors of their own gained nothing.

    Args:
        shared: what networks take beside another one, rows of ``contention``.
    """
    slowest: dict[str, dict[str, float]] = {}
    for row in shared:
        for kind in (DIVIDED, CONTROL):
            if str(row["way"]).startswith(kind):
                slowest.setdefault(str(row["network"]), {})[kind] = float(row["p999_factor"])
    return [
        f"multiprocessors of its own gain {name} nothing: beside a network that ignores them 99.9 "
        f"% of its runs take at most {each[CONTROL]:.2f} times as long as alone, beside one that "
        f"has others {each[DIVIDED]:.2f} times"
        for name, each in slowest.items()
        if len(each) > 1 and each[CONTROL] <= each[DIVIDED]
    ]


def overruns(
    summary: Mapping[str, Any], budget_ms: Mapping[str, float], network_of: Mapping[str, str]
) -> list[str]:
    """Return in words which networks took longer than their budgets while they ran on one lane.

    Args:
        summary: as for :func:`goals`.
        budget_ms: by network.
        network_of: by task, the network it runs.
    """
    found = []
    for load, one in summary.items():
        for task, row in one["rows"].get(_OURS, {}).items():
            budget = budget_ms.get(network_of.get(task, ""), math.inf)
            worst = row.get("execution_max_ms", 0.0)
            if worst > budget:
                found.append(
                    f"at {float(load):.0%}: {task} once took {worst:.2f} ms, its budget is "
                    f"{budget:.2f} ms"
                )
    return found
