"""Measures a network on a lane, and notes what the machine was like meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from aegis_ros.backends import CompiledNetwork, capabilities_of
from aegis_ros.device import create_monitor
from aegis_ros.engine import Engine
from aegis_ros.errors import StateError
from aegis_ros.wcet import PATTERN, Batch, Cache, Condition
from aegis_ros.wcet.machine import cpu_shares, cpu_times, describe_machine

__all__ = ["Measurement", "measure_batch"]


@dataclass(frozen=True)
class Measurement:
    """How a network is to be measured.

    Attributes:
        condition: noted with the runs; loads on other cores are the caller's to start.
        frames: what each of its inputs is fed, [frames, *largest shape of a frame], one after the
            other; ``None`` for random ones, or for the pattern on which it finds most.
        after: network that runs right before each run, on the same lane.
        beside: networks that run meanwhile, each with the index of its lane.
    """

    condition: Condition = field(default_factory=Condition)
    frames: Sequence[npt.NDArray[np.generic]] | None = None
    after: CompiledNetwork | None = None
    beside: tuple[tuple[CompiledNetwork, int], ...] = ()


def measure_batch(
    engine: Engine,
    compiled: CompiledNetwork,
    lane: int,
    runs: int,
    *,
    go_on: Callable[[int, int], bool],
    how: Measurement | None = None,
) -> Batch:
    """Return runs of a network, as many as there were until it was stopped.

    Args:
        engine: that runs.
        compiled: the network.
        lane: index of the lane.
        runs: wanted.
        go_on: called with (runs done, slowest in nanoseconds); returns False to stop.
        how: alone with random frames and warm caches by default.

    Raises:
        EngineError: the network fails, or the engine is gone.
        StateError: it was stopped before the first run that counts.
    """
    how = how or Measurement()
    frames, condition = how.frames, how.condition
    if frames is None and compiled.busy >= 0:
        frames, condition = compiled.busiest_frames(), replace(condition, inputs=PATTERN)
    capabilities = capabilities_of(compiled.backend)
    machine = describe_machine(distributions=capabilities.distributions)
    before = cpu_times()
    samples = engine.profile(
        compiled,
        lane,
        runs,
        go_on,
        frames=frames,
        cold=condition.cache is Cache.COLD,
        after=how.after,
        beside=how.beside,
    )
    if samples.shape[0] == 0:
        raise StateError("measuring was stopped before the first run that counts")
    machine |= cpu_shares(before, cpu_times())
    machine |= _device_state(gpu=not capabilities.on_cores)
    machine["determinism"] = engine.info().determinism
    return Batch(samples, time.time_ns(), condition, machine)


def _device_state(*, gpu: bool) -> dict[str, str]:
    """Return how fast and how hot the device was at the end, as far as known."""
    state = create_monitor(gpu=gpu).read()
    found = {"device_speed": f"{state.clock_factor:.0%}", "device_state_from": state.source}
    if state.temperature_c is not None:
        found["temperature_c"] = f"{state.temperature_c:.0f}"
    if state.throttled:
        found["throttled"] = "yes"
    return {name: value for name, value in found.items() if value}
