"""Times what the host does for a job, over a driver that does nothing; needs no GPU.

What a job costs in Python before and after the GPU has its turn, and how soon it is launched on a
lane that is free: by the lane's thread, which has to wake up, or by whoever hands it over. The two
take turns. Beside it a job of ONNX Runtime on the CPU, whose network computes next to nothing.

Of both, how much memory Python takes for a job, at its peak, and how much of that stays.
"""

from __future__ import annotations

import ctypes
import gc
import tempfile
import time
import tracemalloc
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from rich.console import Console

from aegis_ros.backends import CompiledNetwork, Completion, Part, Work
from aegis_ros.backends.cpu.onnxruntime import OnnxRuntimeBackend, OrtNetwork
from aegis_ros.backends.cuda import backend as cuda_backend
from aegis_ros.backends.cuda.backend import CudaBackend
from aegis_ros.backends.cuda.bindings import BindingsDriver
from aegis_ros.backends.cuda.lanes import GpuLane
from aegis_ros.backends.cuda.network import GpuNetwork, Sent
from aegis_ros.backends.testing import networks
from aegis_ros.memory import Footprint
from aegis_ros.network import NetworkInput, TensorInfo
from aegis_ros.spec import FrameFormat, LaneSpec
from benchmarks.report import Figure, console, figure, parser, publish, table

__all__ = ["figures", "on_a_core", "on_a_gpu", "show_host"]

_PACKAGE = "benchmarks.gpu.host"
_SHAPE = (48, 192, 3)
_OUTPUTS = ("boxes", "scores")
_SMALL = (8, 8, 3)
_GRAPH = 1
_PAUSE_S = 0.002  # the lane's thread has gone to sleep by then


class _Silent:
    """As much of ``cuda.bindings.driver`` as is called; it succeeds at once and does nothing."""

    CU_MEMHOSTALLOC_PORTABLE = CU_MEMHOSTREGISTER_PORTABLE = 1

    class CUctx_flags:
        CU_CTX_SCHED_BLOCKING_SYNC = 4

    class CUstream_flags:
        CU_STREAM_NON_BLOCKING = 1

    class CUevent_flags:
        CU_EVENT_BLOCKING_SYNC = 1
        CU_EVENT_DISABLE_TIMING = 2

    def __init__(self) -> None:
        self.launched_ns = 0
        self._kept: list[Any] = []

    def __getattr__(self, name: str) -> Callable[..., tuple[int, int]]:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[int, int]:
            return 0, 1

        setattr(self, name, call)
        return call

    def cuDeviceGetName(self, size: int, device: int) -> tuple[int, bytes]:
        return 0, b"none"

    def cuCtxGetStreamPriorityRange(self) -> tuple[int, int, int]:
        return 0, 0, -5

    def cuMemHostAlloc(self, nbytes: int, flags: int) -> tuple[int, int]:
        self._kept.append((ctypes.c_uint8 * nbytes)())
        return 0, ctypes.addressof(self._kept[-1])

    def cuGraphLaunch(self, graph: int, stream: int) -> tuple[int]:
        self.launched_ns = time.perf_counter_ns()
        return (0,)


class _Network(GpuNetwork):
    """One graph that reads the frame, and outputs of fixed extents."""

    def __init__(self, driver: BindingsDriver, compiled: CompiledNetwork, lane: GpuLane) -> None:
        super().__init__(driver, compiled, lane)
        for item in (compiled.frame_input, *compiled.outputs):
            self._buffers.take(item.name, item.nbytes, with_host=True)
        self._input = self._frame_input()
        self._results = [
            (item.name, place, tuple(int(extent) for extent in item.shape))
            for place, item in enumerate(compiled.outputs)
        ]

    @property
    def segments(self) -> int:
        return 1

    @property
    def graphs(self) -> tuple[bool, ...]:
        return (True,)

    def _graphs_note(self) -> str:
        return ""

    def _replays(self, index: int, shape: tuple[int, ...]) -> bool:
        return True

    def _put(self, index: int, shape: tuple[int, ...], stream: int) -> Sequence[Sent]:
        self._driver.launch(_GRAPH, stream)
        return [
            self._copy_back(name, place, extents, self._buffers[name].device)
            for name, place, extents in self._results
        ]


class _Backend(CudaBackend):
    """Its lanes, and the one network that is loaded on the first of them."""

    def loaded(self, driver: BindingsDriver) -> _Network:
        network = _Network(driver, _compiled(), self.lanes[0])
        self._keep(network)
        return network


def _compiled() -> CompiledNetwork:
    return CompiledNetwork(
        backend="none",
        key="none",
        paths=("none",),
        inputs=(NetworkInput(TensorInfo("frame", "uint8", _SHAPE), FrameFormat.RGB8, _SHAPE),),
        outputs=tuple(TensorInfo(name, "float32", (1, 100)) for name in _OUTPUTS),
        footprint=Footprint(),
    )


