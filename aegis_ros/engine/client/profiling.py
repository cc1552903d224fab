"""Times a network on a lane of a running engine, turn by turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.generators import CompiledGenerator, shapes_of, steps_of
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.client.requests import without_texts
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.messages import (
    Done,
    ProfileBegin,
    ProfileBegun,
    ProfileEnd,
    ProfileGenerator,
    ProfileRuns,
    ProfileSamples,
)
from aegis_ros.engine.probes import inputs_bytes, inputs_in
from aegis_ros.errors import EngineError
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.measuring import MeasuredBucket

__all__ = ["measure_generator", "profile"]

_log = logging.getLogger(__name__)


def profile(
    process: EngineProcess,
    compiled: CompiledNetwork,
    lane: int,
    runs: int,
    *,
    on_progress: Callable[[int, int], bool],
    warmup: int,
    frames: Sequence[npt.NDArray[np.generic]] | None,
    cold: bool,
    after: CompiledNetwork | None,
    beside: Sequence[tuple[CompiledNetwork, int]],
    stopping: Callable[[], bool],
) -> npt.NDArray[np.int64]:
    """Time a network in an engine process, until ``stopping`` returns true.

    The other arguments are those of :meth:`~aegis_ros.engine.EngineClient.profile`.

    Returns:
        int64 [runs, segments], nanoseconds; fewer runs if stopped.

    Raises:
        EngineError: the network fails, or the engine is gone.
    """
    handles: list[int] = []

    def begin(
        network: CompiledNetwork,
        where: int,
        fed: Sequence[npt.NDArray[np.generic]] | None = None,
    ) -> int:
        handles.append(_begin(process, network, where, fed))
        return handles[-1]

    try:
        timed = begin(compiled, lane, frames)
        before = begin(after, lane, after.busiest_frames()) if after is not None else 0
        others = tuple(begin(network, where, network.busiest_frames()) for network, where in beside)
        turn = ProfileRuns(timed, 0, cold, before, others)
        samples = _timed(
            process, turn, runs, on_progress=on_progress, warmup=warmup, stopping=stopping
        )
    finally:
        _end(process, handles)
    return np.asarray(samples, np.int64).reshape(-1, compiled.segments)


def measure_generator(
    process: EngineProcess,
    compiled: CompiledGenerator,
    lane: int,
    *,
    slots: int,
    runs: int,
    on_progress: Callable[[int, int], bool],
    warmup: int,
    cold: bool,
    beside: Sequence[tuple[CompiledNetwork, int]],
    stopping: Callable[[], bool],
) -> list[MeasuredBucket]:
    """Time the buckets of a language model in an engine process, until ``stopping`` returns true.

    The other arguments are those of :meth:`~aegis_ros.engine.EngineClient.measure_generator`.

    Raises:
        ConfigError: its context has no room for a chunk.
        EngineError: it fails, or the engine is gone.
    """
    facts = compiled.facts
    shapes = shapes_of(facts, slots)
    cache = KvShape(slots, facts.context, facts.kv_bytes_per_token)
    handles: list[int] = []
    try:
        request = ProfileGenerator(without_texts(compiled), lane, shapes, cache)
        handles.append(process.ask(request, ProfileBegun).handle)
        for network, where in beside:
            handles.append(_begin(process, network, where, network.busiest_frames()))
        turn = ProfileRuns(handles[0], 0, cold, 0, tuple(handles[1:]))
        samples = _timed(
            process, turn, runs, on_progress=on_progress, warmup=warmup, stopping=stopping
        )
    finally:
        _end(process, handles)
    begins, steps = steps_of(compiled, shapes)
    table = np.asarray(samples, np.int64).reshape(-1, steps)
    columns = np.split(table, begins[1:], axis=1)
    return [
        MeasuredBucket(shape.prefill, shape.tokens, taken, shape.image)
        for shape, taken in zip(shapes, columns, strict=True)
    ]


def _timed(
    process: EngineProcess,
    turn: ProfileRuns,
    runs: int,
    *,
    on_progress: Callable[[int, int], bool],
    warmup: int,
    stopping: Callable[[], bool],
) -> list[list[int]]:
    """Return the samples of so many runs after those that warm up; fewer if stopped."""
    samples: list[list[int]] = []
    worst = 0
    total = runs + warmup
    while len(samples) < total and not stopping():
        asked = msgspec.structs.replace(turn, runs=total - len(samples))
        taken = process.ask(asked, ProfileSamples).samples
        samples += taken
        counted = samples[max(warmup, len(samples) - len(taken)) :]
        worst = max([worst, *(sum(row) for row in counted)])
        if not on_progress(max(0, len(samples) - warmup), worst):
            break
    return samples[warmup:]


def _end(process: EngineProcess, handles: Sequence[int]) -> None:
    """Unload what was measured."""
    try:
        for handle in handles:
            process.ask(ProfileEnd(handle), Done)
    except EngineError as error:
        _log.debug("a measured network was not unloaded: %s", error)


def _begin(
    process: EngineProcess,
    compiled: CompiledNetwork,
    lane: int,
    frames: Sequence[npt.NDArray[np.generic]] | None,
) -> int:
    """Load a network to be measured, and return its handle."""
    if frames is None:
        return process.ask(ProfileBegin(compiled, lane), ProfileBegun).handle
    count = len(frames[0])
    memory = SharedMemory(inputs_bytes(compiled, count))
    try:
        for place, given in zip(inputs_in(memory, compiled, count), frames, strict=True):
            place[...] = given
        request = ProfileBegin(compiled, lane, count)
        return process.ask(request, ProfileBegun, (memory.fd,)).handle
    finally:
        memory.close()
