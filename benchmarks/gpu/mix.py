"""The tasks of a load: how often each network runs, from what it takes when it runs alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.compare.plan import Plan
from benchmarks.compare.workload import Task, Workload

__all__ = ["LoadPlan", "Mix"]

_HIGH_MOST = 0.8  # beyond it only tasks of low criticality become faster
_FEW = ("direction", "orientation")  # of which there is one each


@dataclass(frozen=True)
class Mix:
    """Who takes which part of the device's time.

    Attributes:
        workload: the networks, with the share of each.
        solo_ms: median execution of each network that runs alone.
        copies: tasks a large network has; each of them has a part of its share.
    """

    workload: Workload
    solo_ms: Mapping[str, float]
    copies: int = 1

    def tasks(self, rate: float, load: float = 1.0) -> tuple[Task, ...]:
        """Return tasks that take so much of the device's time; deadlines are periods.

        Args:
            rate: sum over all tasks of median execution over period, at a load of 1. It may be
                more than 1 on a device that computes several networks side by side.
            load: share of ``rate``. Beyond 0.8 the tasks of low criticality take what is added:
                a robot that is asked for too much is asked for more of what matters less.
        """
        networks = self.workload.networks
        high = sum(one.share for one in networks.values() if one.criticality == "high")
        most = _HIGH_MOST if load > 1.0 else load
        factor = {"high": most, "low": (load - most * high) / (1.0 - high)}
        found = []
        for name, network in networks.items():
            copies = 1 if name in _FEW else self.copies
            share = network.share * factor[network.criticality] * rate / copies
            period = round(self.solo_ms[name] / share, 3)
            for number in range(copies):
                called = name if number == 0 else f"{name}_{number + 1}"
                found.append(
                    Task(
                        called,
                        name,
                        f"/gpu/{called}",
                        period,
                        period,
                        network.criticality,
                        segments=1,  # cut, these networks take a third to twice as long
                    )
                )
        return tuple(found)


@dataclass(frozen=True)
class LoadPlan(Plan):
    """What runs at a share of the measured capacity.

    Attributes:
        rate: streams' worth of execution that is asked for.
        found: whether the rate at which streams begin to miss was found; the load is then a share
            of it, else of one stream that is never idle.
    """

    rate: float = 0.0
    found: bool = True

    def sentence(self) -> str:
        """Return it as a sentence."""
        asked = f"{self.rate:.2f} times what one stream of the same networks, never idle, would do"
        of = "the rate at which a stream a network begins to miss"
        share = f"{self.load:.0%} of {of}: {asked}"
        if not self.found:
            share = f"{asked}; {of} was not measured here"
        return f"{share}; budgets alone take {self.utilization:.0%} of one lane"
