"""How often tasks of best effort come to run in what the promised ones leave of a lane."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.analysis.task import AnalysisTask, by_promise
from aegis_ros.rationale.verdicts import SlackShare

__all__ = ["slack_rates"]


def slack_rates(tasks: Sequence[AnalysisTask], switch_ns: int = 0) -> tuple[SlackShare, ...]:
    """Return the rate that is left for each task of best effort on a lane.

    They are served in turn, one job each. So all that are not content with less get the same
    number of frames a second, and what is left is divided that way (max-min fairness).

    Args:
        tasks: everything on the lane.
        switch_ns: cost of starting one segment.
    """
    promised, slack = by_promise(tasks)
    used = sum(task.wcet_ns(switch_ns) / task.period_ns for task in promised)
    spare = max(0.0, 1.0 - used)
    waiting = sorted(slack, key=lambda task: -task.period_ns)  # the fewest frames first
    round_ns = sum(task.wcet_ns(switch_ns) for task in waiting)
    rates: dict[str, float] = {}
    for task in waiting:
        need_ns = task.wcet_ns(switch_ns)
        rates[task.name] = min(1e9 / task.period_ns, 1e9 * spare / round_ns)
        spare = max(0.0, spare - rates[task.name] * need_ns / 1e9)
        round_ns -= need_ns
    return tuple(SlackShare(task.name, 1e9 / task.period_ns, rates[task.name]) for task in slack)
