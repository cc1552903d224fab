"""Finds, for a load, tasks that the orchestrator can prove: measures, cuts, and asks its tests."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from rich.console import Console

from aegis_ros.analysis import queue_needed
from aegis_ros.backends import CompiledNetwork
from aegis_ros.config import load_config
from aegis_ros.network import Feed, prepare, resolve_model
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.orchestrator.measuring import Measurement
from aegis_ros.planning.answer import Answer, judge
from aegis_ros.planning.feeds import max_shape
from aegis_ros.planning.task_set import TaskSet, read_task_set
from aegis_ros.spec import TaskSpec
from aegis_ros.wcet import Cache, Condition, Profile, Stress
from aegis_ros.wcet.stress import other_cores, stressed
from benchmarks.compare.workload import Task, Workload
from benchmarks.progress import Row, Shown, steps

__all__ = ["Plan", "Planner"]

_STRETCH = (1.0, 1.25, 1.5, 2.0, 3.0)  # deadlines of large networks, the first that is provable
_TRIES = 6
_SPIKE_MS = 5.0  # more above the median than caches and neighbours explain
_CLOSE = 0.005
_ANEW = 3
_AT_FIRST_MS = 1000.0
_LEAST_RUNS = 20  # however long they take
_FEWER = 3  # of so many runs one more with cold caches, and one beside a busy memory
_LABELS = {
    Condition(): "alone",
    Condition(cache=Cache.COLD): "cold caches",
    Condition(stress=Stress.MEMORY): "memory busy",
}


@dataclass(frozen=True)
class Plan:
    """What runs at one load.

    Attributes:
        load: what was asked for.
        tasks: the proven ones and, beyond a load of 1, the extra ones.
        stretch: deadlines of the large networks in periods.
        slowdown: factor of the periods and deadlines that the workload gives.
        budget_ms: budget of each proven task, in as many segments as it runs.
        segments: how many those are.
        utilization: of the proven tasks, switches included.
    """

    load: float
    tasks: tuple[Task, ...]
    stretch: float
    budget_ms: Mapping[str, float]
    segments: Mapping[str, int]
    utilization: float
    slowdown: float = 1.0

    def sentence(self) -> str:
        """Return it as a sentence."""
        whose = (
            "deadlines of large networks are their periods"
            if self.stretch == 1.0
            else f"no shorter deadlines of large networks than {self.stretch:g} periods hold"
        )
        if self.slowdown > 1.0:
            whose += f", and given periods are {self.slowdown:.3g} times as long on this machine"
        cut = ", ".join(f"{name} in {n}" for name, n in self.segments.items() if n > 1)
        proven = f"proven at {self.utilization:.1%} of the lane"
        extra = f", and low tasks beyond up to {self.load:.0%}" if self.load > 1.0 else ""
        return f"{proven}{extra}; {whose}; segments: {cut or 'all whole'}"


class Planner:
    """Measures budgets on the lane and keeps them in ``state``; to be used in a ``with``.

    Args:
        workload: what is to run.
        folder: for configurations.
        state: of the orchestrators that will run; profiles that lie there are used again.
        runs: to measure each budget with.
        progress: where that is shown.
        conditions: under which budgets are measured.
        limit_s: seconds that a budget may take to be measured under one condition, however many
            runs that is; what the machine spoiled is then not measured anew. ``None``: no limit.

    Attributes:
        anew: measurements that were thrown away because the machine stood still, in words.
    """

    def __init__(
        self,
        workload: Workload,
        folder: Path,
        state: Path,
        *,
        runs: int,
        progress: Shown,
        conditions: Collection[Condition] = tuple(_LABELS),
        limit_s: float | None = None,
    ) -> None:
        """Measure nothing yet."""
        self._workload = workload
        self._switch_ns = round(workload.switch_ms * 1e6)
        self._path = folder / "plan.yaml"
        self._state = state
        self._runs = runs
        self._progress = progress
        self._conditions = conditions
        self._limit_s = limit_s
        self._measured: dict[tuple[str, int], float] = {}
        self.anew: list[str] = []
        first = [
            Task(name, name, f"/stack/{name}", _AT_FIRST_MS, _AT_FIRST_MS, network.criticality)
            for name, network in workload.networks.items()
        ]
        self._path.write_text(json.dumps(workload.configuration(first)))
        spec = load_config(self._path)
        self._specs = {task.name: task for task in spec.tasks}
        self._orchestrator = Orchestrator(
            replace(spec, tasks=()),
            state_dir=state,
            node="",
            on_result=lambda _, result: result.release(),
        )

    def __enter__(self) -> Planner:
        """Start an engine and measure all networks whole."""
        self._orchestrator.configure(admit=False)
        try:
            for name in steps(self._progress, list(self._workload.networks), "measuring budgets"):
                self._measure(name, 1)
        except BaseException:
            self._orchestrator.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the engine."""
        self._orchestrator.cleanup()

    def budgets_ms(self) -> dict[str, float]:
        """Return what was measured, by network and number of segments."""
        return {f"{name} in {parts}": value for (name, parts), value in self._measured.items()}

    def profile(self, name: str, parts: int = 1) -> Profile:
        """Return all that was measured of a network."""
        known = self._orchestrator.profiler.measured(replace(self._specs[name], segments=parts))[1]
        assert known is not None, f"{name} was not measured in {parts}"
        return known

    def tell(self, console: Console) -> None:
        """Print what was measured anew, if anything was."""
        if self.anew:
            console.print("Measured anew, because the machine stood still meanwhile:")
            console.print(*self.anew, sep="\n")

    def files(self) -> dict[str, str]:
        """Return the fused file of each network, for whoever runs it without an orchestrator."""
        return {
            name: str(
                prepare(
                    resolve_model(spec.model, ()),
                    (Feed(spec.preprocess, max_shape(spec)),),
                    cache_dir=self._state / "cache",
                ).path
            )
            for name, spec in self._specs.items()
        }

    def compiled(self) -> dict[str, CompiledNetwork]:
        """Return each network, whole, as the backend runs it."""
        return {name: self.in_segments(name, 1) for name in self._specs}

    def in_segments(self, name: str, parts: int) -> CompiledNetwork:
        """Return a network in as many segments as it can be cut into, up to ``parts``."""
        spec = replace(self._specs[name], segments=parts)
        return self._orchestrator.profiler.measured(spec)[0]

    def plan(self, load: float) -> Plan:
        """Return tasks whose budgets, as the orchestrator cuts the networks, take ``load``.

        Where none can be proven because the machine stood still while networks were measured, those
        are measured anew, a few times at most, which :attr:`anew` tells. Where the machine is too
        slow for the periods that the workload gives, they become longer, which the plan tells.

        Raises:
            SystemExit: no deadlines up to three periods can be proven.
        """
        row = self._progress.add_task(f"planning a load of {load:.0%}")
        try:
            return self._planned(load)
        finally:
            self._progress.remove_task(row)

    def _planned(self, load: float) -> Plan:
        spikes: dict[tuple[str, int], list[str]] = {}
        first, *slower = self._workload.slowdowns(load, self._costs())
        for _ in range(1 + (_ANEW if self._limit_s is None else 0)):
            for (name, parts), reported in spikes.items():
                self.anew += reported
                self._orchestrator.profiler.forget(replace(self._specs[name], segments=parts))
                self._measure(name, parts)
            found = self._provable(load, first)
            if found is not None:
                return found
            spikes = self._spikes()
            if not spikes:
                break
        for slowdown in slower:
            found = self._provable(load, slowdown)
            if found is not None:
                return found
        text = f"no deadlines up to {_STRETCH[-1]} periods hold at a load of {load:.0%}"
        if spikes:
            reported = [line for lines in spikes.values() for line in lines]
            text = "\n".join(
                [
                    text,
                    "The machine stood still while these were measured:",
                    *reported,
                    "Measure anew when it is quieter, with another --state",
                ]
            )
        raise SystemExit(text)

    def _costs(self) -> dict[str, float]:
        """Return the budget of each network, whole, with its switch."""
        return {
            name: self._measured[name, 1] + self._workload.switch_ms
            for name in self._workload.networks
        }

    def _provable(self, load: float, slowdown: float) -> Plan | None:
        cost = self._costs()
        second_best: Plan | None = None
        for stretch in _STRETCH:
            for _ in range(_TRIES):
                tasks = self._workload.tasks_at(load, cost, stretch, slowdown)
                asked = self._asked([task for task in tasks if not task.extra])
                new = {task.name: task.wcet_ns(self._switch_ns) / 1e6 for task in asked.tasks}
                unknown = [
                    (task.name, len(task.segments_ns))
                    for task in asked.tasks
                    if (task.name, len(task.segments_ns)) not in self._measured
                ]
                for name, parts in unknown:
                    self._measure(name, parts)
                answer = judge(asked, advise=False)
                if not unknown and answer.schedulable:
                    found = replace(
                        _plan(
                            load, tasks, stretch=stretch, answer=answer, switch_ns=self._switch_ns
                        ),
                        slowdown=slowdown,
                    )
                    if all(abs(new[name] / cost[name] - 1.0) < _CLOSE for name in new):
                        return found
                    second_best = second_best or found
                cost |= new
        return second_best

    def _spikes(self) -> dict[tuple[str, int], list[str]]:
        """Return which measured segments once took far longer than usual, in words."""
        found: dict[tuple[str, int], list[str]] = {}
        for name, parts in self._measured:
            known = self._orchestrator.profiler.measured(
                replace(self._specs[name], segments=parts)
            )[1]
            if known is None:
                continue
            for batch in known.batches:
                samples_ms = batch.samples_ns / 1e6
                worst, usual = samples_ms.max(axis=0), np.median(samples_ms, axis=0)
                reported = [
                    f"  segment {at + 1} of {parts} of {name}: {worst[at]:.1f} ms, "
                    f"usually {usual[at]:.1f} ({_LABELS.get(batch.condition, 'beside others')})"
                    for at in np.flatnonzero(worst - usual > _SPIKE_MS)
                ]
                if reported:
                    found.setdefault((name, parts), []).extend(reported)
        return found

    def _asked(self, tasks: list[Task]) -> TaskSet:
        self._path.write_text(json.dumps(self._workload.configuration(tasks)))
        return read_task_set(self._path, self._state)

    def _measure(self, name: str, parts: int) -> None:
        spec: TaskSpec = replace(self._specs[name], segments=parts)
        profiler = self._orchestrator.profiler
        what = f"measuring {name}" + (f" in {parts} segments" if parts > 1 else "")
        # What it meets when others run before it, and when images come in meanwhile.
        fewer = -(-self._runs // _FEWER)
        for condition, runs in (
            (Condition(), self._runs),
            (Condition(cache=Cache.COLD), fewer),
            (Condition(stress=Stress.MEMORY), fewer),
        ):
            if condition not in self._conditions:
                continue
            known = profiler.measured(spec)[1]
            runs -= 0 if known is None else _runs_in(known, condition)
            if runs <= 0:
                continue
            row = self._progress.add_task(f"{what}, {_LABELS[condition]}", total=runs)
            end = math.inf if self._limit_s is None else time.monotonic() + self._limit_s

            def report(done: int, worst: int, row: Row = row, end: float = end) -> bool:
                self._progress.update(row, completed=done)
                return done < _LEAST_RUNS or time.monotonic() < end

            with stressed(
                condition.stress,
                other_cores([self._workload.core], frozenset(os.sched_getaffinity(0))),
            ):
                profiler.measure(spec, runs, report, Measurement(condition))
            self._progress.remove_task(row)
        known = profiler.measured(spec)[1]
        assert known is not None
        self._measured[name, parts] = known.total_ns() / 1e6


def _runs_in(profile: Profile, condition: Condition) -> int:
    return sum(
        batch.samples_ns.shape[0] for batch in profile.batches if batch.condition == condition
    )


def _plan(
    load: float, tasks: Sequence[Task], *, stretch: float, answer: Answer, switch_ns: int
) -> Plan:
    seen = {task.name: task for task in answer.asked.tasks}

    def with_queue(task: Task) -> Task:
        if task.extra:  # at its full rate it cannot be admitted, so its cut cannot be chosen
            return replace(task, segments=len(seen[task.network].segments_ns))
        bound = answer.bound_of(task.name)
        if bound is None:
            return task
        return replace(task, queue=queue_needed(seen[task.name], bound.bound_ns, switch_ns))

    return Plan(
        load,
        tuple(with_queue(task) for task in tasks),
        stretch,
        {name: task.wcet_ns() / 1e6 for name, task in seen.items()},
        {name: len(task.segments_ns) for name, task in seen.items()},
        sum(task.wcet_ns(switch_ns) / task.period_ns for task in seen.values()),
    )