def figures(jobs: int) -> list[Figure]:
    """Return what was measured.

    Args:
        jobs: of each kind.
    """
    return on_a_gpu(jobs) + on_a_core(jobs)


def on_a_gpu(jobs: int) -> list[Figure]:
    """Return what the host does for a job of a GPU.

    Args:
        jobs: of each kind.
    """
    silent = _Silent()
    driver = BindingsDriver(silent)
    backend = _Backend(driver)
    ended: SimpleQueue[Completion] = SimpleQueue()
    backend.open([LaneSpec("main")], lambda token, done: ended.put(done), 0)
    try:
        network = backend.loaded(driver)
        frame = np.zeros(_SHAPE, np.uint8)
        backend.pin(frame.reshape(-1))
        outputs = network.output_arrays()
        work = Work([Part(network, [frame], outputs)])

        def launched() -> float:
            time.sleep(_PAUSE_S)
            begin = time.perf_counter_ns()
            backend.start(0, work)
            error = ended.get().error
            assert not error, error
            return (silent.launched_ns - begin) / 1e3

        def alone() -> float:
            begin = time.perf_counter_ns()
            network.run(0, frame, outputs)
            return (time.perf_counter_ns() - begin) / 1e3

        launched()
        direct: list[float] = []
        woken: list[float] = []
        for _ in range(jobs):
            direct.append(launched())
            with _left_to_the_thread():
                woken.append(launched())
        return [
            figure("host's part of a job", "us", [alone() for _ in range(10 * jobs)]),
            *_memory("host's part of a job", alone, jobs),
            figure("handed over to launched, by the lane's thread", "us", woken),
            figure("handed over to launched, by who hands it over", "us", direct),
        ]
    finally:
        backend.close()


def on_a_core(jobs: int) -> list[Figure]:
    """Return what a job of ONNX Runtime on the CPU takes that computes next to nothing.

    Args:
        jobs: of each kind.
    """
    backend = OnnxRuntimeBackend()
    with tempfile.TemporaryDirectory() as folder:
        prepared = networks.make_network(Path(folder), "means", "means", _SMALL)
        network = backend.load(backend.compile(prepared, Path(folder)), 0)
        assert isinstance(network, OrtNetwork)
    frame = np.zeros(_SMALL, np.uint8)
    outputs = [np.zeros([int(n) for n in each.shape], each.dtype) for each in prepared.outputs]

    def job() -> float:
        begin = time.perf_counter_ns()
        network.run(0, [frame], outputs)
        return (time.perf_counter_ns() - begin) / 1e3

    try:
        times = [job() for _ in range(10 * jobs)]
        name = "a job of ONNX Runtime on the CPU"
        return [figure(name, "us", times), *_memory(name, job, jobs)]
    finally:
        backend.unload(network)


def _memory(name: str, job: Callable[[], float], jobs: int) -> list[Figure]:
    """Return the memory that Python takes for a job at its peak, and what is left of it, in bytes.

    Args:
        name: of the job.
        job: does one, on this thread.
        jobs: how many.
    """
    peaks = array("d", bytes(8 * jobs))  # which takes no more while memory is traced
    gc.disable()
    tracemalloc.start()
    try:
        job()
        first, _ = tracemalloc.get_traced_memory()
        for at in range(jobs):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            job()
            _, most = tracemalloc.get_traced_memory()
            peaks[at] = most - before
        last, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    return [
        figure(f"{name}: Python's memory at its peak", "bytes", peaks),
        Figure(f"{name}: what stays of that, on average", "bytes", jobs, (last - first) / jobs),
    ]


@contextmanager
def _left_to_the_thread() -> Any:
    """Have the backend do as while a network is loaded."""
    with cuda_backend.driver_busy:
        yield


def main() -> None:
    """Print and write the figures."""
    arguments = parser(_PACKAGE, __doc__)
    arguments.add_argument("--jobs", type=int, default=500, help="of each kind (500)")
    options = arguments.parse_args()
    rows = figures(options.jobs)
    path: Path | None = options.json
    publish(_PACKAGE, path, rows)
    show_host(console(), [asdict(row) for row in rows])


def show_host(to: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the figures."""
    shown = table("what the host does for a job", "", "unit", "jobs", "p50", "p99", "max")
    for row in rows:
        values = (f"{row[each] or 0.0:.1f}" for each in ("p50", "p99", "max"))
        shown.add_row(row["name"], row["unit"], str(row["count"]), *values)
    to.print(shown)


if __name__ == "__main__":
    main()
