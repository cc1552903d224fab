"""A device that takes declared times and computes nothing: for tests and for planning."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aegis_ros.backends.base import (
    MOST_INPUTS,
    Capabilities,
    CompiledNetwork,
    Completion,
    LoadedNetwork,
    Work,
)
from aegis_ros.backends.worker import OnCores
from aegis_ros.errors import BackendError
from aegis_ros.memory import Footprint

if TYPE_CHECKING:
    from aegis_ros.network.preparing import PreparedNetwork

__all__ = ["SimulatedBackend", "lasting"]

_BYTES_PER_SECOND = 5e9
_RAISE, _HANG, _CRASH = 255, 254, 253
_LASTS = "#ns="
_REPORTS = "#reports"


@dataclass
class _Simulated:
    segment_ns: tuple[int, ...]
    complete_after: tuple[int, ...] = ()
    reports: bool = False
    calls: int = field(default=0)

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self.segment_ns)

    @property
    def note(self) -> str:
        """Nothing is chosen when it is loaded."""
        return ""


def lasting(path: str, *segment_ns: int, reports: bool = False) -> tuple[str, ...]:
    """Return :attr:`CompiledNetwork.paths` of a network whose segments take the given times.

    Args:
        path: of the network, for people; nothing is read from it.
        segment_ns: execution time of each segment.
        reports: whether its outputs become complete one after the other, each but the last
            reported before the end.
    """
    path += _REPORTS if reports else ""
    return tuple(f"{path}{_LASTS}{time_ns}" for time_ns in segment_ns)


def _segment_ns(path: str) -> int:
    """Return the time that :func:`lasting` wrote into a path.

    Raises:
        BackendError: there is none.
    """
    _, found, time_ns = path.rpartition(_LASTS)
    if not found or not time_ns.isdecimal():
        raise BackendError("the simulated device cannot load this network")
    return int(time_ns)


class SimulatedBackend(OnCores):
    """Sleeps for each segment's time and fills the outputs with the number of the run.

    Faults can be tried on it: a frame whose first byte is 255 makes the run raise, 254 makes it
    hang, 253 ends the whole process, and a model file with ``unloadable`` in its name is refused.
    """

    name = "simulated"
    capabilities = Capabilities(inputs=MOST_INPUTS, on_cores=True)

    def compile(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        """Guess an execution time from the network's size, in equal segments."""
        guess_ns = int(
            (prepared.weight_bytes + prepared.activation_bytes) / _BYTES_PER_SECOND * 1e9
        )
        return CompiledNetwork(
            backend=self.name,
            key=prepared.key,
            paths=lasting(
                str(prepared.source), *(-(-max(guess_ns, 100_000) // segments),) * segments
            ),
            inputs=prepared.inputs,
            outputs=prepared.outputs,
            footprint=Footprint(prepared.weight_bytes, prepared.activation_bytes),
            cuts="equal" if segments > 1 else "",
        )

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Remember the times.

        Raises:
            BackendError: the paths hold none.
        """
        if "unloadable" in "".join(compiled.paths):
            raise BackendError("the simulated device cannot load this network")
        times_ns = tuple(_segment_ns(path) for path in compiled.paths)
        reports = any(_REPORTS in path for path in compiled.paths)
        return _Simulated(times_ns, compiled.complete_after, reports)

    @staticmethod
    def run(work: Work, completion: Completion) -> None:
        """Sleep for the segment's time, unless a fault is asked for."""
        (part,) = work.parts
        network = part.network
        assert isinstance(network, _Simulated)
        frame = part.inputs[0] if part.inputs else None
        first = frame.reshape(-1).view(np.uint8)[0] if frame is not None and frame.size else 0
        if first == _RAISE:
            raise BackendError("the simulated device is set to fail")
        if first == _HANG:
            time.sleep(3600.0)
        if first == _CRASH:
            os._exit(70)
        network.calls += work.step == 0
        last = network.segments - 1
        after = network.complete_after or (last,) * len(part.outputs)
        ready = [index for index, complete in enumerate(after) if complete == work.step]
        pause_s = network.segment_ns[work.step] / 1e9
        if network.reports and work.partial is not None:
            pause_s /= max(1, len(ready))
            for index in ready[:-1]:
                time.sleep(pause_s)
                part.outputs[index].fill(network.calls)
                work.partial(work.token, 0, 1 << index)
            ready = ready[-1:]
        time.sleep(pause_s)
        for index in ready:
            part.outputs[index].fill(network.calls)

    def unload(self, network: LoadedNetwork) -> None:
        """Nothing was allocated."""

    def device_name(self) -> str:
        """Say that nothing is real."""
        return "simulated device"
