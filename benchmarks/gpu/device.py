"""What the device itself costs: a segment more, and a neighbour on another lane."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends import CompiledNetwork, create_backend
from aegis_ros.engine import ChannelSpec, Engine, EngineClient, JobResult, LoadSpec, SlotFrame
from aegis_ros.network import prepare
from aegis_ros.planning.device_load import load_task
from aegis_ros.planning.feeds import feeds
from aegis_ros.spec import DeviceSpec, FrameFormat, LaneSpec
from aegis_ros.wcet import Stress
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.partitions import OUTSIDE
from benchmarks.report import percentiles

__all__ = ["CONTROL", "DIVIDED", "beside_loads", "contention", "engine_on", "segment_cost"]

DIVIDED, CONTROL = "two lanes,", "control:"  # how these ways begin
_JOBS = 300
_TIMEOUT_S = 30.0
_SHOWN = (50.0, 99.9)
_MEASURE_S = 2.0  # of one network
_LEAST_RUNS = 5  # whatever they take


def segment_cost(bench: Bench, cut: Mapping[str, CompiledNetwork]) -> dict[str, dict[str, Any]]:
    """Return what lies between two segments of a network that runs alone, in microseconds.

    That is from the end of one to the start of the next, both as the lane's thread sees them: what
    the engine does in between, and what is said of graphs when the network is loaded.

    Args:
        bench: device.
        cut: networks in several segments.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, compiled in cut.items():
        if compiled.segments > 1:
            gaps, note = _gaps(bench, name, compiled)
            found[name] = {"segments": compiled.segments, "note": note, **percentiles(gaps)}
    return found


def _gaps(bench: Bench, name: str, compiled: CompiledNetwork) -> tuple[list[float], str]:
    """Run jobs one by one; return the mean gap of each in microseconds, and the network's note."""
    ended = threading.Event()
    gaps: list[float] = []

    def result(result: JobResult) -> None:
        whole = result.finished_ns - result.started_ns
        gaps.append((whole - result.execution_ns) / 1e3 / (compiled.segments - 1))
        result.release()
        ended.set()

    with engine_on(bench, [LaneSpec("main", bench.workload.core)], result) as engine:
        shape = compiled.max_shape
        channel = engine.open_channel(ChannelSpec(name, FrameFormat.RGB8, shape, 2))
        note = engine.load(LoadSpec(0, name, compiled, 0, name))
        for seq in range(_JOBS):
            slot = channel.acquire()
            assert slot is not None, "the job before still holds its frame"
            ended.clear()
            engine.submit((SlotFrame(channel, slot, shape),), 1, [(0, seq, 1, 2**62)])
            if not ended.wait(_TIMEOUT_S):
                raise SystemExit(f"{name} gave no result within {_TIMEOUT_S:.0f} s")
    return gaps, note


