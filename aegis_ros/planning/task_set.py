"""Reads what the analysis commands work on: a bare task set, or an orchestrator's YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aegis_ros.analysis import AnalysisTask, PolicyName
from aegis_ros.config import (
    Number,
    Places,
    default_state_dir,
    explain,
    parse_placed,
    read_text,
    read_yaml,
    suggest,
    together,
    with_present_names,
)
from aegis_ros.config.kinds import refuse_other_kind
from aegis_ros.errors import ConfigError
from aegis_ros.host import pinnable_cores
from aegis_ros.planning.generator import Generator
from aegis_ros.planning.generator_entry import GeneratorEntry, generators_of
from aegis_ros.planning.set_values import Ms, MsOrZero, Name, ns_down, ns_up
from aegis_ros.spec import (
    DEFAULT_MAX_DECIMATION,
    MAX_DECIMATION,
    Criticality,
    DeviceSpec,
    OrchestratorSpec,
)

if TYPE_CHECKING:
    from aegis_ros.backends import Backend
    from aegis_ros.planning.candidate import Candidate
    from aegis_ros.planning.contention import Contention
    from aegis_ros.planning.foresight import Foreseen
    from aegis_ros.planning.generator_preparation import GeneratorCandidate
    from aegis_ros.planning.preparation import Preparation
    from aegis_ros.planning.set_memory import SetMemory
    from aegis_ros.rationale.lanes import LanesChosen
    from aegis_ros.wcet import ProfileStore

__all__ = ["ASSUMED_SLOWDOWN", "TaskSet", "new_task", "read_task_set"]

ASSUMED_SLOWDOWN = Fraction(2)
"""How many times longer a task takes beside another one that it was never measured with."""

_MAX_BYTES = 2 * 1024 * 1024
_MAX_TASKS = 10_000
_MAX_VALUES = 10 * _MAX_TASKS  # people read their own file here, and may wait two seconds for it


@dataclass(frozen=True)
class TaskSet:
    """What is to be judged.

    Attributes:
        tasks: as the tests see them.
        lanes: names of all lanes.
        switch_ns: cost of starting a segment.
        policy: what orders the jobs of a lane.
        kept_free_ns: by task name, time before the declared deadline that is kept for publishing,
            and so is missing in the deadline of ``tasks``; only where it is not 0.
        samples_ns: by task name, measured execution times, int64 [runs, segments].
        configured: whether this is an orchestrator's YAML, where segments cannot be declared.
        max_decimation: by task name, the largest n of which every n-th frame is enough; only where
            it is declared.
        follows: by name of a task, the one whose results trigger it. Jitters in ``tasks`` are as
            declared, without those of chains.
        warnings: what keeps it from running on this machine, whatever the tests say of it.
        lanes_chosen: why it has these lanes, where they were chosen.
        generators: what runs in the slack token by token; what they promise is no task yet.
        memory: what it takes; ``None`` where that is not known.
    """

    tasks: tuple[AnalysisTask, ...]
    lanes: tuple[str, ...]
    switch_ns: int = 0
    policy: PolicyName = "edf"
    kept_free_ns: Mapping[str, int] = field(default_factory=dict)
    samples_ns: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    configured: bool = False
    max_decimation: Mapping[str, int] = field(default_factory=dict)
    follows: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    lanes_chosen: LanesChosen | None = None
    generators: tuple[Generator, ...] = ()
    memory: SetMemory | None = None

    @property
    def decimation_limits(self) -> dict[str, int]:
        """The largest n of which every n-th frame is enough, of each task of low criticality."""
        return {
            task.name: self.max_decimation.get(task.name, DEFAULT_MAX_DECIMATION)
            for task in self.tasks
            if task.criticality is Criticality.LOW
        }


class _Task(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Name
    period_ms: Ms
    deadline_ms: Ms | None = None
    jitter_ms: MsOrZero = 0.0
    segments_ms: list[Ms] = Field(min_length=1, max_length=1024)
    high_segments_ms: list[Ms] | None = Field(default=None, min_length=1, max_length=1024)
    total_ms: Ms | None = None
    high_total_ms: Ms | None = None
    criticality: Criticality = Criticality.HIGH
    lane: str = ""
    max_decimation: Annotated[int, Number, Field(ge=1, le=MAX_DECIMATION)] | None = None
    copies: Annotated[int, Number, Field(ge=1, le=_MAX_TASKS)] = 1


class _Lane(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Name


class _Set(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tasks: list[_Task] = Field(min_length=1, max_length=_MAX_TASKS)
    lanes: list[_Lane] = Field(
        default_factory=lambda: [_Lane(name="main")], min_length=1, max_length=64
    )
    policy: PolicyName = "edf"
    switch_us: Annotated[float, Number, Field(ge=0.0, le=1e6, allow_inf_nan=False)] = 0.0
    generators: list[GeneratorEntry] = Field(default_factory=list, max_length=64)


def read_task_set(
    path: Path,
    state_dir: Path | None = None,
    *,
    choose_lanes: bool = False,
    slowdown: Fraction = ASSUMED_SLOWDOWN,
) -> TaskSet:
    """Return the tasks of a file.

    Args:
        path: a bare set, or an orchestrator's YAML (recognised by tasks with a ``model``, or by
            the keys ``device`` and ``models``).
        state_dir: where the orchestrator keeps its profiles.
        choose_lanes: whether to choose lanes, whatever the file says of them; done without where
            it says ``auto``.
        slowdown: where lanes are chosen, how many times longer a task is assumed to take beside
            one that it was never measured with.

    Raises:
        ConfigError: the file is not valid, or a network has no known budget.
    """
    shorter = "Equal tasks can be written once, with copies"
    text = read_text(path, most_bytes=_MAX_BYTES, shorter=shorter)
    values, lines = read_yaml(
        text,
        str(path),
        "keys tasks, lanes, policy, switch_us and generators",
        most_characters=_MAX_BYTES,
        most_values=_MAX_VALUES,
    )
    tasks = values.get("tasks")
    configured = bool({"device", "models"} & values.keys()) or any(
        isinstance(each, dict) and "model" in each
        for entries in (tasks, values.get("generators"))
        if isinstance(entries, list)
        for each in entries
    )
    if configured:
        spec, places = parse_placed(text, str(path))
        with places.shown():
            if choose_lanes or not spec.device.lanes:
                return _chosen_set(spec, path, places, state_dir, slowdown=slowdown)
            return _configured_set(spec, path, places, state_dir)
    refuse_other_kind(values, tuple(_Set.model_fields), str(path))
    try:
        parsed = _Set.model_validate(with_present_names(values, str(path), lines))
    except ValidationError as error:
        raise explain(error, _Set, values, str(path), lines=lines) from None
    with Places(str(path), lines).shown():
        asked = _bare_set(parsed)
        return _with_lanes_chosen(asked, slowdown) if choose_lanes else asked


def new_task(
    values: Mapping[str, Any], lanes: Sequence[str], where: str
) -> tuple[AnalysisTask, ...]:
    """Return one task, or its copies, from the fields of a bare set's task.

    Raises:
        ConfigError: they are not valid.
    """
    try:
        return _copies(_Task.model_validate(with_present_names(values)), lanes, where)
    except ValidationError as error:
        raise explain(error, _Task, values, where, lines={}) from None


def _bare_set(parsed: _Set) -> TaskSet:
    lanes = tuple(lane.name for lane in parsed.lanes)
    for index, name in enumerate(lanes):
        if name in lanes[:index]:
            raise ConfigError("two lanes have this name", where=f"lanes[{index}].name", value=name)
    tasks: list[AnalysisTask] = []
    first: dict[str, int] = {}
    for index, task in enumerate(parsed.tasks):
        for made in _copies(task, lanes, f"tasks[{index}]"):
            if made.name in first:
                raise ConfigError(
                    f"the name is taken by tasks[{first[made.name]}]",
                    where=f"tasks[{index}].name",
                    value=made.name,
                    expected="a name of its own",
                    hint="Rename one of the two",
                )
            first[made.name] = index
            tasks.append(made)
        if len(tasks) > _MAX_TASKS:
            raise ConfigError(
                "too many tasks, copies included",
                where="tasks",
                expected=f"at most {_MAX_TASKS}",
            )
    switch_ns = ns_up(parsed.switch_us / 1e3)
    max_decimation = {
        name: task.max_decimation
        for task in parsed.tasks
        if task.max_decimation is not None
        for name in _names_of(task)
    }
    return TaskSet(
        tuple(tasks),
        lanes,
        switch_ns,
        parsed.policy,
        max_decimation=max_decimation,
        generators=generators_of(parsed.generators, lanes, first, parsed.policy),
    )


def _copies(task: _Task, lanes: Sequence[str], where: str) -> tuple[AnalysisTask, ...]:
    if task.lane and task.lane not in lanes:
        raise ConfigError(
            "there is no such lane",
            where=f"{where}.lane",
            value=task.lane,
            expected="one of " + ", ".join(lanes),
        )
    _require_high(task, where)
    deadline_ms = task.period_ms if task.deadline_ms is None else task.deadline_ms
    one = AnalysisTask(
        task.name,
        tuple(ns_up(part) for part in task.segments_ms),
        ns_down(task.period_ms),
        ns_down(deadline_ms),
        ns_up(task.jitter_ms),
        task.criticality,
        task.lane or (lanes[0] if len(lanes) == 1 else ""),
        tuple(ns_up(part) for part in task.high_segments_ms or ()),
        _total_ns(task.total_ms, task.segments_ms, f"{where}.total_ms"),
        _total_ns(
            task.high_total_ms,
            task.high_segments_ms or (),
            f"{where}.high_total_ms",
            task.total_ms or sum(task.segments_ms),
        ),
    )
    if (task.max_decimation or 1) > 1 and task.criticality is not Criticality.LOW:
        raise ConfigError(
            "only a task of low criticality can be decimated",
            where=f"{where}.max_decimation",
            value=task.max_decimation,
            expected="1, or criticality: low",
        )
    return tuple(replace(one, name=name) for name in _names_of(task))


def _names_of(task: _Task) -> tuple[str, ...]:
    if task.copies == 1:
        return (task.name,)
    return tuple(f"{task.name}_{index + 1}" for index in range(task.copies))


def _require_high(task: _Task, where: str) -> None:
    """Refuse high budgets that do not belong to the low ones, in the terms of the file."""
    if task.high_segments_ms is None:
        return
    where = f"{where}.high_segments_ms"
    if task.criticality is not Criticality.HIGH:
        raise ConfigError(
            "only a task of high criticality may exceed its budgets",
            where=where,
            value=f"criticality: {task.criticality}",
            hint="Leave high_segments_ms out, or declare criticality: high",
        )
    if len(task.high_segments_ms) != len(task.segments_ms):
        raise ConfigError(
            "one high budget a segment is needed",
            where=where,
            value=f"{len(task.high_segments_ms)} of them",
            expected=f"{len(task.segments_ms)}, as in segments_ms",
        )
    for index, (low, high) in enumerate(zip(task.segments_ms, task.high_segments_ms, strict=True)):
        if high < low:
            raise ConfigError(
                "below the budget of the same segment",
                where=f"{where}[{index}]",
                value=high,
                expected=f"at least {low}",
            )


def _total_ns(
    total_ms: float | None, parts_ms: Sequence[float], where: str, least_ms: float = 0.0
) -> int:
    """Return the budget of a whole job, 0 for the sum of its segments."""
    if total_ms is None:
        return 0
    total, parts = (
        ns_up(total_ms),
        [ns_up(part) for part in parts_ms],
    )
    least = max(ns_up(least_ms), *parts, 0)
    if not least <= total <= sum(parts):
        raise ConfigError(
            "the budget of a whole job does not fit those of its segments",
            where=where,
            value=total_ms,
            expected=f"{least / 1e6:g} to {sum(parts) / 1e6:g}"
            if parts
            else "none where there are no such segments",
        )
    return total


def _require_chains(spec: OrchestratorSpec) -> None:
    """Refuse chains that cannot be proven; what names no task would be judged as if it stood alone.

    Raises:
        ConfigError: a trigger names a task that is not in the file, is of best effort or finds no
            boxes, a task comes less often than what triggers it, or tasks trigger each other.
    """
    # Imported late, as for networks: decoders load their libraries.
    from aegis_ros.planning.chain_source import require_boxes

    by_name = {task.name: task for task in spec.tasks}
    follows = {task.name: task.follows for task in spec.tasks}
    for index, task in enumerate(spec.tasks):
        where = f"tasks[{index}].trigger.task"
        seen = [task.name]
        while first := follows[seen[-1]]:
            if first in seen:
                raise ConfigError(
                    "the tasks trigger each other in a loop",
                    where=where,
                    value=" → ".join([first, *reversed(seen)]),
                    expected="a chain that begins with a task that has an input or a timer",
                )
            if first not in follows:
                others = [name for name in follows if name != task.name]
                raise ConfigError(
                    "there is no such task",
                    where=where,
                    value=first,
                    expected="one of " + ", ".join(others) if others else "a task of the file",
                    hint=suggest(first, others).strip(" ()").capitalize(),
                )
            seen.append(first)
        before = by_name.get(task.follows)
        if before is not None:
            require_boxes(before, where)
        if before is None or task.criticality is Criticality.BEST_EFFORT:
            continue
        if before.criticality is Criticality.BEST_EFFORT:
            raise ConfigError(
                f"{before.name} is of best effort, and has no response time that {task.name} could "
                "count on",
                where=where,
                expected=f"{before.name} with criticality high or low, or {task.name} with "
                "best_effort",
            )
        if task.period_ns > before.period_ns:
            raise ConfigError(
                f"{task.name} is triggered more often than its period says",
                where=f"tasks[{index}].period_ms",
                value=f"{task.period_ns / 1e6:g}",
                expected=f"at most {before.period_ns / 1e6:g}, the period of {before.name}",
            )


def _beside_all(
    foreseen: Sequence[Foreseen], contention: Contention, path: Path, places: Places
) -> list[Foreseen]:
    """Return tasks with the budgets that hold while all others are where they are foreseen.

    One that will be rejected is judged on the first lane it may go to.

    Raises:
        ConfigError: some were never measured beside others.
    """
    from aegis_ros.planning.contention import Placed
    from aegis_ros.planning.refusal import Refusal

    lanes = [each.lane or each.candidate.lanes[0] for each in foreseen]
    found = []
    refused: list[ConfigError] = []
    for index, (each, lane) in enumerate(zip(foreseen, lanes, strict=True)):
        others = [
            Placed(other.candidate, where)
            for number, (other, where) in enumerate(zip(foreseen, lanes, strict=True))
            if number != index
        ]
        try:
            own = contention.beside(each.candidate, lane, others, None)
        except Refusal as refusal:
            refused.append(places.refused(each.candidate.spec.name, refusal.sentence))
            continue
        found.append(replace(each, candidate=own))
    if refused:
        raise together(refused, str(path))
    return found


def _configured_set(
    spec: OrchestratorSpec, path: Path, places: Places, state_dir: Path | None
) -> TaskSet:
    # Imported late: networks and their runtime take a second to load, a bare set needs neither.
    from aegis_ros.backends import absent_cores, create_backends, lane_classes
    from aegis_ros.planning.foresight import foresee
    from aegis_ros.planning.preparation import Preparation
    from aegis_ros.planning.refusal import Refusal
    from aegis_ros.planning.set_cautions import cautions
    from aegis_ros.wcet import ProfileStore

    if not spec.tasks and not spec.generators:
        raise ConfigError("there is no task to check", where="tasks", expected="at least one")
    _require_chains(spec)
    folder = state_dir or default_state_dir()
    backends = create_backends(spec.device)
    profiles = ProfileStore(folder / "profiles.sqlite")
    preparation = Preparation(spec, backends, profiles, folder / "cache")
    lanes = tuple(lane.name for lane in spec.device.lanes)
    # With several classes of lanes, or lanes that slow each other, a budget is that of one lane.
    bound = len(lane_classes(spec.device)) > 1 or preparation.contention.present
    options, unknown, refused = preparation.known(spec.tasks, places.refused)
    speaking, unmeasured, more = _known_generators(spec, backends, folder, places=places)
    refused += more
    if refused:
        raise together(refused, str(path))
    if unknown:
        raise _no_profiles(unknown, backends, path, folder)
    if unmeasured:
        raise _not_measured(unmeasured, path, folder)
    try:
        foreseen = foresee(options, preparation) if options else []
    except Refusal as refusal:
        named = getattr(refusal.reason, "task", "") or str(path)
        raise places.refused(named, refusal.sentence) from refusal
    foreseen = _beside_all(foreseen, preparation.contention, path, places)
    samples = _samples([each.candidate for each in foreseen], preparation, profiles)
    tasks = tuple(
        replace(task, lane=each.lane or each.candidate.lanes[0]) if bound else task
        for each in foreseen
        for task in [each.candidate.analysis_task()]
    )
    return replace(
        _of_tasks(spec, tasks, lanes),
        samples_ns=samples,
        generators=tuple(each.generator() for each in speaking),
        memory=_memory(
            spec,
            [(each.candidate, each.lane or each.candidate.lanes[0]) for each in foreseen],
            speaking,
        ),
        warnings=tuple(
            f"An orchestrator on this machine would refuse the file: {places.located(mistake)}"
            for mistake in absent_cores(spec.device, backends, pinnable_cores())
        )
        + cautions([each.candidate for each in foreseen]),
    )


def _known_generators(
    spec: OrchestratorSpec, backends: Mapping[str, Backend], folder: Path, *, places: Places
) -> tuple[list[GeneratorCandidate], list[str], list[ConfigError]]:
    """Return the generators of a file, the names of those without profiles, what bars others."""
    if not spec.generators:  # what they need may not be installed
        return [], [], []
    from aegis_ros.planning.generator_preparation import GeneratorPreparation
    from aegis_ros.wcet import ProfileStore

    profiles = ProfileStore(folder / "profiles.sqlite")
    preparation = GeneratorPreparation(spec, backends, profiles, folder / "cache")
    return preparation.known(spec.generators, places.refused)


def _memory(
    spec: OrchestratorSpec,
    placed: Sequence[tuple[Candidate, str]],
    speaking: Sequence[GeneratorCandidate] = (),
) -> SetMemory:
    """Return what networks on their lanes, frames and generators take."""
    from aegis_ros.memory import Holding
    from aegis_ros.planning.set_memory import SetMemory
    from aegis_ros.planning.streams import frames_of
    from aegis_ros.rationale.admission import WeightsStreamed

    return SetMemory(
        tuple(candidate.holding(lane) for candidate, lane in placed),
        tuple(frames_of(spec.tasks, spec.tasks)),
        tuple(Holding((each.spec.name,), each.weights, each.lane) for each in speaking),
        spec.device.arena_bytes,
        tuple(each.spec.name for each in speaking if each.taken is None),
        {
            candidate.spec.name: candidate.cut
            for candidate, _ in placed
            if isinstance(candidate.cut, WeightsStreamed)
        },
    )


def _chosen_set(
    spec: OrchestratorSpec,
    path: Path,
    places: Places,
    state_dir: Path | None,
    *,
    slowdown: Fraction,
) -> TaskSet:
    """Return the tasks of a configuration on the lanes that suit them best."""
    from aegis_ros.planning.lane_paper import choose_for_networks
    from aegis_ros.wcet import ProfileStore

    if not spec.tasks:
        raise ConfigError("there is no task to check", where="tasks", expected="at least one")
    _require_chains(spec)
    folder = state_dir or default_state_dir()
    profiles = ProfileStore(folder / "profiles.sqlite")
    bound = [task.name for task in spec.tasks if task.lane]
    free = replace(spec, tasks=tuple(replace(task, lane="") for task in spec.tasks))
    found = choose_for_networks(
        free, profiles, folder / "cache", slowdown=slowdown, refused=places.refused
    )
    if found is None:
        from aegis_ros.backends import create_backends

        backends = create_backends(replace(spec.device, lanes=DeviceSpec().lanes))
        raise _no_profiles([task.name for task in spec.tasks], backends, path, folder)
    placed = list(found.placed.values())
    tasks = tuple(replace(each.candidate.analysis_task(), lane=each.lane) for each in placed)
    lanes = tuple(lane.name for lane in found.device.lanes)
    return replace(
        _of_tasks(spec, tasks, lanes),
        samples_ns=_samples([each.candidate for each in placed], found.preparation, profiles),
        memory=_memory(spec, [(each.candidate, each.lane) for each in placed]),
        warnings=tuple(f"The lane that {name} names in the file is left out" for name in bound),
        lanes_chosen=found.reason,
    )


def _with_lanes_chosen(asked: TaskSet, slowdown: Fraction) -> TaskSet:
    """Return a bare set on the lanes that suit it best.

    Raises:
        ConfigError: its policy or its budgets are not those of lanes that are chosen.
    """
    from aegis_ros.planning.lane_paper import choose_for_table

    if asked.policy != "edf":
        raise ConfigError(
            "lanes are chosen by the test for EDF",
            where="policy",
            value=asked.policy,
            expected="edf, or the lanes written down",
        )
    if asked.generators:
        raise ConfigError(
            "lanes are chosen for tasks, and a generator names its own",
            where="generators",
            value=asked.generators[0].name,
            expected="the lanes written down, or no generators",
        )
    two = next((task.name for task in asked.tasks if task.high_segments_ns), "")
    if two:
        raise ConfigError(
            f"lanes are chosen for one budget a task, and {two} has two",
            where="high_segments_ns",
            expected="it left out, or the lanes written down",
        )
    free = [replace(task, lane="") for task in asked.tasks]
    lanes, tasks, reason = choose_for_table(free, asked.switch_ns, slowdown)
    return replace(asked, tasks=tasks, lanes=lanes, lanes_chosen=reason)


def _of_tasks(
    spec: OrchestratorSpec, tasks: tuple[AnalysisTask, ...], lanes: tuple[str, ...]
) -> TaskSet:
    """Return a set of a configuration's tasks."""
    return TaskSet(
        tasks,
        lanes,
        spec.device.switch_ns,
        kept_free_ns={
            task.name: task.output.publish_ns for task in spec.tasks if task.output.publish_ns
        },
        configured=True,
        max_decimation={task.name: task.decimation_limit for task in spec.tasks},
        follows={task.name: task.follows for task in spec.tasks if task.follows},
    )


def _samples(
    candidates: Sequence[Candidate], preparation: Preparation, profiles: ProfileStore
) -> dict[str, npt.NDArray[np.int64]]:
    """Return the execution times of those that were measured."""
    found = {}
    for candidate in candidates:
        if candidate.wcet_source == "measured":
            profile = profiles.get(preparation.profile_key_of(candidate))
            if profile is not None:
                found[candidate.spec.name] = profile.samples_ns
    return found


def _not_measured(generators: Sequence[str], path: Path, folder: Path) -> ConfigError:
    return ConfigError(
        f"the steps are not measured of: {', '.join(generators)}",
        where=str(path),
        hint="An orchestrator measures them when it is configured; name the folder of one that was "
        f"with --state-dir (looked in {folder})",
    )


def _no_profiles(
    tasks: Sequence[str], backends: Mapping[str, Backend], path: Path, folder: Path
) -> ConfigError:
    devices = " or ".join(backend.device_name() for backend in backends.values())
    return ConfigError(
        f"no WCET profile on {devices} of: {', '.join(tasks)}",
        where=str(path),
        hint=f"Measure them with `aegis profile {path}`, name the folder that has them with "
        f"--state-dir (looked in {folder}), or declare wcet_ms",
    )
