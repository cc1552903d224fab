"""The process of one backend: loads networks and runs them when it is asked to."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from aegis_ros.backends import CompiledNetwork, LoadedNetwork, Part, Work, create_backend
from aegis_ros.backends.base import Completion
from aegis_ros.backends.outputs import output_arrays
from aegis_ros.spec import LaneSpec

__all__ = ["Runner", "Started", "running"]

_TIMEOUT_S = 120.0
_MIB = 1024.0 * 1024.0


@dataclass(frozen=True)
class Started:
    """What it took to have something ready.

    Attributes:
        ms: until it was.
        mib: resident memory that came with it.
    """

    ms: float
    mib: float


class Runner:
    """Asks the process of one backend; the backend itself is ``opened`` then.

    Args:
        pipe: to the process.
    """

    def __init__(self, pipe: Connection) -> None:
        """Wait until the backend is open."""
        self._pipe = pipe
        self.opened: Started = self._answer(Started)
        self.networks = 0  # that are loaded

    def load(self, network: CompiledNetwork) -> Started:
        """Load the next network and run it once."""
        self._pipe.send(("load", network.to_json()))
        started: Started = self._answer(Started)
        self.networks += 1
        return started

    def run(self, network: int, seconds: float) -> list[int]:
        """Run a network for a while, at least once; return the times of execution, nanoseconds."""
        self._pipe.send(("run", network, seconds))
        taken: list[int] = self._answer(list)
        return taken

    def _answer(self, kind: type[Any]) -> Any:
        if not self._pipe.poll(_TIMEOUT_S):
            raise RuntimeError(f"a backend's process says nothing for {_TIMEOUT_S:.0f} s")
        answer = self._pipe.recv()
        if not isinstance(answer, kind):
            raise RuntimeError(str(answer))
        return answer


@contextmanager
def running(backend: str, core: int) -> Iterator[Runner]:
    """Yield the runner of a backend whose lane is pinned to a core; its process ends with it."""
    context = multiprocessing.get_context("spawn")  # none of this process' runtimes in it
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(backend, core, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Runner(ours)
    finally:
        ours.close()
        process.join(5.0)
        process.kill()


class _Loaded:
    """A network with a frame and arrays for its outputs."""

    def __init__(self, network: LoadedNetwork, compiled: CompiledNetwork) -> None:
        generator = np.random.default_rng(0)
        self.part = Part(
            network,
            [
                generator.integers(0, 256, item.max_shape, np.uint8)
                if item.dtype == "uint8"
                else generator.random(item.max_shape).astype(item.dtype)
                for item in compiled.inputs
            ],
            output_arrays(compiled),
        )


def _serve(name: str, core: int, pipe: Connection) -> None:
    before = time.perf_counter(), _resident()
    ended: SimpleQueue[Completion] = SimpleQueue()
    backend = create_backend(name)
    backend.open((LaneSpec("bench", core),), lambda token, done: ended.put(done), 0)
    getattr(backend, "warm", lambda: None)()
    pipe.send(_since(*before))
    networks: list[_Loaded] = []

    def once(loaded: _Loaded) -> int:
        backend.start(0, Work([loaded.part]))
        done = ended.get(timeout=_TIMEOUT_S)
        if done.error:
            raise RuntimeError(done.error)
        return done.finished_ns - done.started_ns

    def load(values: Mapping[str, Any]) -> Started:
        began = time.perf_counter(), _resident()
        compiled = CompiledNetwork.from_json(values)
        networks.append(_Loaded(backend.load(compiled, 0), compiled))
        once(networks[-1])
        return _since(*began)

    def run(index: int, seconds: float) -> Sequence[int]:
        end = time.perf_counter() + seconds
        taken = [once(networks[index])]
        while time.perf_counter() < end:
            taken.append(once(networks[index]))
        return taken

    asked: dict[str, Callable[..., Any]] = {"load": load, "run": run}
    try:
        while True:
            what, *arguments = pipe.recv()
            try:
                pipe.send(asked[what](*arguments))
            except Exception as error:  # said by whoever asked
                pipe.send(f"{name}: {type(error).__name__}: {error}")
    except (EOFError, KeyboardInterrupt):
        backend.close()


def _since(began: float, resident: int) -> Started:
    return Started((time.perf_counter() - began) * 1e3, (_resident() - resident) / _MIB)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