def contention(
    bench: Bench,
    networks: Mapping[str, CompiledNetwork],
    runs: int,
    sms: int | None = None,
) -> list[dict[str, Any]]:
    """Return how much longer networks take while the heaviest other one runs on a second lane.

    On a divided device there is a control: the other one on all multiprocessors, those of the first
    lane among them. Where that takes no longer than apart, dividing is worth nothing here.

    Args:
        bench: device.
        networks: whole.
        runs: of each, alone and beside.
        sms: multiprocessors of the first lane where the GPU is divided, the second one having the
            rest; ``None`` for two lanes on all of it. Before that, each runs on one lane alone.
    """
    ways: dict[str, tuple[Sequence[LaneSpec], str]] = {
        "one lane": ([LaneSpec("main", bench.workload.core)], ""),
        "two lanes": (_two(bench), ""),
    }
    if sms is not None:
        part = LaneSpec("first", None, sms)
        ways = {
            f"one lane on {sms}": ([part], ""),
            f"{DIVIDED} {sms} and the rest": ([part, LaneSpec("second")], ""),
            f"{CONTROL} {sms}, and the other on all": ([part, LaneSpec("second")], OUTSIDE),
        }
    usual: dict[str, Mapping[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for way, (lanes, backend) in ways.items():
        with engine_on(bench, lanes, lambda result: result.release(), backend) as engine:
            for name, compiled in networks.items():
                others = [each for other, each in networks.items() if other != name]
                heaviest = max(others, key=lambda each: each.footprint.total)
                beside = [(heaviest, 1)] if len(lanes) > 1 else []
                samples = _timed(engine, compiled, runs, beside)
                rows.append(_row(name, way, samples, usual))
    return rows


def beside_loads(
    bench: Bench,
    networks: Mapping[str, CompiledNetwork],
    runs: int,
    *,
    alone: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return how much longer networks take while a second lane does nothing but load the device.

    Its memory, and then its arithmetic: more than any other network there could do.

    Args:
        bench: device.
        networks: whole.
        runs: of each beside each load.
        alone: rows of :func:`contention`, for what a network takes on one lane.
    """
    usual = {str(row["network"]): row for row in alone if row["way"] == "one lane"}
    lanes = _two(bench)
    backend = create_backend(str(bench.workload.device["backend"]))
    cache = bench.state / "cache"
    rows: list[dict[str, Any]] = []
    for stress in (Stress.MEMORY, Stress.COMPUTE):
        task = load_task(stress, cache / "loads")
        prepared = prepare(Path(task.model), feeds(task), cache_dir=cache)
        load = backend.compile(prepared, cache)
        with engine_on(bench, lanes, lambda result: result.release()) as engine:
            for name, compiled in networks.items():
                if name not in usual:
                    samples = _timed(engine, compiled, runs, [])
                    rows.append(_row(name, "one lane", samples, usual))
                samples = _timed(engine, compiled, runs, [(load, 1)])
                rows.append(_row(name, f"beside {task.name}", samples, usual))
    return rows


def _two(bench: Bench) -> list[LaneSpec]:
    """Return two lanes, each on a core of its own where there are enough."""
    second = bench.lane_cores[1] if len(bench.lane_cores) > 1 else None
    return [LaneSpec("first", bench.workload.core), LaneSpec("second", second)]


def _timed(
    engine: Engine,
    compiled: CompiledNetwork,
    runs: int,
    beside: Sequence[tuple[CompiledNetwork, int]],
) -> npt.NDArray[np.int64]:
    """Return what whole runs on the first lane take, in nanoseconds."""
    end = time.monotonic() + _MEASURE_S
    samples = engine.profile(
        compiled,
        0,
        runs,
        lambda done, worst: done < _LEAST_RUNS or time.monotonic() < end,
        beside=beside,
    )
    taken: npt.NDArray[np.int64] = samples.sum(axis=1)
    return taken


def _row(
    name: str,
    way: str,
    samples_ns: npt.NDArray[np.int64],
    usual: dict[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return figures relative to the usual ones of a network: its first row, where it has none."""
    p50_ms, p999_ms = (float(each) / 1e6 for each in np.percentile(samples_ns, _SHOWN))
    row: dict[str, Any] = {"network": name, "way": way, "runs": len(samples_ns)}
    row |= {"p50_ms": p50_ms, "p999_ms": p999_ms}
    reference = usual.setdefault(name, row)
    row["p50_factor"] = p50_ms / float(reference["p50_ms"])
    row["p999_factor"] = p999_ms / float(reference["p999_ms"])
    return row


@contextmanager
def engine_on(
    bench: Bench, lanes: Sequence[LaneSpec], result: Any, backend: str = ""
) -> Iterator[EngineClient]:
    """Yield an engine with these lanes; whatever it says on its own ends the benchmark's part.

    Args:
        bench: device.
        lanes: of the engine.
        result: takes the results.
        backend: name of another backend than the device's; empty for that one.

    Raises:
        SystemExit: a job was left out, or the engine was lost.
    """
    problems: list[str] = []
    engine = EngineClient(
        bench.device(lanes, DeviceSpec().realtime_priority, backend),
        on_result=result,
        on_skip=lambda skip: problems.append(f"{skip.rule} {skip.text}"),
        on_event=lambda event: problems.append(event.sentence),
    )
    with ExitStack() as stack:
        engine.start()
        stack.callback(engine.stop)
        yield engine
        if problems:
            raise SystemExit(problems[0])
