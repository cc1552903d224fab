"""The ways to share a device by name, and what every one of them works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends import CompiledNetwork, capabilities_of
from aegis_ros.engine import JobResult
from aegis_ros.spec import DeviceSpec, LaneSpec, Wait
from benchmarks.compare.rounds import Arm, Round
from benchmarks.compare.workload import Task, Workload
from benchmarks.gpu.cameras import Book

__all__ = ["AUTO", "LANES", "SHARES", "SOLO", "WAYS", "Bench", "Running", "arm_of"]

WAYS = {
    "solo": "each network alone",
    "processes": "a process a network",
    "streams": "a stream a network",
    "queue": "one queue",
    "aegis": "aegis_ros, one lane",
    "aegis_2": "aegis_ros, two lanes",
    "aegis_3": "aegis_ros, three lanes",
    "aegis_shares": "aegis_ros, two shares",
    "aegis_auto": "aegis_ros, chosen lanes",
}
SOLO = "solo"
SHARES = "aegis_shares"
AUTO = "aegis_auto"
LANES = {"aegis": 1, "aegis_2": 2, "aegis_3": 3, SHARES: 2, AUTO: 0}  # 0: as it chooses


@dataclass(frozen=True)
class Bench:
    """What every round works with.

    Attributes:
        workload: what runs.
        compiled: each network, whole.
        state: profiles and caches of the orchestrator.
        folder: for configurations.
        cores: processor cores the cameras may run on; empty for any.
        lane_cores: cores of the lanes, in their order; those beyond may run on any.
        share: multiprocessors of the first of two lanes that divide the device; 0 for none.
        choose_s: time to measure in where lanes are chosen; ``None`` for as long as it takes.
    """

    workload: Workload
    compiled: Mapping[str, CompiledNetwork]
    state: Path
    folder: Path
    cores: tuple[int, ...] = ()
    lane_cores: tuple[int, ...] = ()
    share: int = 0
    choose_s: float | None = None

    def device(self, lanes: Sequence[LaneSpec], priority: int, backend: str = "") -> DeviceSpec:
        """Return the device with these lanes."""
        return DeviceSpec(
            backend or str(self.workload.device["backend"]),
            tuple(lanes),
            realtime_priority=priority,
            wait=Wait(self.workload.device.get("wait", Wait.SLEEP)),
        )

    def usual_core(self, lane: int, lanes: int) -> int | None:
        """Return the core of a lane of the usual ways.

        Where cores are the device, several lanes may run on any, as the kernel decides.

        Args:
            lane: which.
            lanes: how many there are in all.
        """
        if capabilities_of(str(self.workload.device["backend"])).on_cores:
            return self.workload.core if lanes == 1 else None
        return self.lane_cores[lane] if lane < len(self.lane_cores) else None

    def images(self, tasks: Sequence[Task]) -> dict[str, npt.NDArray[np.uint8]]:
        """Return an image for the camera of each task."""
        chance = np.random.default_rng(0)
        return {
            task.name: chance.integers(0, 256, self.compiled[task.network].max_shape, np.uint8)
            for task in tasks
        }

    def configured(self, way: str) -> Workload:
        """Return the workload with the lanes of one way of the orchestrator."""
        lanes: list[dict[str, Any]] = []
        for at in range(LANES[way]):
            core = self.lane_cores[at] if at < len(self.lane_cores) else None
            lanes.append({"name": f"lane{at + 1}", "cpu": core})
        if way == SHARES:
            lanes[0]["sms"] = self.share
        return replace(self.workload, device={**self.workload.device, "lanes": lanes or "auto"})


@dataclass
class Running:
    """A way that takes frames.

    Attributes:
        book: what is written into now.
        send: hands over a task's frame.
        pids: processes it consists of, besides this one.
        finish: completes what the round found; before the way ends.
        reported: frames left out so far of which that was said, by task.
        dropped: frames that a newer one took the place of, by task.
        lane_of: by task, the lane it runs on.
        answers: what the orchestrator said of each task when it was asked to admit it.
        problems: what went wrong with the way as a whole, in words.
    """

    book: Book
    send: Callable[[Task, int], None] = lambda task, stamp_ns: None
    pids: list[int] = field(default_factory=list)
    finish: Callable[[Round], None] = lambda item: None
    reported: Callable[[], dict[str, int]] = dict
    dropped: dict[str, int] = field(default_factory=dict)
    lane_of: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def result(self, result: JobResult) -> None:
        """Note a result of the present round or the one before; hand it back."""
        self.book.result(result)


def arm_of(way: str) -> Arm:
    """Return a way as what takes a turn."""
    return Arm(way, WAYS[way], "aegis" if way in LANES else way)
