"""TensorRT on one NVIDIA GPU: a stream a lane, engines for segments, memory taken at load.

A lane's thread puts the copy of the frame, the segment and the copies out on the lane's stream, and
sleeps in the driver until an event behind them has happened; the loop of the engine is never kept
waiting. A job that finds the lane busy has its frame copied meanwhile. Only API that TensorRT 10.3
to 11 share is used.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import (
    Arrays,
    Capabilities,
    CompiledNetwork,
    Ended,
    LoadedNetwork,
    Work,
)
from aegis_ros.backends.cuda import CudaError
from aegis_ros.backends.cuda.frames import FrameMemory
from aegis_ros.backends.cuda.lanes import GpuLane, make_lanes
from aegis_ros.backends.cuda.network import TensorRtNetwork, faster
from aegis_ros.backends.cuda.toolkit import Toolkit, find_toolkit
from aegis_ros.backends.worker import CpuLane, Shapes, describe_lanes, open_lanes
from aegis_ros.errors import BackendError, ModelError
from aegis_ros.network.prepare import PreparedNetwork
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.children import run_child
from aegis_ros.spec import LaneSpec

__all__ = ["PRECISION", "TensorRtBackend"]

PRECISION = "tf32"  # types are those of the ONNX file; float32 is multiplied as TF32 where it can
_BUILD_TIMEOUT_S = 3600.0
_EXIT_CODE = 70

Progress = Callable[[str, float], None]


class TensorRtBackend:
    """Runs networks through TensorRT.

    Args:
        toolkit: what to work with; ``None`` for what is installed.
        build: makes engines as :func:`aegis_ros.backends.cuda.build_child.build` does; in a child
            process if not given.
        on_lost: called with a sentence when the GPU's context is lost and no call on it can work
            any more. Ends the process if not given: whoever started the engine starts a new one.
        graph_pays: whether to launch a segment as a CUDA graph, from the median time in
            nanoseconds without and with one.

    Attributes:
        on_progress: told what is built at present and how much of it is done, 0..1.

    Raises:
        BackendError: TensorRT, the driver or the GPU is missing.
    """

    name = "tensorrt"
    capabilities = Capabilities(partitions=True, graphs=True, distributions=("tensorrt",))

    def __init__(
        self,
        toolkit: Toolkit | None = None,
        *,
        build: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        on_lost: Callable[[str], None] | None = None,
        graph_pays: Callable[[float, float], bool] = faster,
    ) -> None:
        """Find TensorRT and the GPU, and hold no lane yet."""
        self.on_progress: Progress | None = None
        self._build = build
        self._toolkit = toolkit or find_toolkit()
        self._driver = self._toolkit.driver
        self._on_lost = on_lost or _end_process
        self._graph_pays = graph_pays
        self._lost = ""
        self._threads: list[CpuLane] = []
        self._lanes: list[GpuLane] = []
        self._frames = FrameMemory(self._driver)
        self._loaded: list[TensorRtNetwork] = []
        self._undo = ExitStack()  # of what ``open`` made

    def compile(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        """Build an engine for each segment, in a child process, and check its numbers there.

        TensorRT picks kernels by how long they take, so that no two builds agree to the last bit,
        whole or cut: what is built is held to ONNX Runtime's numbers instead, within the tolerance
        of :data:`~aegis_ros.backends.reference.TOLERANCE`.

        Raises:
            ModelError: TensorRT cannot take the network, or computes something else.
        """
        folder = cache_dir / self.name
        folder.mkdir(parents=True, exist_ok=True)
        made_for = f"{self._toolkit.version}-{self._driver.device_name()}-{PRECISION}"
        stem = f"{prepared.key}-{_only_letters(made_for)}-{segments}"
        facts = _read_facts(folder / f"{stem}.json")
        if facts is None:
            try:
                facts = self._make(prepared, folder, stem, segments)
            except ModelError as error:
                if segments == 1:
                    raise
                facts = {"refused": error.problem}
        if "refused" in facts and segments == 1:
            raise ModelError(
                facts["refused"],
                where="model",
                value=prepared.source.name,
                rule=Rule.MODEL_VALID,
                hint="Export it with larger types where numbers grow, or use another backend",
            )
        if "refused" in facts:
            whole = self.compile(prepared, cache_dir)
            return replace(whole, note=f"not cut into {segments} segments: {facts['refused']}")
        return CompiledNetwork(
            backend=self.name,
            key=prepared.key,
            paths=tuple(facts["paths"]),
            inputs=prepared.inputs,
            outputs=prepared.outputs,
            arena_bytes=int(facts["bytes"]),
            dynamic_outputs=tuple(facts["dynamic"]),
            shares=tuple(facts["shares"]) if segments > 1 else (),
            cuts=facts["cuts"] if segments > 1 else "",
            complete_after=tuple(facts["complete_after"]),
        )

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Create streams, an event and a thread a lane; earlier lanes are the more urgent ones.

        Raises:
            BackendError: the GPU cannot be used, or not be divided among the lanes.
        """
        with self._telling("the GPU cannot be used"), ExitStack() as undo:
            self._driver.attach()
            undo.callback(self._driver.close)
            made = make_lanes(self._driver, lanes, self._frames, undo)
            self._threads = open_lanes(lanes, self._run, ended, priority)
            self._lanes = made
            self._undo = undo.pop_all()

    def pin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Lock its pages, so that copies read them directly; where that fails, the CPU copies.

        Raises:
            BackendError: the GPU is lost.
        """
        with self._telling("frames cannot be shared with the GPU"):
            self._driver.attach()
            self._frames.pin(memory)

    def unpin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Let its pages go, once no copy reads them.

        Raises:
            BackendError: as the driver says.
        """
        with self._telling("frames cannot be taken back from the GPU"):
            self._driver.attach()
            for lane in self._lanes:
                self._driver.synchronize_stream(lane.copies)
            self._frames.unpin(memory)

    def prefetch(self, network: LoadedNetwork, inputs: Arrays) -> bool:
        """Begin to copy a waiting job's frame while the lane computes for another one."""
        assert isinstance(network, TensorRtNetwork)
        try:
            with self._telling("the frame cannot be copied"):
                return network.prefetch(inputs[0])
        except BackendError:
            return False  # the job will copy it itself, and be told if that fails, too

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Take all memory, set all addresses, run once and capture graphs.

        Raises:
            BackendError: the engine is not for this GPU, or the memory does not suffice; nothing
                is left behind.
        """
        with self._telling("TensorRT cannot load the network"):
            network = TensorRtNetwork(
                self._toolkit, compiled, self._lanes[lane], graph_pays=self._graph_pays
            )
        self._loaded.append(network)
        return network

    def start(self, lane: int, work: Work) -> None:
        """Hand the segment to the lane's thread."""
        network = work.parts[0].network
        assert isinstance(network, TensorRtNetwork)
        if work.step == 0:
            network.claim()
        self._threads[lane].start(work)

    def unload(self, network: LoadedNetwork) -> None:
        """Give its memory back."""
        assert isinstance(network, TensorRtNetwork)
        with self._telling("the network cannot be unloaded"):
            self._loaded.remove(network)
            network.close()

    def device_name(self) -> str:
        """Return the GPU's name and the runtime's version."""
        return f"{self._driver.device_name()}, {self._toolkit.version}"

    def determinism(self) -> str:
        """Say what the lanes were permitted."""
        has = "with priorities" if self._driver.priorities else "without priorities"
        graphs = "CUDA graphs" if self._driver.graphs else "no CUDA graphs"
        parts = ", ".join(str(lane.sms) for lane in self._lanes if lane.partition)
        divided = f"; multiprocessors of the lanes: {parts}" if parts else ""
        return (
            f"{describe_lanes(self._threads)}; streams {has}, {graphs} ({self._driver.name})"
            f"{divided}"
        )

    def close(self) -> None:
        """End the lanes; what a lane that hangs still uses is left to the end of the process."""
        for thread in self._threads:
            thread.stop()
        hangs = any(lane.busy for lane in self._lanes)
        lanes, self._lanes, self._threads = self._lanes, [], []
        loaded, self._loaded = self._loaded, []
        undo, self._undo = self._undo, ExitStack()
        if hangs or self._lost or not lanes:
            undo.pop_all()
            return
        with self._telling("the GPU cannot be given back"), undo:
            self._driver.attach()
            undo.callback(self._frames.close)
            for network in loaded:
                undo.callback(network.close)

    def _run(self, work: Work) -> Shapes | None:
        (part,) = work.parts
        network = part.network
        assert isinstance(network, TensorRtNetwork)
        network.lane.busy = True
        try:
            with self._telling("the segment failed"):
                return network.run(
                    work.step, part.inputs[0], part.outputs, prefetched=part.prefetched
                )
        finally:
            network.lane.busy = False

    @contextmanager
    def _telling(self, problem: str) -> Iterator[None]:
        """Turn errors of the driver into ours, and say so where the context is lost.

        Raises:
            BackendError: in place of :class:`CudaError`.
        """
        if self._lost:
            raise BackendError(f"{problem} ({self._lost})")
        try:
            yield
        except CudaError as error:
            if error.sticky:
                self._lost = f"the GPU is lost, the engine must restart: {error}"
                self._on_lost(self._lost)
                raise BackendError(f"{problem} ({self._lost})") from error
            if error.out_of_memory:
                raise BackendError(
                    f"{problem}: the GPU's memory does not suffice ({self._free()})",
                    hint="Unload another network, or give this one a smaller input",
                ) from error
            raise BackendError(f"{problem} ({error})") from error

    def _free(self) -> str:
        try:
            free, total = self._driver.memory()
        except CudaError as error:
            return str(error)
        return f"{free / 2**20:.0f} of {total / 2**20:.0f} MiB are free"

    def _make(
        self, prepared: PreparedNetwork, folder: Path, stem: str, segments: int
    ) -> dict[str, Any]:
        """Build engines, move them to ``folder`` and return the facts that are kept there.

        Raises:
            ModelError: TensorRT cannot take the network.
        """
        device = _only_letters(f"{self._toolkit.version}-{self._driver.device_name()}")
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            request = {
                "source": str(prepared.path),
                "parts": segments,
                "folder": scratch,
                "timing_cache": str(folder / f"timing-{device}.cache"),
                "network": CompiledNetwork(
                    self.name,
                    prepared.key,
                    (),
                    prepared.inputs,
                    prepared.outputs,
                    0,
                ).to_json(),
            }
            with _watched(Path(scratch) / "progress", self.on_progress):
                facts = (
                    self._build(request)
                    if self._build is not None
                    else run_child(
                        "aegis_ros.backends.cuda.build_child",
                        request,
                        timeout_s=_BUILD_TIMEOUT_S,
                        subject=prepared.source.name,
                    )
                )
            if "paths" in facts:
                places = [folder / f"{stem}.{n}.engine" for n in range(len(facts["paths"]))]
                for path, place in zip(facts["paths"], places, strict=True):
                    os.replace(path, place)
                facts["paths"] = [str(place) for place in places]
            noted = Path(scratch) / "facts"
            noted.write_text(json.dumps(facts))
            os.replace(noted, folder / f"{stem}.json")
        return facts


def _end_process(sentence: str) -> None:
    """End the engine: nothing on this context works any more, and a new process gets a new one."""
    print(f"aegis: {sentence}", file=sys.stderr, flush=True)
    os._exit(_EXIT_CODE)


def _only_letters(text: str) -> str:
    return "".join(part if part.isalnum() else "_" for part in text)[:80]


def _read_facts(path: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if "refused" in facts:
        return facts
    stale = "complete_after" not in facts or not all(Path(made).exists() for made in facts["paths"])
    return None if stale else facts


@contextmanager
def _watched(path: Path, told: Progress | None) -> Iterator[None]:
    """Tell what another process writes to ``path`` about its progress."""
    if told is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            now = _read_progress(path)
            if now is not None:
                told(str(now["phase"]), float(now["done"]))

    thread = threading.Thread(target=watch, name="build-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _read_progress(path: Path) -> Mapping[str, Any] | None:
    try:
        now: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return now
