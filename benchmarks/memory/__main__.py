"""Runs networks whose weights do not fit, and holds them to the memory they may take.

    python -m benchmarks.memory                          # six networks, then the shape of VGG19
    python -m benchmarks.memory --sets six --rounds 20   # six networks, twice the arena together
    python -m benchmarks.memory --sets vgg19 --arena 150 # the shape of VGG19 in more memory
    python -m benchmarks.memory --quick --json FILE      # six small ones

`vgg19`: random weights of 548 MiB in an arena of 100 MiB, its largest layer in eight operators.
`six`: six networks of 28 to 55 MiB in an arena of half of that; `small`: the same in small. What a
set takes is measured first, and as many segments stay in memory as the arena holds.

Ways: `all resident` keeps every segment in memory, `streamed` only what fits; its weights come
through the page cache (warm) or past it (cold). Against them: ONNX Runtime's own mapping of the
same files, which grows to all of it, a session for each segment of each job (naive), and
weights loaded whole from graphs. Each is a process; all run in turns on one core, so that slow
phases of the machine meet all alike. Others do not lock their memory, ours do, as the engine does.

The peak is the kernel's (VmHWM), counted from a process with the runtime and one small network. A
streamed one that takes more than arena + 32 MiB is killed. Goals: no peak above that, no kill,
the same bits, and at most 10 % more processor time than with all resident where weights are warm.
The program ends with 1 where a goal is missed, unless it is a quick run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aegis_ros.backends import CompiledNetwork
from aegis_ros.backends.streaming import streamed
from benchmarks.memory.build import built
from benchmarks.memory.shapes import SETS
from benchmarks.memory.ways import OTHERS, Asked, Job, Program, Taken, running
from benchmarks.neighbours import Neighbours
from benchmarks.progress import Shown, progress, steps
from benchmarks.report import Figure, console, figure, parser, publish, read_options, table

_MIB = 1024 * 1024
_ABOVE = 32 * _MIB  # the arena
_OVERHEAD = 0.10
_ALL, _WARM, _COLD = "all resident", "streamed, warm", "streamed, cold"


@dataclass
class Arm:
    """One way to run a set, and what came of it.

    Attributes:
        name: of it.
        asked: what its process runs.
        limited: whether it is killed above its limit.
        cold: whether its jobs begin without weights in the page cache.
        taken: what the kernel counted; ``None`` where it was killed before.
        jobs: that were run.
        killed: peaks for which it was killed.
    """

    name: str
    asked: Asked
    limited: bool = False
    cold: bool = False
    taken: Taken | None = None
    jobs: list[Job] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """A set in all ways.

    Attributes:
        name: of the set.
        weights: bytes of all weights.
        arena: bytes that it may take.
        footprint: bytes that it takes by measurement.
        resident: how many segments of each network stay in memory.
        arms: the ways.
    """

    name: str
    weights: int
    arena: int
    footprint: int
    resident: tuple[int, ...]
    arms: tuple[Arm, ...]

    def ratio(self, arm: Arm, of: Callable[[Job], float]) -> float:
        """Return the median, over all rounds, of a time over that with all resident."""
        (whole,) = (each for each in self.arms if each.name == _ALL)
        pairs = zip(arm.jobs, whole.jobs, strict=False)
        return float(np.median([of(one) / of(other) for one, other in pairs]))

    def goals(self) -> dict[str, bool | None]:
        """Return each goal, and whether it was met; ``None`` where nothing ran to measure it."""
        ours = [each for each in self.arms if each.limited]
        peaks = [each.taken.peak - each.taken.base for each in ours if each.taken is not None]
        digests = {job.digest for each in self.arms for job in each.jobs}
        warm = next(each for each in self.arms if each.name == _WARM)
        overhead = self.ratio(warm, lambda job: job.cpu_ms) - 1.0 if warm.jobs else None
        return {
            f"{self.name}: what it needs fits the arena": self.footprint <= self.arena,
            f"{self.name}: peaks at most arena + {_ABOVE // _MIB} MiB": len(peaks) == len(ours)
            and max(peaks) <= self.arena + _ABOVE
            and not any(each.killed for each in ours),
            f"{self.name}: nothing killed": not any(each.killed for each in ours),
            f"{self.name}: all outputs have the same bits": len(digests) == 1,
            f"{self.name}: warm at most {_OVERHEAD:.0%} more processor time": None
            if overhead is None
            else overhead <= _OVERHEAD,
        }


def main() -> None:
    """Run the sets that were asked for and print their tables."""
    arguments = parser("benchmarks.memory", __doc__)
    arguments.add_argument("--sets", nargs="+", choices=list(SETS), default=["six", "vgg19"])
    arguments.add_argument(
        "--arena", type=float, help="MiB (100 for vgg19, half of the weights for others)"
    )
    arguments.add_argument("--rounds", type=int, default=10, help="jobs of each way (10)")
    options = read_options(arguments, {"sets": ["small"], "rounds": 10})
    others = Neighbours()
    results = []
    with progress() as shown, tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for name in options.sets:
            results.append(_result(name, options, Path(folder), shown))
            _print(results[-1])
    goals = {text: met for each in results for text, met in each.goals().items()}
    output = table("goals", "goal", "met")
    for text, met in goals.items():
        output.add_row(text, {True: "yes", False: "NO", None: "not measured"}[met])
    console().print(output)
    share = others.share()
    console().print(f"Other programs used {share:.2f} cores meanwhile.")
    publish(
        "benchmarks.memory",
        options.json,
        [each for result in results for each in _figures(result)],
        {
            "sets": [_plain(each) for each in results],
            "goals": goals,
            "cores_used_by_others": share,
        },
    )
    if not options.quick and not all(goals.values()):
        sys.exit(1)


def _result(name: str, options: argparse.Namespace, folder: Path, shown: Shown) -> Result:
    """Make a set and run it in all ways."""
    made = []
    for index in steps(shown, range(SETS[name]), f"{name}: writing, packing, measuring"):
        own = folder / f"{name}{index}"
        own.mkdir()
        made.append(_apart(name, index, own))
    before = folder / f"{name}-before"
    before.mkdir()
    small, _ = _apart("small", 0, before)
    cut, packed = zip(*made, strict=True)
    weights = sum(each.nbytes for network in packed for each in network.weights)
    fallback = 100.0 if name == "vgg19" else weights / 2 / _MIB
    arena = int((options.arena or fallback) * _MIB)
    resident = _fitting(packed, arena)
    fit = [streamed(each, n, "warm") for each, n in zip(packed, resident, strict=True)]
    arms = _arms(cut, packed, resident, small)
    _run(arms, arena + _ABOVE, options.rounds, shown)
    footprint = sum(each.footprint.total for each in fit)
    return Result(name, weights, arena, footprint, resident, tuple(arms))


def _apart(name: str, index: int, folder: Path) -> tuple[CompiledNetwork, CompiledNetwork]:
    """Build a network in a process of its own: what it takes is gone afterwards."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(built, (name, index, folder))


