"""Lanes of one NVIDIA GPU: a stream and a thread each, whatever runtime enqueues the segments.

A lane's thread puts the copy of the frame, the segment and the copies out on a stream, and waits
in the driver until an event behind them has happened, asleep or spinning as the lane's ``wait``
says; the loop of the engine is never kept waiting. A job that finds the lane free is put on the
stream by whoever hands it over, where that is a matter of some launches: the GPU need not wait for
the lane's thread to wake up. A job that finds the lane busy has its frame copied meanwhile.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays, Completion, Ended, LoadedNetwork, Work
from aegis_ros.backends.cuda.driver import CudaDriver, CudaError
from aegis_ros.backends.cuda.frames import FrameMemory
from aegis_ros.backends.cuda.lanes import GpuLane, make_lanes
from aegis_ros.backends.cuda.network import GpuNetwork
from aegis_ros.backends.worker import CpuLane, describe_lanes, open_lanes
from aegis_ros.errors import BackendError
from aegis_ros.spec import LaneSpec, Wait

__all__ = ["CudaBackend", "driver_busy"]

_EXIT_CODE = 70
driver_busy = threading.Lock()  # held while calls of this process may keep the driver busy for long
_SEGMENT = "the segment failed"


class CudaBackend:
    """The run-time half of a backend on the GPU, but for loading.

    Args:
        driver: the GPU.
        on_lost: called with a sentence when the GPU's context is lost and no call on it can work
            any more. Ends the process if not given: whoever started the engine starts a new one.
    """

    def __init__(self, driver: CudaDriver, on_lost: Callable[[str], None] | None = None) -> None:
        """Hold no lane yet."""
        self._driver = driver
        self._on_lost = on_lost or _end_process
        self._lost = ""
        self._threads: list[CpuLane] = []
        self._lanes: list[GpuLane] = []
        self._waits = ""
        self._frames = FrameMemory(self._driver)
        self._loaded: list[GpuNetwork] = []
        # Whether nothing but launches is ever put on a stream: what a runtime submits by itself may
        # take memory, for which the driver lets all other calls wait.
        self._all_replayed = False
        self._undo = ExitStack()  # of what ``open`` made

    @property
    def lanes(self) -> tuple[GpuLane, ...]:
        """The lanes that are open."""
        return tuple(self._lanes)

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Create streams, events and a thread a lane; earlier lanes are the more urgent ones.

        Raises:
            BackendError: the GPU cannot be used, or not be divided among the lanes.
        """
        with self._reporting("the GPU cannot be used"), ExitStack() as undo:
            self._driver.attach()
            undo.callback(self._driver.close)
            made = make_lanes(self._driver, lanes, self._frames, undo)
            self._threads = open_lanes(lanes, self._run, ended, priority)
            self._lanes = made
            self._waits = _described(lanes)
            self._undo = undo.pop_all()

    def pin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Lock its pages, so that copies read them directly; where that fails, the CPU copies.

        Raises:
            BackendError: the GPU is lost.
        """
        with self._changing("frames cannot be shared with the GPU"):
            self._driver.attach()
            self._frames.pin(memory)

    def unpin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Let its pages go, once no copy reads them.

        Raises:
            BackendError: as the driver says.
        """
        with self._changing("frames cannot be unregistered from the GPU"):
            self._driver.attach()
            for lane in self._lanes:
                self._driver.synchronize_stream(lane.copies)
            self._frames.unpin(memory)

    def prefetch(self, network: LoadedNetwork, inputs: Arrays) -> bool:
        """Begin to copy a waiting job's frame while the lane computes for another one."""
        assert isinstance(network, GpuNetwork)
        try:
            with self._reporting("the frame cannot be copied"):
                return network.prefetch(inputs[0])
        except BackendError:
            return False  # the job will copy it itself, and report it if that fails, too

    def start(self, lane: int, work: Work) -> None:
        """Hand the segment to the lane's thread, which has to wake up; the GPU begins before that.

        Nothing is put on the stream here while a network is loaded or unloaded, since the driver
        may then keep any call waiting for long.
        """
        part = work.parts[0]
        network = part.network
        assert isinstance(network, GpuNetwork)
        if work.step == 0:
            network.claim()
        thread = self._threads[lane]
        began_ns = 0
        if self._all_replayed and not thread.is_current() and driver_busy.acquire(blocking=False):
            try:
                now = time.monotonic_ns()
                if network.begin(work.step, part.inputs[0], prefetched=part.prefetched):
                    network.lane.busy = True
                    began_ns = now
            finally:
                driver_busy.release()
        thread.start(work, began_ns)

    def unload(self, network: LoadedNetwork) -> None:
        """Release its memory."""
        assert isinstance(network, GpuNetwork)
        with self._changing("the network cannot be unloaded"):
            self._loaded.remove(network)
            self._all_replayed = all(all(each.graphs) for each in self._loaded)
            network.close()

    def multiprocessors(self) -> int:
        """Return how many of the GPU can be divided among lanes; 0 where none can."""
        return self._driver.multiprocessors()

    def device_id(self) -> str:
        """Return which GPU of this host it is, or which part of one.

        ``CUDA_VISIBLE_DEVICES`` has several names for one GPU; its place on the bus is the same for
        all processes. Parts that the hardware keeps apart (MIG) share that, and have names of
        their own.
        """
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
        address = self._driver.address().lower()
        part = f"-{first}" if address and first.startswith("MIG-") else ""
        return f"gpu-{address or first or 0}{part}"

    def determinism(self) -> str:
        """Say what the lanes were permitted."""
        has = "with priorities" if self._driver.priorities else "without priorities"
        graphs = "CUDA graphs" if self._driver.graphs else "no CUDA graphs"
        parts = ", ".join(str(lane.sms) for lane in self._lanes if lane.partition)
        divided = f"; multiprocessors of the lanes: {parts}" if parts else ""
        return (
            f"{describe_lanes(self._threads)}; streams {has}, {graphs} ({self._driver.name})"
            f"{divided}{self._waits}"
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
        with self._reporting("the GPU cannot be released"), undo:
            self._driver.attach()
            undo.callback(self._frames.close)
            for network in loaded:
                undo.callback(network.close)

    def _keep(self, network: GpuNetwork) -> GpuNetwork:
        """Remember a network that was loaded, to give it back with the lanes."""
        self._loaded.append(network)
        self._all_replayed = all(all(each.graphs) for each in self._loaded)
        return network

    def _run(self, work: Work, completion: Completion) -> None:
        (part,) = work.parts
        network = part.network
        assert isinstance(network, GpuNetwork)
        if self._lost:
            raise BackendError(f"{_SEGMENT} ({self._lost})")
        network.lane.busy = True
        try:
            completion.shapes = network.run(
                work.step, part.inputs[0], part.outputs, prefetched=part.prefetched
            )
        except CudaError as error:
            raise self._reported(_SEGMENT, error) from error
        finally:
            network.lane.busy = False

    @contextmanager
    def _changing(self, problem: str) -> Iterator[None]:
        """Do what may keep the driver busy; errors as with :meth:`_reporting`."""
        with driver_busy, self._reporting(problem):
            yield

    @contextmanager
    def _reporting(self, problem: str) -> Iterator[None]:
        """Turn errors of the driver into ours, and say so where the context is lost.

        Raises:
            BackendError: in place of :class:`CudaError`.
        """
        if self._lost:
            raise BackendError(f"{problem} ({self._lost})")
        try:
            yield
        except CudaError as error:
            raise self._reported(problem, error) from error

    def _reported(self, problem: str, error: CudaError) -> BackendError:
        """Return an error of the driver as ours; say so where the context is lost."""
        if error.sticky:
            self._lost = f"the GPU is lost, the engine must restart: {error}"
            self._on_lost(self._lost)
            return BackendError(f"{problem} ({self._lost})")
        if error.out_of_memory:
            return BackendError(
                f"{problem}: the GPU's memory does not suffice ({self._free()})",
                hint="Unload another network, or give this one a smaller input",
            )
        return BackendError(f"{problem} ({error})")

    def _free(self) -> str:
        try:
            free, total = self._driver.memory()
        except CudaError as error:
            return str(error)
        return f"{free / 2**20:.0f} of {total / 2**20:.0f} MiB are free"


def _described(lanes: Sequence[LaneSpec]) -> str:
    """Return how the lanes wait and what that takes; nothing of lanes that sleep."""
    words = {
        Wait.SPIN: "keep a core busy while the GPU computes for them (wait: spin)",
        Wait.AUTO: "keep their core busy for the last part of each segment (wait: auto)",
    }
    found = []
    for wait, what in words.items():
        names = ", ".join(lane.name for lane in lanes if lane.wait is wait)
        if names:
            found.append(f"; lanes that {what}: {names}")
    return "".join(found)


def _end_process(sentence: str) -> None:
    """End the engine: nothing on this context works any more, and a new process gets a new one."""
    print(f"aegis: {sentence}", file=sys.stderr, flush=True)
    os._exit(_EXIT_CODE)
