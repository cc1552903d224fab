"""Times what cutting costs: networks in 2, 4 and 8 segments against the same network whole.

    python -m benchmarks.segments [--quick] [--seconds 20] [--json FILE]

One lane, pinned to a core, runs a frame through the whole network and through each of its cuts in
turn, in a new order every round, so that slow phases of the machine meet all alike. The overhead is
the median, over the rounds, of the segments' execution times together over that of the whole. The
whole network runs twice a round: what the second run costs over the first is the error of the rest.
Besides, the lane is handed over between two segments: that is the gap, which the cost of a switch
(``device.switch_ms``) must cover.

Last, what a job is budgeted with: by its runs as wholes, and by adding up the budgets of its
segments, whose slowest runs are not the same run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends import (
    Backend,
    CompiledNetwork,
    Completion,
    LoadedNetwork,
    Part,
    Work,
    create_backend,
)
from aegis_ros.network import Feed, prepare, resolve_model
from aegis_ros.spec import LaneSpec, PreprocessSpec
from aegis_ros.wcet import budget
from benchmarks.networks import NETWORKS
from benchmarks.progress import progress, steps
from benchmarks.report import Figure, console, parser, publish, read_options, table

_FRAME = (480, 640, 3)
_PARTS = (2, 4, 8)
_TIMEOUT_S = 60.0
_CONFIDENCE = 1.96  # of a normal distribution, 95 %


class Lane:
    """One pinned lane that runs a network's segments one behind the other, as the engine does."""

    def __init__(self, backend: Backend, core: int) -> None:
        """Open the backend with the lane."""
        self._backend = backend
        self._start_next: Callable[[Completion], bool] = lambda completion: False
        self._last: SimpleQueue[Completion] = SimpleQueue()
        backend.open((LaneSpec("bench", core),), self._ended, 0)

    def _ended(self, token: int, completion: Completion) -> None:
        if not self._start_next(completion):
            self._last.put(completion)

    def run(
        self,
        network: LoadedNetwork,
        frame: npt.NDArray[np.generic],
        outputs: Sequence[npt.NDArray[np.generic]],
    ) -> tuple[list[int], int]:
        """Run all segments of a network; return the time of each and of all gaps, nanoseconds."""
        taken: list[int] = []
        first_ns = 0
        work = Work([Part(network, [frame], outputs)])

        def start_next(completion: Completion) -> bool:
            nonlocal first_ns
            first_ns = first_ns or completion.started_ns
            taken.append(completion.finished_ns - completion.started_ns)
            if completion.error or len(taken) == network.segments:
                return False
            work.step = len(taken)
            self._backend.start(0, work)
            return True

        self._start_next = start_next
        self._backend.start(0, work)
        completion = self._last.get(timeout=_TIMEOUT_S)
        if completion.error:
            raise RuntimeError(completion.error)
        return taken, completion.finished_ns - first_ns - sum(taken)


@contextmanager
def opened(core: int) -> Iterator[tuple[Backend, Lane]]:
    """Yield a backend with one lane on ``core``."""
    backend = create_backend("onnxruntime")
    lane = Lane(backend, core)
    try:
        yield backend, lane
    finally:
        backend.close()


@dataclass(frozen=True)
class Timed:
    """Execution times of one network, the same rounds for every way to run it.

    Attributes:
        ways: the networks; the first two are whole.
        samples_ns: for each of them int64 [rounds, segments].
        gaps_ns: for each of them int64 [rounds], from the end of segments to the start of the next.
    """

    ways: tuple[CompiledNetwork, ...]
    samples_ns: tuple[npt.NDArray[np.int64], ...]
    gaps_ns: tuple[npt.NDArray[np.int64], ...]

    def overhead(self, way: int) -> tuple[float, float]:
        """Return the median of (all segments / whole - 1), and half its 95 % interval."""
        whole = self.samples_ns[0].sum(axis=1)
        ratio = np.sort(self.samples_ns[way].sum(axis=1) / whole - 1.0)
        count = len(ratio)
        reach = _CONFIDENCE * np.sqrt(count) / 2.0  # order statistics around the median
        low, high = (
            ratio[int(np.clip(count / 2 + sign * reach, 0, count - 1))] for sign in (-1, 1)
        )
        return float(np.median(ratio)), float(high - low) / 2.0


