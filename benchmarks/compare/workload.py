"""The tasks of a comparison, and how their periods follow from a load and measured budgets.

As on a robot, small networks that are due soon run beside large ones that take long. Where a period
is not given, the networks share out what is left of the load.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = ["Network", "Task", "Workload"]

_EXTRA_PERIODS = 2  # their deadlines: with fewer frames each still takes as long as before
_GIVEN_MOST = 0.6  # of the load; networks with given periods leave the rest to the others
_SLOWER = (1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Network:
    """A network and its place in the load.

    Attributes:
        model, preprocess, criticality: as in the configuration.
        frame: height and width of its frames.
        period_ms, deadline_ms: given; 0 where they follow from ``share``.
        share: part of the load that is left by the networks with given periods.
        patient: whether its deadline may be longer than its period, where no other can be proven.
    """

    model: str
    preprocess: Mapping[str, Any]
    criticality: str
    frame: tuple[int, int]
    period_ms: float = 0.0
    deadline_ms: float = 0.0
    share: float = 0.0
    patient: bool = True


@dataclass(frozen=True, slots=True)
class Task:
    """One network on one camera; times in milliseconds.

    ``extra`` marks one that makes the load more than the lane can take. ``segments`` is for the
    orchestrator alone; 0 for automatic.
    """

    name: str
    network: str
    topic: str
    period_ms: float
    deadline_ms: float
    criticality: str
    queue: int = 1
    extra: bool = False
    segments: int = 0

    def as_values(self) -> dict[str, Any]:
        """Return it as plain data, for another process."""
        return asdict(self)


@dataclass(frozen=True)
class Workload:
    """Networks, and the device they share.

    Attributes:
        networks: by name.
        extras: tasks for loads that cannot be proven: (network, share of what is beyond).
        urgent: the network that is due soonest.
        device: section ``device`` of the configuration.
        core: processor core the lane is bound to; ``None`` for none.
        jitter_ms: declared between a frame's stamp and its release.
        publish_ms: kept between a result and its deadline.
        provable: what lies below 100 % of the load when more is asked for.
    """

    networks: Mapping[str, Network]
    extras: Mapping[str, tuple[str, float]]
    urgent: str
    device: Mapping[str, Any]
    core: int | None
    jitter_ms: float
    publish_ms: float
    provable: float = 0.8

    @property
    def switch_ms(self) -> float:
        """Cost of starting one segment."""
        return float(self.device["switch_ms"])

    def slowdowns(self, load: float, cost_ms: Mapping[str, float]) -> tuple[float, ...]:
        """Return by how much to lengthen given periods, the first that this machine can prove.

        The first is 1 on a machine that is fast enough for the given periods.

        Args:
            load: share of the lane.
            cost_ms: budget of each network with its switches.
        """
        given = sum(cost_ms[n] / one.period_ms for n, one in self.networks.items() if one.period_ms)
        least = given / (_GIVEN_MOST * self._provable_part(load))
        first = 1.0 if least <= 1.0 else math.ceil(least * 20) / 20
        return tuple(first * each for each in _SLOWER)

    def _provable_part(self, load: float) -> float:
        return load if load < 1.0 else self.provable

    def tasks_at(
        self,
        load: float,
        cost_ms: Mapping[str, float],
        stretch: float = 1.0,
        slowdown: float = 1.0,
    ) -> list[Task]:
        """Return the tasks whose budgets take ``load`` of the lane.

        Args:
            load: share of the lane; beyond 1 as many low tasks are added to those below.
            cost_ms: budget of each network with its switches.
            stretch: deadlines of the patient networks in periods.
            slowdown: factor of given periods and deadlines.

        Raises:
            SystemExit: the networks with given periods alone take more.
        """
        provable = self._provable_part(load)
        given = sum(
            cost_ms[n] / (one.period_ms * slowdown)
            for n, one in self.networks.items()
            if one.period_ms
        )
        rest = provable - given
        if rest <= 0.0:
            raise SystemExit(f"the small networks alone take {given:.0%} of the core")
        tasks = []
        for name, network in self.networks.items():
            period = round(
                network.period_ms * slowdown or cost_ms[name] / (network.share * rest), 3
            )
            deadline = network.deadline_ms * slowdown or period * (
                stretch if network.patient else 1.0
            )
            tasks.append(
                _task(name, name, period, round(deadline, 3), criticality=network.criticality)
            )
        if load > 1.0:
            for name, (network_name, share) in self.extras.items():
                period = round(cost_ms[network_name] / (share * (load - provable)), 3)
                deadline = round(period * _EXTRA_PERIODS, 3)
                extra = _task(name, network_name, period, deadline, criticality="low", extra=True)
                tasks.append(replace(extra, queue=_EXTRA_PERIODS))
        return tasks

    def configuration(
        self,
        tasks: Sequence[Task],
        *,
        trace: str = "",
        latency_ms: float = 0.0,
        frame: Sequence[int] = (),
    ) -> dict[str, Any]:
        """Return the orchestrator's configuration.

        Args:
            tasks: what is to run.
            trace: name of a trace file; empty for none.
            latency_ms: constant latency at which the most urgent task publishes; 0 for at once.
            frame: height and width of the images; empty for those of each network.
        """
        values: dict[str, Any] = {
            "device": dict(self.device),
            "tasks": [
                self._configured(task, latency_ms if task.name == self.urgent else 0.0, frame)
                for task in tasks
            ],
        }
        if trace:
            values["trace"] = {"file": trace}
        return values

    def _configured(self, task: Task, latency_ms: float, frame: Sequence[int]) -> dict[str, Any]:
        network = self.networks[task.network]
        output: dict[str, Any] = {
            "topic": f"{task.topic}/result",
            "tensors": False,
            "publish_ms": self.publish_ms,
        }
        if latency_ms:
            output["constant_latency_ms"] = latency_ms
        return {
            "name": task.name,
            "model": network.model,
            "input": {"topic": task.topic, "max_size": list(frame or network.frame)},
            "preprocess": dict(network.preprocess),
            "period_ms": task.period_ms,
            "deadline_ms": task.deadline_ms,
            "jitter_ms": self.jitter_ms,
            "segments": task.segments or "auto",
            "queue": task.queue,
            "criticality": task.criticality,
            "output": output,
        }


def _task(
    name: str,
    network: str,
    period_ms: float,
    deadline_ms: float,
    *,
    criticality: str,
    extra: bool = False,
) -> Task:
    return Task(name, network, f"/stack/{name}", period_ms, deadline_ms, criticality, extra=extra)
