"""What the engine's client and its users exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.rationale import Rule
from aegis_ros.spec import Criticality, FrameFormat

__all__ = [
    "ChannelSpec",
    "EngineEvent",
    "EngineInfo",
    "EngineStatus",
    "JobResult",
    "LaneState",
    "LoadSpec",
]


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A ring of slots that frames of one stream lie in.

    Attributes:
        key: unique name.
        format: canonical format of the frames.
        max_shape: largest frame.
        slots: number of slots.
    """

    key: str
    format: FrameFormat
    max_shape: tuple[int, ...]
    slots: int

    @property
    def dtype(self) -> str:
        """Element type of the frames."""
        return "uint8" if self.format is FrameFormat.RGB8 else "float32"

    @property
    def slot_bytes(self) -> int:
        """Size of the largest frame in bytes."""
        return int(np.prod(self.max_shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """A network to load, and the lane and channel it is bound to.

    Attributes:
        task_id: unique, not negative.
        name: for people.
        compiled: the network.
        lane: index of the lane.
        channel: key of the channel its frames come through.
        queue: jobs that may wait.
        wcet_ns: budget of each segment; empty while unknown. A lane that is busy for many times
            this long is taken for stuck.
        criticality: after a loss of the engine, what matters most is loaded first.
    """

    task_id: int
    name: str
    compiled: CompiledNetwork
    lane: int
    channel: str
    queue: int = 1
    wcet_ns: tuple[int, ...] = ()
    criticality: Criticality = Criticality.HIGH


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a started engine says of itself."""

    pid: int
    backend: str
    device: str
    determinism: str


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane at one moment; ``task_id`` -1 when idle, times monotonic ns."""

    task_id: int
    since_ns: int
    busy_ns: int
    waiting: int


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The engine at one moment."""

    pid: int
    alive_ns: int
    lanes: tuple[LaneState, ...]
    restarts: int
    restart_ns: int


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something happened to the engine as a whole.

    Attributes:
        rule: ``ENGINE_RESTART`` for a loss or a restart, ``LIMIT`` when it is given up.
        sentence: what happened, for people.
        lost: (task id, sequence number) of the jobs that were in flight.
        recovered: True once everything is loaded again.
        duration_ns: time from the loss to the recovery.
        quarantined: ids of the tasks that are not loaded any more because they crash the engine.
        failed: (task id, reason) of tasks that could not be loaded again.
    """

    rule: Rule
    sentence: str
    lost: tuple[tuple[int, int], ...] = ()
    recovered: bool = False
    duration_ns: int = 0
    quarantined: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()


@dataclass(slots=True)
class JobResult:
    """Outputs and timing of one job; all times monotonic nanoseconds.

    ``outputs`` are views of shared memory that stay valid until :meth:`release`.
    """

    task_id: int
    seq: int
    arrival_ns: int
    received_ns: int
    deadline_ns: int
    released_ns: int
    started_ns: int
    finished_ns: int
    execution_ns: int
    outputs: Mapping[str, npt.NDArray[np.generic]]
    _release: Callable[[], None] | None = field(default=None, repr=False)

    def release(self) -> None:
        """Hand the output slot back to the engine; safe to call twice."""
        hand_back, self._release = self._release, None
        if hand_back is not None:
            hand_back()
