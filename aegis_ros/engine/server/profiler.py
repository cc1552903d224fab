"""Times networks on the engine's lanes, between the jobs that run there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import LoadedNetwork, Part, Runtime, Work
from aegis_ros.backends.generators import generating, steps_of
from aegis_ros.backends.probes import random_frame
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.messages import (
    Answer,
    Done,
    ProfileBegin,
    ProfileBegun,
    ProfileEnd,
    ProfileGenerator,
    ProfileRuns,
    ProfileSamples,
    Refused,
)
from aegis_ros.engine.probes import inputs_bytes, inputs_in
from aegis_ros.engine.server.loaded import ProfileRun
from aegis_ros.engine.server.loop import EngineLoop
from aegis_ros.engine.slots import OutputSlots
from aegis_ros.errors import BackendError

__all__ = ["Profiler"]

_FRAMES = 4
_TURN_S = 0.2
# For so many parts that a lane computes, one stays free: the kernel takes 50 ms in a second from
# real-time threads that leave normal ones none, which no schedulable set of tasks does.
_GAP = 8
_MOST_SAMPLES = 8_000  # of one answer, so that it fits into a message
_BELOW = 253  # of random bytes: larger ones mean something to backends for tests
_SWEEP_BYTES = 96 * 1024 * 1024  # beyond the last-level caches of what robots compute on


@dataclass(slots=True)
class _Measured:
    network: LoadedNetwork
    lane: int
    parts: list[Part]  # one a frame; it runs with one after the other
    undo: ExitStack
    colds: frozenset[int] = frozenset()  # steps before which it becomes cold again
    runs: int = 0
    last_ns: int = 0  # what its last run took


class Profiler:
    """Answers the requests that measure; on the control thread, beside the loop.

    Args:
        backend: what runs the work of the lanes, opened.
        loop: the loop that owns the lanes.
        cores: core of each lane, ``None`` for one that may run anywhere.
    """

    def __init__(self, backend: Runtime, loop: EngineLoop, cores: Sequence[int | None]) -> None:
        """Measure nothing yet."""
        self._backend = backend
        self._loop = loop
        self._cores = tuple(cores)
        self._measured: dict[int, _Measured] = {}
        self._swept: npt.NDArray[np.uint8] | None = None
        self._chance = np.random.default_rng()

    def begin(self, request: ProfileBegin, fds: list[int]) -> Answer:
        """Load a network to be measured, with random or given frames of its largest size.

        Raises:
            BackendError: it cannot be loaded; nothing is left behind.
        """
        compiled = request.compiled
        count = request.frames or _FRAMES
        memory = SharedMemory(inputs_bytes(compiled, count), fds.pop(0) if request.frames else None)
        frames = inputs_in(memory, compiled, count)
        if not request.frames:
            generator = np.random.default_rng(request.seed)
            for stack in frames:
                for frame in stack:
                    frame[...] = random_frame(generator, frame.shape, str(frame.dtype), _BELOW)
        memory.close()  # the pages stay as long as the frames
        slots = OutputSlots(compiled, 1)
        with ExitStack() as undo:
            undo.callback(slots.close)
            self._backend.pin(memory.bytes)  # as frames of a channel are
            undo.callback(self._backend.unpin, memory.bytes)
            network = self._backend.load(compiled, request.lane)
            undo.callback(self._backend.unload, network)
            handle = max(self._measured, default=0) + 1
            parts = [
                Part(network, [stack[turn] for stack in frames], slots.arrays(0))
                for turn in range(count)
            ]
            self._measured[handle] = _Measured(network, request.lane, parts, undo.pop_all())
        return ProfileBegun(handle)

    def begin_generator(self, request: ProfileGenerator) -> Answer:
        """Load a language model to be measured, at the end of a full context.

        Raises:
            BackendError: it cannot be loaded; nothing is left behind.
        """
        from aegis_ros.engine.server.speaking import Rehearsal  # few engines have use for it

        network = generating(self._backend).load_generator(
            request.compiled, request.lane, request.shapes, request.cache
        )
        with ExitStack() as undo:
            undo.callback(self._backend.unload, network)
            facts = request.compiled.facts
            rehearsal = Rehearsal(
                request.shapes, request.cache, facts.vocabulary, facts.image_shape
            )
            undo.callback(rehearsal.close)
            part = Part(network, [], (), rehearsal)
            colds = frozenset(steps_of(request.compiled, request.shapes)[0][1:])
            handle = max(self._measured, default=0) + 1
            self._measured[handle] = _Measured(network, request.lane, [part], undo.pop_all(), colds)
        return ProfileBegun(handle)

    def run(self, request: ProfileRuns) -> Answer:
        """Time a few runs, a fraction of a second long, so that other requests get a turn."""
        measured = self._measured[request.handle]
        before = self._measured[request.after] if request.after else None
        most = min(request.runs, max(1, _MOST_SAMPLES // measured.network.segments))
        others = [self._measured[each] for each in request.beside]
        samples: list[list[int]] = []
        try:
            with self._kept_busy(others):
                end = time.monotonic() + _TURN_S
                while len(samples) < most and (not samples or time.monotonic() < end):
                    if request.cold:
                        self._sweep(measured.lane)
                    spent = sum(self._whole(before)) if before is not None else 0
                    # Begun anywhere in a run of the other: two loops by themselves can keep step.
                    phase_ns = max((other.last_ns for other in others), default=0)
                    time.sleep(phase_ns / 1e9 * self._chance.random())
                    row = self._whole(measured, cold=request.cold)
                    samples.append(row)
                    time.sleep((spent + sum(row)) / 1e9 / _GAP)
        except BackendError as error:
            return Refused(f"the network failed while it was measured ({error.problem})")
        return ProfileSamples(samples)

    def end(self, request: ProfileEnd) -> Answer:
        """Unload a network that was measured."""
        self._measured.pop(request.handle).undo.close()
        return Done()

    @contextmanager
    def _kept_busy(self, others: list[_Measured]) -> Iterator[None]:
        """Run networks again and again on their lanes; each has run once before it begins."""
        ended = threading.Event()
        ran = [threading.Event() for _ in others]
        problems: list[BackendError] = []

        def run(other: _Measured, once: threading.Event) -> None:
            try:
                while not ended.is_set():
                    time.sleep(sum(self._whole(other)) / 1e9 / _GAP)
                    once.set()
            except BackendError as error:
                problems.append(error)
            finally:
                once.set()

        threads = [
            threading.Thread(target=run, args=each, name="beside", daemon=True)
            for each in zip(others, ran, strict=True)
        ]
        try:
            for thread in threads:
                thread.start()
            for once in ran:
                once.wait()
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        if problems:
            raise problems[0]

    def _whole(self, measured: _Measured, *, cold: bool = False) -> list[int]:
        """Run a network once; return the nanoseconds of each segment.

        Args:
            measured: the network.
            cold: whether its data is driven out of the caches before each bucket but the first.

        Raises:
            BackendError: it failed.
        """
        row = []
        for segment in range(measured.network.segments):
            if cold and segment in measured.colds:
                self._sweep(measured.lane)
            taken, error = self._timed(measured, segment)
            if error:
                raise BackendError(error)
            row.append(taken)
        measured.runs += 1
        measured.last_ns = sum(row)
        return row

    def _sweep(self, lane: int) -> None:
        """Fill the caches of a lane's core with something else, from that very core."""
        core = self._cores[lane] if lane < len(self._cores) else None
        before = os.sched_getaffinity(0)
        if core is not None:
            with suppress(OSError):
                os.sched_setaffinity(0, {core})
        try:
            if self._swept is None:
                self._swept = np.zeros(_SWEEP_BYTES, np.uint8)
            self._swept += 1  # reads and writes every line
        finally:
            with suppress(OSError):
                os.sched_setaffinity(0, before)

    def _timed(self, measured: _Measured, segment: int) -> tuple[int, str]:
        done = threading.Event()
        result: list[tuple[int, str]] = []

        def finish(taken: int, error: str) -> None:
            result.append((taken, error))
            done.set()

        part = measured.parts[measured.runs % len(measured.parts)]
        work = Work([part], step=segment)
        self._loop.call(lambda: self._loop.profile(measured.lane, ProfileRun(work, finish)))
        done.wait()
        return result[0]
