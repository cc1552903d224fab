"""Reads what the analysis commands work on: a bare task set, or an orchestrator's YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aegis_ros.analysis import AnalysisTask
from aegis_ros.config import load_config
from aegis_ros.errors import ConfigError
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.spec import Criticality, OrchestratorSpec

__all__ = ["TaskSet", "read_task_set"]

_MAX_BYTES = 8 * 1024 * 1024
_Ms = Annotated[float, Field(gt=0.0, le=3_600_000.0, allow_inf_nan=False)]
_MsOrZero = Annotated[float, Field(ge=0.0, le=3_600_000.0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class TaskSet:
    """Tasks, lanes and the cost of a switch."""

    tasks: tuple[AnalysisTask, ...]
    lanes: tuple[str, ...]
    switch_ns: int


class _Task(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=64)
    period_ms: _Ms
    deadline_ms: _Ms | None = None
    jitter_ms: _MsOrZero = 0.0
    segments_ms: list[_Ms] = Field(min_length=1, max_length=1024)
    criticality: Criticality = Criticality.HIGH
    lane: str = ""
    copies: int = Field(1, ge=1, le=10_000)


class _Lane(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=64)


class _Set(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tasks: list[_Task] = Field(min_length=1, max_length=10_000)
    lanes: list[_Lane] = Field(default_factory=lambda: [_Lane(name="main")], min_length=1)
    policy: str = Field("edf", pattern="^edf$")
    switch_us: float = Field(0.0, ge=0.0, le=1e6, allow_inf_nan=False)


def read_task_set(path: Path, state_dir: Path | None = None) -> TaskSet:
    """Return the tasks of a file.

    Args:
        path: a bare set (its tasks have ``segments_ms``) or an orchestrator's YAML.
        state_dir: where the orchestrator keeps its profiles.

    Raises:
        ConfigError: the file is not valid, or a network has no known budget.
    """
    values = _read(path)
    tasks = values.get("tasks") if isinstance(values, dict) else None
    bare = isinstance(tasks, list) and any(
        isinstance(task, dict) and "segments_ms" in task for task in tasks
    )
    return _bare_set(values, path) if bare else _configured_set(load_config(path), state_dir)


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError("the file is too large", where=str(path))
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the file cannot be read ({error})", where=str(path)) from error


def _bare_set(values: Any, path: Path) -> TaskSet:
    try:
        parsed = _Set.model_validate(values)
    except ValidationError as error:
        problems = [
            ".".join(str(part) for part in item["loc"]) + ": " + str(item["msg"])
            for item in error.errors(include_url=False)[:20]
        ]
        raise ConfigError("; ".join(problems), where=str(path)) from error
    lanes = tuple(lane.name for lane in parsed.lanes)
    tasks, names = [], set()
    for task in parsed.tasks:
        if task.lane and task.lane not in lanes:
            raise ConfigError(
                "there is no such lane",
                where=f"{path}: {task.name}.lane",
                value=task.lane,
                expected="one of " + ", ".join(lanes),
            )
        for copy in range(task.copies):
            name = task.name if task.copies == 1 else f"{task.name}_{copy + 1}"
            if name in names:
                raise ConfigError("two tasks have this name", where=str(path), value=name)
            names.add(name)
            tasks.append(_analysis_task(task, name, path))
    return TaskSet(tuple(tasks), lanes, round(parsed.switch_us * 1e3))


def _analysis_task(task: _Task, name: str, path: Path) -> AnalysisTask:
    try:
        return AnalysisTask(
            name,
            tuple(round(part * 1e6) for part in task.segments_ms),
            round(task.period_ms * 1e6),
            round((task.deadline_ms or task.period_ms) * 1e6),
            round(task.jitter_ms * 1e6),
            task.criticality,
            task.lane,
        )
    except ValueError as error:
        raise ConfigError(str(error), where=str(path)) from error


def _configured_set(spec: OrchestratorSpec, state_dir: Path | None) -> TaskSet:
    if not spec.tasks:
        raise ConfigError("there is no task to check", where="tasks", expected="at least one")
    folder = state_dir or Path.home() / ".ros" / "aegis_ros"
    orchestrator = Orchestrator(spec, state_dir=folder, on_result=lambda _, job: job.release())
    tasks = tuple(orchestrator.analysis_task(task) for task in spec.tasks)
    lanes = tuple(lane.name for lane in spec.device.lanes)
    return TaskSet(tasks, lanes, spec.device.switch_ns)
