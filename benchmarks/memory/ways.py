"""Ways to run networks whose weights may not all fit, each in a process of its own."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from aegis_ros.backends import CompiledNetwork, create_backend
from aegis_ros.backends.cpu.onnxruntime import OrtNetwork
from aegis_ros.backends.cpu.place import windows_of
from aegis_ros.backends.cpu.streamed import open_segment
from aegis_ros.backends.outputs import output_arrays
from aegis_ros.backends.trial import Runs
from benchmarks.memory.kernel import forget_peak, killed_above, status_bytes

__all__ = ["OTHERS", "Asked", "Job", "Program", "Taken", "running"]

OTHERS = ("mapped", "naive")  # ways that know nothing of an arena
_TIMEOUT_S = 600.0
_BEFORE = 3  # loads after which the runtime and its allocator grow no more by themselves
_MADV_DONTNEED = 4
_MCL_CURRENT_AND_FUTURE = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What a process is to run.

    Attributes:
        way: ``ours`` loads what it is given in the backend; ``mapped`` leaves weights where ONNX
            Runtime maps them; ``naive`` makes a session for each segment of each job.
        networks: that it runs one after the other in a job.
        before: a small network that brings in the runtime's own pages.
        core: that it is pinned to.
    """

    way: str
    networks: tuple[CompiledNetwork, ...]
    before: CompiledNetwork
    core: int


@dataclass(frozen=True, slots=True)
class Job:
    """One pass over all networks of a process.

    Attributes:
        wall_ms: that it took.
        cpu_ms: processor time of it.
        digest: of all outputs.
    """

    wall_ms: float
    cpu_ms: float
    digest: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What the kernel counted of a process.

    Attributes:
        base: with the runtime only, after it has loaded and dropped the small network.
        load_peak: most while the networks were loaded.
        peak: most of all.
        end: at last.
        load_ms: that loading took.
    """

    base: int
    load_peak: int
    peak: int
    end: int
    load_ms: float


class _Way(Protocol):
    """Networks in one of the ways."""

    def run(self, index: int, frame: np.ndarray) -> Sequence[np.ndarray]:
        """Run one of them."""
        ...

    def cool(self) -> None:
        """Have nothing of their weights in memory that need not be."""
        ...


def _all_segments(
    loaded: Runs, frame: np.ndarray, outputs: Sequence[np.ndarray]
) -> Sequence[np.ndarray]:
    for segment in range(loaded.segments):
        loaded.run(segment, [frame], outputs)
    return outputs


class _Ours:
    """What the backend loads."""

    def __init__(self, networks: Sequence[CompiledNetwork]) -> None:
        backend = create_backend("onnxruntime")
        self._loaded: list[Runs] = [backend.load(each, 0) for each in networks]  # type: ignore[misc]
        self._outputs = [output_arrays(each) for each in networks]

    def run(self, index: int, frame: np.ndarray) -> Sequence[np.ndarray]:
        return _all_segments(self._loaded[index], frame, self._outputs[index])

    def cool(self) -> None:
        """What is loaded past the page cache leaves nothing there."""


class _Mapped:
    """Weights where ONNX Runtime maps them; what is touched is resident."""

    def __init__(self, networks: Sequence[CompiledNetwork]) -> None:
        self._files = [each.path for network in networks for each in network.weights]
        self._loaded = [
            OrtNetwork([_session(network, index) for index in range(network.segments)], network)
            for network in networks
        ]
        self._windows = [window for file in self._files for window in windows_of(file)]
        self._outputs = [output_arrays(each) for each in networks]

    def run(self, index: int, frame: np.ndarray) -> Sequence[np.ndarray]:
        return _all_segments(self._loaded[index], frame, self._outputs[index])

    def cool(self) -> None:
        libc = ctypes.CDLL(None)
        for window in self._windows:
            libc.madvise(
                ctypes.c_void_p(window.address), ctypes.c_size_t(window.nbytes), _MADV_DONTNEED
            )
        _forget(self._files)


class _Naive:
    """A session for each segment of each job, which is dropped after it."""

    def __init__(self, networks: Sequence[CompiledNetwork]) -> None:
        self._networks = networks

    def run(self, index: int, frame: np.ndarray) -> Sequence[np.ndarray]:
        network = self._networks[index]
        known: dict[str, Any] = {"frame": frame}
        for segment in range(network.segments):
            session = _session(network, segment)
            names = [item.name for item in session.get_outputs()]
            fed = {item.name: known[item.name] for item in session.get_inputs()}
            known.update(zip(names, session.run(names, fed), strict=True))
        return [known[item.name] for item in network.outputs]

    def cool(self) -> None:
        _forget([each.path for network in self._networks for each in network.weights])


def _session(network: CompiledNetwork, index: int) -> Any:
    return open_segment(network.paths[index], network.weights[index].path, index)[0]


def _forget(files: Sequence[str]) -> None:
    """Have nothing of files in the page cache."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


