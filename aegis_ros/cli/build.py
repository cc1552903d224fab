"""`aegis build`: make everything a configuration's networks need, before the robot does."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from aegis_ros.backends import Backend, CompiledNetwork, create_backends, lane_classes
from aegis_ros.backends.registry import tuners
from aegis_ros.backends.tuning import Tuned
from aegis_ros.config import Places, default_state_dir, read_config
from aegis_ros.errors import ConfigError
from aegis_ros.host import pinnable_cores
from aegis_ros.planning.candidate import Options
from aegis_ros.planning.foresight import foresee
from aegis_ros.planning.layouts import with_most_lanes
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.spec import OrchestratorSpec, TaskSpec
from aegis_ros.views.terminal import say, sheet, terminal
from aegis_ros.wcet import ProfileStore

__all__ = ["run"]

_MOST_TUNE_S = 86_400.0


@dataclass
class _Built:
    """What became of one network.

    Attributes:
        task: its task.
        lanes: the lanes it is for, where not all lanes are alike; else empty.
        seconds: how long it took; next to nothing where it was there already.
        compiled: what was made; ``None`` where it was refused.
        problem: why, in a sentence.
        tuned: what a search for a faster way found; ``None`` without one.
    """

    task: TaskSpec
    lanes: str = ""
    seconds: float = 0.0
    compiled: CompiledNetwork | None = None
    problem: str = ""
    tuned: Tuned | None = None


class _NotMeasured(Exception):
    """Ends the preparation of a network behind its compilation: nothing is measured here."""

    def __init__(self, compiled: CompiledNetwork) -> None:
        super().__init__()
        self.compiled = compiled


def run(
    path: Path,
    state_dir: Path | None,
    form: str,
    backend: Backend | None = None,
    *,
    tune_s: float | None = None,
) -> int:
    """Prepare, optimise, cut and build every network, into the orchestrator's cache.

    Args:
        path: YAML of the orchestrator.
        state_dir: where the orchestrator keeps its cache and profiles.
        form: ``text`` or ``json``.
        backend: to build for; those that the lanes name if not given.
        tune_s: how long to search for a faster way to compute each network, before it is built.

    Returns:
        0 when everything is there, 1 when a network was refused.

    Raises:
        ConfigError: file or option is not valid.
        BackendError: the configured backend cannot be had here.
    """
    if form not in ("text", "json"):
        raise ConfigError("unknown format", where="--format", value=form, expected="text or json")
    if tune_s is not None and not 1.0 <= tune_s <= _MOST_TUNE_S:
        raise ConfigError(
            "a search takes a while", where="--tune", value=tune_s, expected="1 to 86400 seconds"
        )
    spec, places = read_config(path)
    if not spec.tasks:
        raise ConfigError("there is no task to build", where="tasks", expected="at least one")
    state = state_dir or default_state_dir()
    with places.shown():
        spec = replace(spec, device=with_most_lanes(spec.device, pinnable_cores()))
        used = (
            create_backends(spec.device)
            if backend is None
            else {each.backend: backend for each in lane_classes(spec.device)}
        )
    if tune_s is not None:
        _require_tuner(used)
    preparation = Preparation(spec, used, ProfileStore(state / "profiles.sqlite"), state / "cache")
    found = _build(spec, preparation, used, places, tune_s=tune_s)
    if form == "json":
        print(json.dumps([_as_json(item) for item in found], indent=2))
    else:
        devices = " + ".join(each.device_name() for each in used.values())
        _print(terminal(), found, devices, state)
    return 1 if any(item.problem for item in found) else 0


def _build(
    spec: OrchestratorSpec,
    preparation: Preparation,
    backends: Mapping[str, Backend],
    places: Places,
    *,
    tune_s: float | None,
) -> list[_Built]:
    several = len(lane_classes(spec.device)) > 1
    found = [
        _Built(replace(task, lane=task.lane or each.lanes[0]), each.label if several else "")
        for task in spec.tasks
        for each in preparation.lane_classes(task)
    ]
    with _progress(backends.values(), len(found)) as bar:
        for item in found:
            bar.begin(item.task.name)
            start = time.monotonic()
            try:
                if tune_s is not None:
                    item.tuned = preparation.tune(item.task, tune_s, bar.report)
                item.compiled = preparation.prepare(item.task, _stop).candidates[0].compiled
            except _NotMeasured as done:
                item.compiled = done.compiled
            except Refusal as refusal:
                item.problem = str(places.refused(item.task.name, refusal.sentence))
            item.seconds = time.monotonic() - start
            bar.end()
        # Where budgets are known, so is in how many segments the orchestrator will want them.
        try:
            _cut_ahead(spec, preparation, found)
        except Refusal as refusal:
            say(Console(stderr=True), f"not cut ahead: {refusal.sentence}")
    return found


def _require_tuner(backends: Mapping[str, Backend]) -> None:
    if any(each.capabilities.tunes for each in backends.values()):
        return
    names = " and ".join(sorted(backends))
    raise ConfigError(
        f"there is nothing to search for with {names}",
        where="--tune",
        expected=f"lanes of a backend that can be tuned: {', '.join(tuners())}",
        hint="Leave --tune away: these runtimes choose their kernels themselves",
    )


def _cut_ahead(spec: OrchestratorSpec, preparation: Preparation, found: Sequence[_Built]) -> None:
    """Compile networks whose budgets are known as they will be cut on their lanes.

    Raises:
        Refusal: a network cannot be compiled again.
    """
    known: list[Options] = []
    for task in spec.tasks:
        with suppress(Refusal):  # not measured, or reported above
            known.append(preparation.prepare(task, None))
    for each in foresee(known, preparation):
        lanes = each.candidate.lanes
        for item in found:
            if item.task.name == each.candidate.spec.name and item.task.lane in lanes:
                item.compiled = each.candidate.compiled


def _stop(spec: TaskSpec, compiled: CompiledNetwork, key: object, digest: str) -> None:
    raise _NotMeasured(compiled)


class _Bar:
    """One bar over all networks; a backend that reports more moves it in smaller steps."""

    def __init__(self, progress: Progress, networks: int) -> None:
        self._progress = progress
        self._row = progress.add_task("", total=float(networks), phase="")
        self._done = 0

    def begin(self, name: str) -> None:
        self._progress.update(self._row, description=escape(name), phase="")

    def report(self, phase: str, done: float) -> None:
        self._progress.update(self._row, completed=self._done + done, phase=escape(phase))

    def end(self) -> None:
        self._done += 1
        self._progress.update(self._row, completed=float(self._done), phase="")


@contextmanager
def _progress(backends: Iterable[Backend], networks: int) -> Iterator[_Bar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[phase]}"),
    )
    to_terminal = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=not to_terminal) as progress:
        bar = _Bar(progress, networks)
        reporting: list[Any] = [each for each in backends if hasattr(each, "on_progress")]
        for each in reporting:
            each.on_progress = bar.report
        try:
            yield bar
        finally:
            for each in reporting:
                each.on_progress = None


def _print(console: Console, found: Sequence[_Built], device: str, state: Path) -> None:
    columns = [("task", "left"), ("segments", "right"), ("MiB", "right"), ("took s", "right")]
    table = sheet(f"built for {escape(device)}", columns)
    for item in found:
        if item.compiled is None:
            continue
        table.add_row(
            Text(_name(item)),
            str(item.compiled.segments),
            f"{item.compiled.footprint.total / 2**20:.1f}",
            f"{item.seconds:.1f}",
        )
    if table.row_count:
        console.print(table)
    for item in found:
        if item.tuned is not None:
            say(console, f"{_name(item)}: {_of_search(item.tuned)}")
        if item.problem:
            say(console, item.problem, style="red")
        elif item.compiled is not None and item.compiled.note:
            say(console, f"{_name(item)}: {item.compiled.note}")
    refused = sum(bool(item.problem) for item in found)
    if refused:
        say(console, f"{refused} of {len(found)} networks cannot be run", style="red")
    else:
        count = "1 network is" if len(found) == 1 else f"All {len(found)} networks are"
        say(console, f"{count} ready in {state / 'cache'}", style="green")


def _name(item: _Built) -> str:
    return f"{item.task.name} on {item.lanes}" if item.lanes else item.task.name


def _of_search(tuned: Tuned) -> str:
    if not tuned.kernels:
        return "there is nothing to search for in this network"
    before, after = tuned.before_ns / 1e6, tuned.after_ns / 1e6
    return (
        f"{tuned.timed} ways to compute {tuned.kernels} kernels were timed; those take "
        f"{after:.2f} ms a frame, and took {before:.2f}"
    )


def _as_json(item: _Built) -> dict[str, Any]:
    what: dict[str, Any] = {"task": item.task.name}
    if item.lanes:
        what["lanes"] = item.lanes
    if item.tuned is not None:
        what["tuned"] = msgspec.to_builtins(item.tuned)
    if item.compiled is None:
        return {**what, "built": False, "problem": item.problem}
    return {
        **what,
        "built": True,
        "segments": item.compiled.segments,
        "arena_bytes": item.compiled.footprint.total,
        "seconds": round(item.seconds, 3),
        "paths": list(item.compiled.paths),
        "note": item.compiled.note,
    }
