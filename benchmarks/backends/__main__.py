"""Times the same networks on each runtime that computes on processor cores, side by side.

    python -m benchmarks.backends [--quick] [--seconds 60] [--backends NAME …] [--json FILE]

Each backend has a process of its own with one lane, all pinned to the same core; they take turns of
a fraction of a second, in a new order every round, so that slow phases of the machine meet all
alike. The first backend has a second process: what differs between its two is the error of the
rest. Start is what an engine waits for: the runtime, imported and opened, then each network, loaded
and run once. Memory is what the process has grown by meanwhile.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aegis_ros.backends import CompiledNetwork, capabilities_of, create_backend
from aegis_ros.backends.availability import availability
from aegis_ros.errors import AegisError
from aegis_ros.network import Feed, PreparedNetwork, prepare, resolve_model
from benchmarks.backends.runner import Runner, Started, running
from benchmarks.networks import NETWORKS
from benchmarks.progress import progress, steps
from benchmarks.report import Figure, console, figure, parser, publish, read_options, table

_FRAME = (480, 640, 3)
_TURN_S = 0.25
_NOT_MEASURED = {"simulated"}  # computes nothing
_LEAST_ROUNDS = 3


@dataclass
class Way:
    """One network on one backend.

    Attributes:
        network, backend: their names.
        compiled_s: what compiling it took, with all checks.
        start: of the network.
        place: among the networks that the backend's process has loaded.
        taken_ns: execution times.
        refused: why it cannot run there; empty where it can.
    """

    network: str
    backend: str
    compiled_s: float = 0.0
    start: Started = field(default_factory=lambda: Started(0.0, 0.0))
    place: int = -1
    taken_ns: list[int] = field(default_factory=list)
    refused: str = ""

    @property
    def variation(self) -> float:
        """Standard deviation of the execution times, as part of their mean."""
        return float(np.std(self.taken_ns) / np.mean(self.taken_ns))


def main() -> None:
    """Run all and print two tables."""
    arguments = parser("benchmarks.backends", __doc__)
    arguments.add_argument("--seconds", type=float, default=60.0, help="of each network (60)")
    arguments.add_argument(
        "--backends", nargs="+", metavar="NAME", help="default: all that can run"
    )
    options = read_options(arguments, {"seconds": 15.0})
    core = max(os.sched_getaffinity(0))
    names = options.backends or _on_cores()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack, progress() as shown:
        runners = [
            (name, stack.enter_context(running(backend, core)))
            for name, backend in [*((each, each) for each in names), (_again(names), names[0])]
        ]
        ways: list[Way] = []
        for name, (uri, spec) in steps(shown, list(NETWORKS.items()), "networks"):
            prepared = prepare(
                resolve_model(uri, []), (Feed(spec, _FRAME),), cache_dir=Path(folder)
            )
            of_one = _ready(name, prepared, Path(folder), runners)
            step = shown.add_task(f"{name}: timed for {options.seconds:g} s")
            _time(of_one, dict(runners), options.seconds)
            shown.remove_task(step)
            ways += of_one
        opened = {name: runner.opened for name, runner in runners}
    _print(ways, opened, core)
    publish("benchmarks.backends", options.json, _figures(ways, opened))


def _on_cores() -> list[str]:
    """Return the backends that compute on cores and can be used here, the default first."""
    able = [
        each.name
        for each in availability()
        if not each.missing
        and each.name not in _NOT_MEASURED
        and capabilities_of(each.name).on_cores
    ]
    return sorted(able, key=lambda name: name != create_backend().name)


def _again(names: Sequence[str]) -> str:
    return f"{names[0]}, once more"


def _ready(
    name: str, prepared: PreparedNetwork, cache: Path, runners: Sequence[tuple[str, Runner]]
) -> list[Way]:
    """Compile a network for every backend, once, and load it."""
    made: dict[str, tuple[CompiledNetwork, float]] = {}
    ways = []
    for label, runner in runners:
        backend = label.partition(",")[0]
        way = Way(name, label)
        ways.append(way)
        try:
            if backend not in made:
                began = time.perf_counter()
                compiled = create_backend(backend).compile(prepared, cache)
                made[backend] = compiled, time.perf_counter() - began
            compiled, way.compiled_s = made[backend]
            way.start = runner.load(compiled)
            way.place = runner.networks - 1
        except (AegisError, RuntimeError) as error:
            way.refused = str(error)
    return ways


def _time(ways: Sequence[Way], runners: dict[str, Runner], seconds: float) -> None:
    """Have the ways run in turns."""
    generator = np.random.default_rng(0)
    able = [way for way in ways if not way.refused]
    end = time.monotonic() + seconds
    rounds = 0
    while able and (rounds < _LEAST_ROUNDS or time.monotonic() < end):
        for index in generator.permutation(len(able)):
            way = able[index]
            way.taken_ns += runners[way.backend].run(way.place, _TURN_S)
        rounds += 1


def _print(ways: Sequence[Way], opened: dict[str, Started], core: int) -> None:
    shown = table(
        f"networks on core {core}, one thread; load is with a first run",
        *("network", "backend", "runs", "p50 ms", "p99 ms", "CV", "load ms", "MiB", "compile s"),
    )
    for way in ways:
        if way.refused:
            shown.add_row(way.network, way.backend, "refused")
            continue
        p50, p99 = np.percentile(way.taken_ns, [50, 99]) / 1e6
        shown.add_row(
            *(way.network, way.backend, str(len(way.taken_ns))),
            *(f"{p50:.2f}", f"{p99:.2f}", f"{100 * way.variation:.1f} %"),
            *(f"{way.start.ms:.0f}", f"{way.start.mib:.0f}", f"{way.compiled_s:.1f}"),
        )
    console().print(shown)
    for way in ways:
        if way.refused:
            console().print(f"{way.network} on {way.backend}: {way.refused}", soft_wrap=True)
    runtimes = table("runtimes, imported and opened", "backend", "ms", "MiB")
    for name, started in opened.items():
        runtimes.add_row(name, f"{started.ms:.0f}", f"{started.mib:.0f}")
    console().print(runtimes)


def _figures(ways: Sequence[Way], opened: dict[str, Started]) -> list[Figure]:
    found = []
    for way in ways:
        if way.refused:
            continue
        name = f"{way.network}, {way.backend}"
        found += [
            figure(name, "ms", np.asarray(way.taken_ns) / 1e6),
            Figure(f"{name}: coefficient of variation", "%", 1, 100 * way.variation),
            Figure(f"{name}: loaded", "ms", 1, way.start.ms),
            Figure(f"{name}: memory", "MiB", 1, way.start.mib),
            Figure(f"{name}: compiled", "s", 1, way.compiled_s),
        ]
    for name, started in opened.items():
        found.append(Figure(f"{name}: runtime started", "ms", 1, started.ms))
        found.append(Figure(f"{name}: memory of the runtime", "MiB", 1, started.mib))
    return found


if __name__ == "__main__":
    main()