_WAYS: dict[str, type[Any]] = {"ours": _Ours, "mapped": _Mapped, "naive": _Naive}


class Program:
    """Asks a process.

    Args:
        pipe: to it.
        pid: of it.
    """

    def __init__(self, pipe: Connection, pid: int) -> None:
        """Wait until it has loaded nothing but the small network."""
        self._pipe, self._pid = pipe, pid
        self.base: int = self._answer()

    def load(self) -> float:
        """Have it load its networks; return how long that took, milliseconds.

        Raises:
            EOFError: it has been killed.
        """
        self._pipe.send("load")
        return float(self._answer())

    def run(self, *, cold: bool) -> Job:
        """Have it run all of its networks once.

        Raises:
            EOFError: it has been killed.
        """
        self._pipe.send("cold" if cold else "warm")
        found: Job = self._answer()
        return found

    def counted(self, field: str) -> int:
        """Return what the kernel says of its memory now, bytes."""
        return status_bytes(self._pid, field)

    def _answer(self) -> Any:
        if not self._pipe.poll(_TIMEOUT_S):
            raise SystemExit(f"a process says nothing for {_TIMEOUT_S:.0f} s")
        return self._pipe.recv()


@contextmanager
def running(asked: Asked, room_bytes: int | None) -> Iterator[tuple[Program, list[int]]]:
    """Yield a process in one of the ways, and the peaks for which it was killed; end it.

    Args:
        asked: what it runs.
        room_bytes: beyond its base; it is killed above. ``None`` for no limit.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, asked), daemon=True)
    process.start()
    theirs.close()
    assert process.pid is not None
    try:
        program = Program(ours, process.pid)
        limit = 2**62 if room_bytes is None else program.base + room_bytes
        with killed_above(process.pid, limit) as killed:
            yield program, killed
    finally:
        ours.close()
        process.join(timeout=10.0)
        process.kill()
        process.join()


def _serve(pipe: Connection, asked: Asked) -> None:
    os.sched_setaffinity(0, {asked.core})
    libc = ctypes.CDLL(None)
    if asked.way not in OTHERS and hasattr(libc, "mlockall"):
        libc.mlockall(_MCL_CURRENT_AND_FUTURE)  # as the engine does
    for _ in range(_BEFORE):
        _Ours([asked.before])
    chance = np.random.default_rng(3)
    frames = [
        chance.integers(0, 256, each.inputs[0].max_shape, np.uint8) for each in asked.networks
    ]
    gc.collect()
    forget_peak(os.getpid())
    pipe.send(status_bytes(os.getpid(), "VmRSS"))
    way: _Way | None = None
    while True:
        try:
            wanted = pipe.recv()
        except EOFError:
            return
        if way is None:
            began = time.monotonic_ns()
            way = _WAYS[asked.way](asked.networks)
            pipe.send((time.monotonic_ns() - began) / 1e6)
            continue
        if wanted == "cold":
            way.cool()
        pipe.send(_job(way, frames))


def _job(way: _Way, frames: Sequence[np.ndarray]) -> Job:
    digest = hashlib.sha256()
    began, cpu = time.monotonic_ns(), time.process_time_ns()
    for index, frame in enumerate(frames):
        for output in way.run(index, frame):
            digest.update(output.tobytes())
    ended, cpu_end = time.monotonic_ns(), time.process_time_ns()
    return Job((ended - began) / 1e6, (cpu_end - cpu) / 1e6, digest.hexdigest())
