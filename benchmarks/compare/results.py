"""The rounds so far, and what they come to: tables, a file of figures, a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.compare.figures import figure_rows, machine_row, ratios, task_row, tracing_row
from benchmarks.compare.plan import Plan
from benchmarks.compare.rounds import Arm, Round
from benchmarks.compare.tables import show
from benchmarks.compare.workload import Task, Workload
from benchmarks.report import Figure, publish

__all__ = ["QUANTILES", "Results"]

QUANTILES = 51

Goals = Callable[[Mapping[str, Any], Workload], list[tuple[str, str, bool]]]


class Results:
    """The rounds so far, and what they come to.

    Args:
        workload: what runs.
        plans: one a load.
        arms: who takes turns.
        ways: those of the arms that are drawn.
        goals: what is to be reached, from a summary.
        facts: written to the file beside the figures.
    """

    def __init__(
        self,
        workload: Workload,
        plans: Sequence[Plan],
        arms: Sequence[Arm],
        *,
        ways: Sequence[str],
        goals: Goals,
        facts: Mapping[str, Any],
    ) -> None:
        """Begin without rounds."""
        self.plans = {plan.load: plan for plan in plans}
        self.workload = workload
        self._labels = {arm.name: arm.label for arm in arms}
        self._ways = ways
        self._goals = goals
        self.facts = facts
        self.rounds: list[Round] = []

    def _of(self, load: float, arm: str) -> list[Round]:
        return [item for item in self.rounds if item.load == load and item.arm == arm]

    def _tasks(self, load: float, arm: str) -> list[Task]:
        found = self._of(load, arm)
        return [task for task in self.plans[load].tasks if found and task.name in found[0].tasks]

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return all figures by load."""
        found: dict[str, dict[str, Any]] = {}
        for load, plan in sorted(self.plans.items()):
            arms = [arm for arm in self._labels if self._of(load, arm)]
            if not arms:
                continue
            one = found[f"{load:g}"] = {
                "plan": {
                    "sentence": plan.sentence(),
                    "stretch": plan.stretch,
                    "utilization": plan.utilization,
                    "budget_ms": dict(plan.budget_ms),
                    "segments": dict(plan.segments),
                    "tasks": [task.as_values() for task in plan.tasks],
                },
                "rows": {
                    arm: {
                        task.name: task_row(
                            task,
                            [item.tasks[task.name] for item in self._of(load, arm)],
                            self.workload.jitter_ms,
                        )
                        for task in self._tasks(load, arm)
                    }
                    for arm in arms
                },
                "machine": {arm: machine_row(self._of(load, arm)) for arm in arms},
                "reported_by_rule": self._reasons(load),
                "decimated": {
                    task: sentence
                    for item in self._of(load, "aegis")
                    for task, sentence in item.decimations.items()
                },
            }
            plain, traced = self._of(load, "aegis"), self._of(load, "aegis_traced")
            one["tracing"] = tracing_row(plain, traced, plan.tasks)
        return found

    def _reasons(self, load: float) -> dict[str, dict[str, int]]:
        total: dict[str, dict[str, int]] = {}
        for item in self._of(load, "aegis"):
            for task, rules in item.reasons.items():
                mine = total.setdefault(task, {})
                for rule, count in rules.items():
                    mine[rule] = mine.get(rule, 0) + count
        return total

    def samples(self) -> dict[tuple[float, str, str], npt.NDArray[np.float64]]:
        """Return response over deadline by load, arm and task."""
        return {
            (load, arm, task.name): ratios(
                [item.tasks[task.name] for item in self._of(load, arm)], task.deadline_ms
            )
            for load in self.plans
            for arm in self._labels
            for task in self._tasks(load, arm)
        }

    def quantiles(self) -> dict[str, dict[str, dict[str, list[float]]]]:
        """Return response over deadline by load, arm and task, for pictures drawn later.

        Each list has the quantiles 0, 0.02 … 0.98, 1, in this order.
        """
        found: dict[str, dict[str, dict[str, list[float]]]] = {}
        for (load, arm, task), ratio in self.samples().items():
            if len(ratio):
                values = np.quantile(ratio, np.linspace(0.0, 1.0, QUANTILES))
                rounded = [round(float(value), 4) for value in values]
                found.setdefault(f"{load:g}", {}).setdefault(arm, {})[task] = rounded
        return found

    def values(self) -> dict[str, Any]:
        """Return all that goes into a file of figures, as plain data."""
        summary = self.summary()
        return {
            **self.facts,
            "ways": dict(self._labels),
            "loads": summary,
            "response_over_deadline_quantiles": self.quantiles(),
            "goals": [
                {"goal": what, "reached": reached, "met": bool(met)}
                for what, reached, met in self._goals(summary, self.workload)
            ],
            "rounds": [
                item.as_values()
                | {
                    "tasks": {
                        task.name: task_row(task, [item.tasks[task.name]], self.workload.jitter_ms)
                        for task in self._tasks(item.load, item.arm)
                    },
                    "machine": machine_row([item]),
                }
                for item in self.rounds
            ],
        }

    def figures(self) -> list[Figure]:
        """Return the figures that a page shows."""
        return figure_rows(self.summary(), self._labels)

    def write(self, package: str, json_path: Path | None, plot: Path | None, title: str) -> None:
        """Write figures and picture anew; a path that is ``None`` is left out.

        Args:
            package: that is run, for the command.
            json_path: of the figures.
            plot: of the picture.
            title: above it; the loads are named behind.
        """
        if not self.rounds:
            return
        if json_path is not None:
            publish(package, json_path, self.figures(), self.values())
        if plot is not None:
            from benchmarks.compare.picture import draw  # whose package may be missing

            loads = {float(load): one for load, one in self.summary().items()}
            ways = {
                way: self._labels[way]
                for way in self._ways
                if any(way in one["rows"] for one in loads.values())
            }
            reported = f"{title}, at loads of {', '.join(f'{load:.0%}' for load in loads)} of it"
            draw(plot, loads, samples=self.samples(), ways=ways, title=reported)

    def show(self) -> None:
        """Print the tables."""
        if self.rounds:
            summary = self.summary()
            show(summary, self._labels, self._goals(summary, self.workload))
