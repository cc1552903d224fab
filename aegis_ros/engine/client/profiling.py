"""Times a network on a lane of a running engine, turn by turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.messages import (
    Done,
    ProfileBegin,
    ProfileBegun,
    ProfileEnd,
    ProfileRuns,
    ProfileSamples,
)
from aegis_ros.engine.probes import inputs_bytes, inputs_in
from aegis_ros.errors import EngineError

__all__ = ["profile"]

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
    samples: list[list[int]] = []
    worst = 0
    total = runs + warmup
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
        while len(samples) < total and not stopping():
            turn = ProfileRuns(timed, total - len(samples), cold, before, others)
            taken = process.ask(turn, ProfileSamples).samples
            samples += taken
            counted = samples[max(warmup, len(samples) - len(taken)) :]
            worst = max([worst, *(sum(row) for row in counted)])
            if not on_progress(max(0, len(samples) - warmup), worst):
                break
    finally:
        try:
            for handle in handles:
                process.ask(ProfileEnd(handle), Done)
        except EngineError as error:
            _log.debug("a measured network was not unloaded: %s", error)
    return np.asarray(samples[warmup:], np.int64).reshape(-1, compiled.segments)


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
