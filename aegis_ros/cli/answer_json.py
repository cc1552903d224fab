"""An answer in the documented JSON form."""

from __future__ import annotations

from typing import Any

from aegis_ros.analysis import AnalysisTask, LaneVerdict
from aegis_ros.cli.changes_json import changes_as_json
from aegis_ros.cli.generators import generators_as_json
from aegis_ros.cli.lanes_table import lanes_as_json
from aegis_ros.cli.memory_table import memory_as_json
from aegis_ros.planning.answer import Answer
from aegis_ros.planning.modes import Modes
from aegis_ros.rationale import ResponseBound, Witness

__all__ = ["as_json"]


def as_json(answer: Answer) -> dict[str, Any]:
    """Return the answer in the documented JSON form; times in milliseconds."""
    chosen = answer.asked.lanes_chosen
    return {
        "schedulable": answer.schedulable,
        "policy": answer.asked.policy,
        "lanes": [_lane(answer, verdict) for verdict in answer.assignment.verdicts.values()],
        "counterfactuals": changes_as_json(answer.changes),
        "rule": str(answer.deciding.rule),
        "every_nth": dict(answer.decimation),
        "warnings": list(answer.asked.warnings),
        "lanes_chosen": None if chosen is None else lanes_as_json(chosen),
        "generators": generators_as_json(answer),
        "memory": memory_as_json(answer.memory),
    }


def _lane(answer: Answer, verdict: LaneVerdict) -> dict[str, Any]:
    bounds = {item.task: item for item in verdict.responses}
    modes = answer.modes_of(verdict.lane)
    slowdown = answer.slowdown_of(verdict.lane)
    return {
        "name": verdict.lane,
        "utilization": answer.utilization(verdict.lane),
        "schedulable": verdict.schedulable,
        "witness": _witness(verdict.witness),
        "tasks": [_task(task, bounds.get(task.name)) for task in answer.on_lane(verdict.lane)],
        "best_effort": [
            {"name": rate.task, "asked_hz": rate.asked, "left_hz": rate.left}
            for rate in verdict.slack
        ],
        "modes": None if modes is None else _modes(modes),
        "slow_device": None
        if slowdown is None
        else {
            "slowest_speed": slowdown.slowest_speed,
            "sheds_first": list(slowdown.sheds_first),
        },
    }


def _modes(modes: Modes) -> dict[str, Any]:
    return {
        "low": {"schedulable": modes.low.schedulable, "utilization": modes.low.utilization},
        "high": {"schedulable": modes.high.schedulable, "utilization": modes.high.utilization},
        "sheds": list(modes.sheds),
        "virtual_deadlines_ms": {name: own / 1e6 for name, own in modes.virtual_ns.items()},
    }


def _task(task: AnalysisTask, bound: ResponseBound | None) -> dict[str, Any]:
    return {
        "name": task.name,
        "response_bound_ms": None if bound is None else bound.bound_ns / 1e6,
        "deadline_ms": task.deadline_ns / 1e6,
        "slack_ms": None if bound is None else (task.deadline_ns - bound.bound_ns) / 1e6,
    }


def _witness(witness: Witness | None) -> dict[str, Any] | None:
    if witness is None:
        return None
    return {
        "t_ms": witness.t_ns / 1e6,
        "demand_ms": witness.demand_ns / 1e6,
        "blocking_ms": witness.blocking_ns / 1e6,
        "blocking_task": witness.blocking_task,
        "slack_ms": witness.slack_ns / 1e6,
    }