def _fitting(networks: Sequence[CompiledNetwork], arena: int) -> tuple[int, ...]:
    """Return how many segments of each stay: one more of each in turn, as long as all fit."""
    counts = [1] * len(networks)

    def taken() -> int:
        return sum(
            streamed(each, n, "warm").footprint.total
            for each, n in zip(networks, counts, strict=True)
        )

    grown = True
    while grown:
        grown = False
        for index, network in enumerate(networks):
            if counts[index] < network.segments:
                counts[index] += 1
                if taken() <= arena:
                    grown = True
                else:
                    counts[index] -= 1
    return tuple(counts)


def _arms(
    cut: Sequence[CompiledNetwork],
    packed: Sequence[CompiledNetwork],
    resident: Sequence[int],
    before: CompiledNetwork,
) -> list[Arm]:
    core = max(os.sched_getaffinity(0))

    def ours(networks: Sequence[CompiledNetwork]) -> Asked:
        return Asked("ours", tuple(networks), before, core)

    def fit(storage: str) -> Asked:
        pairs = zip(packed, resident, strict=True)
        return ours([streamed(each, n, storage) for each, n in pairs])

    return [
        Arm(_ALL, ours([streamed(each, each.segments, "warm") for each in packed])),
        Arm(_WARM, fit("warm"), limited=True),
        Arm(_COLD, fit("cold"), limited=True),
        *(
            Arm(f"{way}, {storage}", Asked(way, tuple(packed), before, core), cold=cold)
            for way in OTHERS
            for storage, cold in (("warm", False), ("cold", True))
        ),
        Arm("loaded whole", ours(cut)),
    ]