def measure(
    backend: Backend, lane: Lane, *, uri: str, spec: PreprocessSpec, cache: Path, seconds: float
) -> Timed:
    """Cut a network and time it for a while."""
    prepared = prepare(resolve_model(uri, []), (Feed(spec, _FRAME),), cache_dir=cache)
    whole = backend.compile(prepared, cache)
    ways = (whole, whole, *(backend.compile(prepared, cache, parts) for parts in _PARTS))
    loaded = [backend.load(way, 0) for way in ways]
    outputs = [
        np.empty(tuple(int(extent) for extent in item.shape), item.dtype) for item in whole.outputs
    ]
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, _FRAME, np.uint8) for _ in range(4)]
    samples: list[list[list[int]]] = [[] for _ in ways]
    gaps: list[list[int]] = [[] for _ in ways]
    end = time.monotonic() + seconds
    rounds = 0
    while rounds < 3 or time.monotonic() < end:
        for way in generator.permutation(len(ways)):
            taken, gap = lane.run(loaded[way], frames[rounds % len(frames)], outputs)
            samples[way].append(taken)
            gaps[way].append(gap)
        rounds += 1
    for network in loaded:
        backend.unload(network)
    return Timed(
        ways,
        tuple(np.asarray(rows, np.int64) for rows in samples),
        tuple(np.asarray(row, np.int64) for row in gaps),
    )


def _rows(name: str, timed: Timed) -> list[dict[str, float | str | int]]:
    rows: list[dict[str, float | str | int]] = []
    for index, way in enumerate(timed.ways):
        samples = timed.samples_ns[index]
        p50, p99 = np.percentile(samples.sum(axis=1), [50, 99]) / 1e6
        overhead, error = timed.overhead(index)
        rows.append(
            {
                "network": name,
                "segments": way.segments,
                "rounds": len(samples),
                "p50_ms": float(p50),
                "p99_ms": float(p99),
                "longest_segment_p50_ms": float(np.median(samples, axis=0).max() / 1e6),
                "gap_p50_us": float(np.median(timed.gaps_ns[index]))
                / max(1, way.segments - 1)
                / 1e3,
                "overhead_percent": 100.0 * overhead,
                "error_percent": 100.0 * error,
                "budget_ms": budget(samples.sum(axis=1)).value_ns / 1e6,
                "sum_of_budgets_ms": sum(budget(part).value_ns for part in samples.T) / 1e6,
                "note": way.note,
            }
        )
    return rows


def main() -> None:
    """Run all and print a table."""
    arguments = parser("benchmarks.segments", __doc__)
    arguments.add_argument("--seconds", type=float, default=20.0, help="of each network (20)")
    options = read_options(arguments, {"seconds": 10.0})
    rows = []
    core = max(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory() as folder,
        opened(core) as (backend, lane),
        progress() as shown,
    ):
        for name, (uri, spec) in steps(shown, list(NETWORKS.items()), "networks"):
            step = shown.add_task(f"{name}: cut, then timed for {options.seconds:g} s")
            timed = measure(
                backend, lane, uri=uri, spec=spec, cache=Path(folder), seconds=options.seconds
            )
            rows += _rows(name, timed)
            shown.remove_task(step)
    output = table(
        f"segments, on core {core}; ms are medians, +- is a 95 % interval",
        *("network", "segments", "rounds", "all ms", "longest ms", "gap us", "overhead"),
        *("budget ms", "added up ms"),
    )
    for row in rows:
        output.add_row(
            str(row["network"]),
            str(row["segments"]),
            str(row["rounds"]),
            f"{row['p50_ms']:.2f}",
            f"{row['longest_segment_p50_ms']:.2f}",
            f"{row['gap_p50_us']:.0f}",
            f"{row['overhead_percent']:.1f} +- {row['error_percent']:.1f} %",
            f"{row['budget_ms']:.1f}",
            f"{row['sum_of_budgets_ms']:.1f}",
        )
        if row["note"]:
            output.add_row(str(row["note"]))
    console().print(output)
    publish("benchmarks.segments", options.json, _figures(rows), {"networks": rows})


def _figures(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Return the figures that a page shows; the second run of a whole network is their error."""
    found = []
    seen: set[str] = set()
    for row in rows:
        name, parts, rounds = row["network"], row["segments"], row["rounds"]
        if parts == 1 and name not in seen:
            seen.add(name)
            found.append(Figure(f"{name}, whole", "ms", rounds, row["p50_ms"], row["p99_ms"]))
            continue
        what = f"{name}, in {parts} segments" if parts > 1 else f"{name}, whole once more"
        found.append(Figure(f"{what}: time added", "%", rounds, row["overhead_percent"]))
        if parts > 1:
            found.append(Figure(f"{what}: between two of them", "us", rounds, row["gap_p50_us"]))
    return found


if __name__ == "__main__":
    main()
