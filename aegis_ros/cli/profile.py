"""`aegis profile`: measure networks, so that admission knows budgets."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from aegis_ros.backends import (
    CompiledNetwork,
    capabilities_of,
    create_backends,
    lane_classes,
)
from aegis_ros.cli.profile_answer import Measured, as_json, print_answer
from aegis_ros.cli.profile_inputs import image_frames, model_spec
from aegis_ros.cli.profile_report import require_report, write_report
from aegis_ros.config import Places, default_state_dir, read_config
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.host import pinnable_cores
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.orchestrator.measuring import Measurement
from aegis_ros.planning.device_load import load_task
from aegis_ros.planning.layouts import layouts_of, with_most_lanes
from aegis_ros.planning.refusal import Refusal
from aegis_ros.sandbox.ctrl_c import INTERRUPTED
from aegis_ros.spec import DeviceSpec, OrchestratorSpec, TaskSpec, TraceSpec
from aegis_ros.wcet import PATTERN, RANDOM, Cache, Condition, Neighbour, Place, Profile, Stress
from aegis_ros.wcet.stress import other_cores, stressed

__all__ = ["STRESSES", "run"]

STRESSES = {
    "none": (Stress.NONE,),
    "memory": (Stress.NONE, Stress.MEMORY),
    "compute": (Stress.NONE, Stress.COMPUTE),
    "both": (Stress.NONE, Stress.MEMORY, Stress.COMPUTE),
}
_PIECE_S = 15.0  # what a lost machine can cost; each piece loads the network anew
_SAME_S = 1.0  # programs that end others may send a signal to each process and to the group
_ROUNDS = 5  # a machine has quiet and busy moments: runs of one network are spread over them
_LEAST_PIECE = 20  # runs


def run(
    path: Path,
    names: Sequence[str],
    runs: int,
    state_dir: Path | None,
    *,
    form: str,
    cold_runs: int = 50,
    pair_runs: int = 50,
    stress: str = "none",
    inputs: Path | None = None,
    report: Path | None = None,
    fresh: bool = False,
    size: str = "",
    segments: int = 0,
) -> int:
    """Measure until there are as many runs as asked for, and store them as they come.

    Args:
        path: YAML of the orchestrator, or one network (ONNX).
        names: tasks to measure; empty for all.
        runs: of each network under each condition, with those of earlier calls.
        state_dir: where the orchestrator keeps its profiles.
        form: ``text`` or ``json``.
        cold_runs: as ``runs``, with the network's data driven out of the caches before each.
        pair_runs: as ``runs``, right after each other network on the same lane, and while each
            runs on each other lane.
        stress: key of :data:`STRESSES`. A device of its own that has several lanes is loaded from
            the other ones; else other cores are.
        inputs: folder of images to feed; ``None`` for random frames.
        report: also write a report with plots there.
        fresh: forget what was measured before.
        segments: measure in so many segments, which are a profile of their own; 0 as declared.
        size: height and width that a network takes which leaves them open, as ``480x640``.

    Returns:
        0 when every network was measured, 1 when one was refused, 130 when interrupted: what was
        measured is kept, and the same call goes on.

    Raises:
        ConfigError: file, task or option is not valid.
        EngineError: the engine does not start.
    """
    _require(form, stress)
    if report is not None:
        require_report(report)
    if path.suffix.lower() == ".onnx":
        spec, places = model_spec(path, size), Places()
    else:
        spec, places = read_config(path)
    wanted = _chosen(spec, names)
    if segments:
        wanted = tuple(replace(task, segments=segments) for task in wanted)
    state = state_dir or default_state_dir()
    found: list[Measured] = []
    devices = _devices(spec.device)
    for device in devices:
        on = replace(spec, device=device)
        all_of_them = tuple(each for task in spec.tasks for each in _on_each_class(on, task))
        tasks = tuple(each for task in wanted for each in _on_each_class(on, task))
        on = replace(on, tasks=all_of_them)
        with places.shown():
            campaign = _Campaign(
                on, tasks, state, inputs, places=places, loads_host=len(devices) == 1
            )
        with campaign.stopped_by_signals():
            found += campaign.measure(runs, cold_runs, pair_runs, STRESSES[stress], fresh=fresh)
        fresh = False  # what the lanes before have measured is of this call
        if campaign.stopped:
            break
    if form == "json":
        print(json.dumps([as_json(item) for item in found], indent=2))
    else:
        print_answer(Console(), found)
    if report is not None:
        write_report(report, found)
    if campaign.stopped:
        print(
            "interrupted; runs measured so far are kept, and the same command continues",
            file=sys.stderr,
        )
        return INTERRUPTED
    return 1 if any(item.problem for item in found) else 0


def _devices(device: DeviceSpec) -> list[DeviceSpec]:
    """Return a device with its lanes; where they are to be chosen, with all that may be.

    On cores, networks take the same on however many lanes: the most of them are enough.
    """
    cores = pinnable_cores()
    if device.lanes or capabilities_of(device.backend).on_cores:
        return [with_most_lanes(device, cores)]
    (backend,) = create_backends(replace(device, lanes=DeviceSpec().lanes)).values()
    return [each.device for each in layouts_of(device, backend, cores)]


def _on_each_class(spec: OrchestratorSpec, task: TaskSpec) -> tuple[TaskSpec, ...]:
    """Return a task for each class of lanes it may go to, where there are several."""
    classes = lane_classes(spec.device)
    if task.lane or len(classes) == 1:
        return (task,)
    return tuple(
        replace(task, name=f"{task.name} on {each.lanes[0]}", lane=each.lanes[0])
        for each in classes
    )


class _Campaign:
    """Measures tasks in rounds until there are enough runs of each, or it is asked to stop.

    ``loads_host`` is whether the host is loaded for a device of its own that has one lane: not
    where other lanes of the same device are measured as well, from which it can be loaded.
    """

    def __init__(
        self,
        spec: OrchestratorSpec,
        tasks: Sequence[TaskSpec],
        state: Path,
        inputs: Path | None,
        *,
        places: Places,
        loads_host: bool,
    ) -> None:
        self.stopped = False
        self._loads_host = loads_host
        self._places = places
        self._spec = spec
        self._tasks = tasks
        self._inputs = inputs
        self._loads = state / "cache" / "loads"
        models = replace(spec.models, roots=(*spec.models.roots, str(self._loads)))
        device = replace(spec.device, standby=False)  # nothing but loads disturbs what is measured
        self._orchestrator = Orchestrator(
            replace(spec, device=device, tasks=(), trace=TraceSpec(), models=models),
            state_dir=state,
            node="",
            on_result=lambda _, result: result.release(),
        )
        self._profiles: dict[str, Profile] = {}
        self._frames: dict[str, list[npt.NDArray[np.generic]]] = {}
        self._found: dict[str, str] = {}  # how much the networks find in the frames
        self._problems: dict[str, str] = {}
        self._compiled: dict[str, CompiledNetwork] = {}
        self._specs = {task.name: task for task in spec.tasks}
        self._rows: dict[tuple[str, str], TaskID] = {}
        self._wanted: dict[tuple[str, Condition], int] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("slowest {task.fields[worst]:.2f} ms"),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Let the first Ctrl-C (or SIGTERM) end the measurement in order, a later one at once."""
        asked = 0.0

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal asked
            now = time.monotonic()
            if self.stopped and now - asked > _SAME_S:
                raise SystemExit(INTERRUPTED)
            asked = asked or now
            self.stopped = True

        before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def measure(
        self,
        runs: int,
        cold_runs: int,
        pair_runs: int,
        stresses: Sequence[Stress],
        *,
        fresh: bool,
    ) -> list[Measured]:
        """Return what is known of every task afterwards.

        Raises:
            ConfigError: there is no core for a load.
            EngineError: the engine does not start.
        """
        try:
            self._orchestrator.configure(admit=False)
            with self._progress:
                for task in self._tasks:
                    self._begin(task, fresh)
                for stress in stresses:
                    loads = self._device_loads(stress)
                    for task in self._tasks:
                        self._want(task, stress, loads, {Cache.WARM: runs, Cache.COLD: cold_runs})
                if pair_runs:
                    self._meet()
                    for task in self._tasks:
                        for each in self._neighbours(task):
                            condition = Condition(inputs=self._fed(task), neighbour=each)
                            self._wanted[task.name, condition] = pair_runs
                while any(self._lacks(*each, count) for each, count in self._wanted.items()):
                    for stress in stresses:
                        self._round(stress)
        except AegisError:
            if not self.stopped:  # else what ended this has ended the engine, too
                raise
        finally:
            self._orchestrator.cleanup()
        return [
            Measured(task, self._profiles.get(task.name), self._problem(task))
            for task in self._tasks
        ]

    def _want(
        self,
        task: TaskSpec,
        stress: Stress,
        loads: Sequence[TaskSpec],
        runs: Mapping[Cache, int],
    ) -> None:
        """Note how often a task is to be measured under a load: of the device, or of the host."""
        fed = self._fed(task)
        beside = [
            Condition(stress, inputs=fed, neighbour=each)
            for load in loads
            for each in self._beside(task, load, self._compiled[load.name])
            if self._has_device(task)
        ]
        for condition in beside:
            self._wanted[task.name, condition] = runs[Cache.WARM]
        host = self._loads_host or not self._has_device(task)
        if stress is Stress.NONE or (not beside and host):
            for cache, count in runs.items():
                if count:
                    self._wanted[task.name, Condition(stress, cache, fed)] = count

    def _device_loads(self, stress: Stress) -> list[TaskSpec]:
        """Return what loads a device from each class of lanes; nothing where no task asks for it.

        Raises:
            ConfigError: the device cannot be loaded so.
        """
        meeting = self._orchestrator.contention.present and any(map(self._has_device, self._tasks))
        if stress is Stress.NONE or not meeting:
            return []
        found = []
        for load in _on_each_class(self._spec, load_task(stress, self._loads)):
            where = load.lane or self._spec.device.lanes[0].name
            if not self._orchestrator.contention.slowed_by(where):
                continue
            try:
                network, _ = self._orchestrator.profiler.measured(load)
            except Refusal as refusal:
                raise ConfigError(
                    f"the device cannot be loaded ({refusal.sentence})",
                    where="--stress",
                    value=stress,
                    hint="Measure with --stress none",
                ) from refusal
            if capabilities_of(network.backend).on_cores:
                continue
            self._compiled[load.name], self._specs[load.name] = network, load
            found.append(load)
        return found

    def _has_device(self, task: TaskSpec) -> bool:
        """Return whether a task's network, if there is one, runs on a device of its own."""
        network = self._compiled.get(task.name)
        return network is not None and not capabilities_of(network.backend).on_cores

    def _begin(self, task: TaskSpec, fresh: bool) -> None:
        with self._noting(task):
            if fresh:
                self._orchestrator.profiler.forget(task)
            compiled, known = self._orchestrator.profiler.measured(task)
            self._compiled[task.name] = compiled
            if self._inputs is not None:
                self._frames[task.name] = [
                    image_frames(self._inputs, task, item.max_shape, item.dtype)
                    for item in compiled.inputs
                ]
                self._found[task.name] = self._counted(task)
            if known is not None and known.segments == compiled.segments:
                self._profiles[task.name] = known

    def _counted(self, task: TaskSpec) -> str:
        """Return how much a network finds in the images, in words; empty where it does not matter.

        Raises:
            ConfigError: it finds nothing: the budget would be that of empty scenes.
        """
        found = self._orchestrator.profiler.found(task, self._frames[task.name])
        if found == 0:
            raise ConfigError(
                "the network finds nothing in these images, and takes longer the more it finds",
                where="--inputs",
                value=self._inputs,
                expected="images of what it looks for",
                hint="Without --inputs, it is measured on the generated pattern in which it finds "
                "most",
            )
        return f" in which it finds up to {found}" if found else ""

    def _meet(self) -> None:
        """Look for the networks that are not measured themselves, but run with those that are."""
        for task in self._spec.tasks:
            if task.name not in self._compiled and task.name not in self._problems:
                with suppress(AegisError, Refusal):  # one that cannot run is nobody's neighbour
                    self._compiled[task.name] = self._orchestrator.profiler.measured(task)[0]

    def _neighbours(self, task: TaskSpec) -> Iterator[Neighbour]:
        """Yield what may run right before a task, and beside it on other lanes."""
        own = self._compiled.get(task.name)
        for other in self._spec.tasks:
            found = self._compiled.get(other.name)
            if own is None or found is None or other.name == task.name:
                continue
            key = found.profile_key
            if key != own.profile_key and (other.lane or task.lane) == (task.lane or other.lane):
                yield Neighbour(key, Place.AFTER, "", other.name)
            yield from self._beside(task, other, found)

    def _beside(
        self, task: TaskSpec, other: TaskSpec, network: CompiledNetwork
    ) -> Iterator[Neighbour]:
        """Yield a network as it may run on other lanes while a task runs on one of its own."""
        contention = self._orchestrator.contention
        found = [
            contention.neighbour(network, other.name, lane, own)
            for own, lane in self._pairs(task, other)
        ]
        yield from dict.fromkeys(found)

    def _pairs(self, task: TaskSpec, other: TaskSpec) -> list[tuple[str, str]]:
        """Return the lanes on which two tasks may run at once: (its own, the other's)."""
        lanes = [lane.name for lane in self._spec.device.lanes]
        return [
            (own, lane)
            for lane in ([other.lane] if other.lane else lanes)
            for own in ([task.lane] if task.lane else lanes)
            if lane in self._orchestrator.contention.slowed_by(own)
        ]

    def _round(self, stress: Stress) -> None:
        """Measure a piece of everything that is lacking under one load."""
        lacking = [
            (name, condition, count)
            for (name, condition), count in self._wanted.items()
            if condition.stress is stress and self._lacks(name, condition, count)
        ]
        if not lacking:
            return
        lanes = [lane.cpu for lane in self._spec.device.lanes]
        tasks = {task.name: task for task in self._tasks}
        cores = other_cores(lanes, frozenset(os.sched_getaffinity(0)))
        # What loads a device is the neighbour; what loads the host is nobody's.
        for host in (True, False):
            pieces = [each for each in lacking if (each[1].neighbour is None) is host]
            with stressed(stress if host and pieces else Stress.NONE, cores):
                for name, condition, count in pieces:
                    self._piece(tasks[name], condition, count)

    def _piece(self, task: TaskSpec, condition: Condition, runs: int) -> None:
        if self.stopped or task.name in self._problems:
            return
        done = self._done(task.name, condition)
        if done >= runs:  # by now, for another task of the same network
            return
        row = self._row(task.name, condition)
        there, how = self._how(task, condition)
        count = min(runs - done, max(_LEAST_PIECE, -(-runs // _ROUNDS)))
        with self._noting(task):
            self._profiles[task.name] = self._orchestrator.profiler.measure(
                there, count, self._reporter(row, task.name), how
            )
            if self._done(task.name, condition) == done:  # else it would be tried for ever
                self._problems[task.name] = f"{task.name}: runs that took no time are not kept"
        self._progress.update(row, completed=self._done_of(row, task.name))

    def _how(self, task: TaskSpec, condition: Condition) -> tuple[TaskSpec, Measurement]:
        """Return a task on the lane where it is measured, and how."""
        frames, other = self._frames.get(task.name), condition.neighbour
        if other is None:
            return task, Measurement(condition, frames)
        network = self._compiled[other.name]
        if other.place is Place.AFTER:
            return task, Measurement(condition, frames, after=network)
        contention = self._orchestrator.contention
        own, lane = next(
            (own, lane)
            for own, lane in self._pairs(task, self._specs[other.name])
            if contention.neighbour(network, other.name, lane, own) == other
        )
        index = [each.name for each in self._spec.device.lanes].index(lane)
        own = contention.own_lane(own, lane)
        return replace(task, lane=own), Measurement(condition, frames, beside=((network, index),))

    def _row(self, name: str, condition: Condition) -> TaskID:
        """Return the bar of a condition; all neighbours of a task share one."""
        key = (name, _bar(condition))
        if key not in self._rows:
            total = sum(
                count for (other, each), count in self._wanted.items() if (other, _bar(each)) == key
            )
            self._rows[key] = self._progress.add_task(" ".join(key), total=total, worst=0.0)
        return self._rows[key]

    def _done_of(self, row: TaskID, name: str) -> int:
        return sum(
            min(count, self._done(name, condition))
            for (other, condition), count in self._wanted.items()
            if other == name and self._rows.get((name, _bar(condition))) == row
        )

    def _reporter(self, row: TaskID, name: str) -> Callable[[int, int], bool]:
        end = time.monotonic() + _PIECE_S
        before = self._done_of(row, name)
        worst = self._progress.tasks[row].fields["worst"]

        def report(done: int, worst_ns: int) -> bool:
            slowest = max(worst, worst_ns / 1e6)
            self._progress.update(row, completed=before + done, worst=slowest)
            return not self.stopped and (done == 0 or time.monotonic() < end)

        return report

    def _lacks(self, name: str, condition: Condition, runs: int) -> bool:
        open_ = not self.stopped and name not in self._problems
        return open_ and self._done(name, condition) < runs

    def _done(self, name: str, condition: Condition) -> int:
        profile = self._profiles.get(name)
        return 0 if profile is None else len(profile.of(condition))

    def _fed(self, task: TaskSpec) -> str:
        frames = self._frames.get(task.name)
        if frames is None or self._inputs is None:
            compiled = self._compiled.get(task.name)
            return PATTERN if compiled is not None and compiled.busy >= 0 else RANDOM
        found = self._found.get(task.name, "")
        return f"{len(frames[0])} images of {self._inputs.name}{found}"

    def _problem(self, task: TaskSpec) -> str:
        if task.name in self._problems or task.name in self._profiles:
            return self._problems.get(task.name, "")
        return f"{task.name} was not measured: it was interrupted before"

    @contextmanager
    def _noting(self, task: TaskSpec) -> Iterator[None]:
        """Note what keeps one task from being measured; the others go on."""
        try:
            yield
        except Refusal as refusal:
            name = task.name.split(" on ")[0]  # as in `_on_each_class`
            self._problems[task.name] = str(self._places.refused(name, refusal.sentence))
        except AegisError as error:
            if not self.stopped:
                self._problems[task.name] = f"{task.name}: {error}"


def _bar(condition: Condition) -> str:
    return condition.label if condition.neighbour is None else "with the others"


def _require(form: str, stress: str) -> None:
    if form not in ("text", "json"):
        raise ConfigError("unknown format", where="--format", value=form, expected="text or json")
    if stress not in STRESSES:
        raise ConfigError(
            "unknown load", where="--stress", value=stress, expected="one of " + ", ".join(STRESSES)
        )


def _chosen(spec: OrchestratorSpec, names: Sequence[str]) -> tuple[TaskSpec, ...]:
    known = {task.name: task for task in spec.tasks}
    if not known:
        raise ConfigError("there is no task to measure", where="tasks", expected="at least one")
    for name in names:
        if name not in known:
            raise ConfigError(
                "there is no such task",
                where="--task",
                value=name,
                expected="one of " + ", ".join(known),
            )
    return tuple(known[name] for name in names) if names else spec.tasks