def _run(arms: Sequence[Arm], room: int, rounds: int, shown: Shown) -> None:
    """Start all, load one after the other, and have them run in turns."""
    with ExitStack() as stack:
        programs: list[tuple[Arm, Program]] = []
        for arm in steps(shown, arms, "loading"):
            program, arm.killed = stack.enter_context(
                running(arm.asked, room if arm.limited else None)
            )
            try:
                load_ms = program.load()
                peak, end = program.counted("VmHWM"), program.counted("VmRSS")
                arm.taken = Taken(program.base, peak, peak, end, load_ms)
                programs.append((arm, program))
            except EOFError:
                continue
        chance = np.random.default_rng(5)
        for _ in steps(shown, range(rounds), "rounds, each way once"):
            for at in chance.permutation(len(programs)).tolist():
                arm, program = programs[at]
                if arm.killed:
                    continue
                try:
                    arm.jobs.append(program.run(cold=arm.cold))
                except EOFError:
                    continue
        for arm, program in programs:
            if not arm.killed and arm.taken is not None:
                taken = arm.taken
                peak, end = program.counted("VmHWM"), program.counted("VmRSS")
                arm.taken = Taken(taken.base, taken.load_peak, peak, end, taken.load_ms)


def _print(result: Result) -> None:
    resident = ", ".join(map(str, result.resident))
    segments = ", ".join(str(each.segments) for each in result.arms[0].asked.networks)
    output = table(
        f"{result.name}: {result.weights / _MIB:.0f} MiB of weights, arena "
        f"{result.arena / _MIB:.0f} MiB, needs {result.footprint / _MIB:.0f}; "
        f"{resident} of {segments} segments in memory",
        *("way", "peak MiB", "while loading", "at last", "load s"),
        *("processor ms", "of all resident", "wall ms", "of all resident"),
    )
    for arm in result.arms:
        if arm.killed or arm.taken is None or not arm.jobs:
            peaks = ", ".join(f"{each / _MIB:.0f}" for each in arm.killed)
            output.add_row(arm.name, f"killed at {peaks} MiB, base included")
            continue
        base = arm.taken.base
        output.add_row(
            arm.name,
            *(
                f"{(each - base) / _MIB:.0f}"
                for each in (arm.taken.peak, arm.taken.load_peak, arm.taken.end)
            ),
            f"{arm.taken.load_ms / 1e3:.1f}",
            f"{np.median([job.cpu_ms for job in arm.jobs]):.1f}",
            f"{result.ratio(arm, lambda job: job.cpu_ms):.2f}",
            f"{np.median([job.wall_ms for job in arm.jobs]):.1f}",
            f"{result.ratio(arm, lambda job: job.wall_ms):.2f}",
        )
    console().print(output)
    bases = [arm.taken.base / _MIB for arm in result.arms if arm.taken is not None]
    console().print(f"Processes had {min(bases):.0f} to {max(bases):.0f} MiB before.")


def _figures(result: Result) -> list[Figure]:
    found = []
    for arm in result.arms:
        what = f"{result.name}, {arm.name}"
        if arm.taken is not None and arm.jobs:
            peak = (arm.taken.peak - arm.taken.base) / _MIB
            found += [
                Figure(f"{what}: peak", "MiB", 1, peak),
                figure(f"{what}: a job", "ms", [job.wall_ms for job in arm.jobs]),
                figure(f"{what}: processor time", "ms", [job.cpu_ms for job in arm.jobs]),
            ]
    return found


def _plain(result: Result) -> dict[str, Any]:
    return {
        **{
            name: getattr(result, name)
            for name in ("name", "weights", "arena", "footprint", "resident")
        },
        "ways": [
            {
                "name": arm.name,
                "killed": arm.killed,
                "taken": None if arm.taken is None else asdict(arm.taken),
                "jobs": [asdict(job) for job in arm.jobs],
            }
            for arm in result.arms
        ],
    }


if __name__ == "__main__":
    main()
