"""What an engine is given and what it says of itself; both processes know these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.scheduling import ExecutionPlan
from aegis_ros.spec import Criticality, FrameFormat, OverrunPolicy

__all__ = ["ChannelSpec", "EngineInfo", "LaneState", "LeftOut", "LoadSpec"]


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
        return self.format.dtype

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
        plan: what its jobs are made of, with the budget of each step; ``None`` for one segment
            after the other with budgets unknown. A lane that is busy for many times as long as a
            step may take is taken for stuck.
        criticality: after a loss of the engine, what matters most is loaded first; a lane sheds
            what is below high when a task of high criticality exceeds its budget.
        on_overrun: what becomes of a job that exceeds its budget.
        early_exit: for ``early_exit``: by the name of an output, that of its stand-in.
        deadline_ns: of its jobs, 0 for unknown; of tasks that matter as much, the one with the
            shortest is loaded first after a loss.
    """

    task_id: int
    name: str
    compiled: CompiledNetwork
    lane: int
    channel: str
    queue: int = 1
    plan: ExecutionPlan | None = None
    criticality: Criticality = Criticality.HIGH
    on_overrun: OverrunPolicy = OverrunPolicy.SKIP_NEXT
    early_exit: Mapping[str, str] = field(default_factory=dict)
    deadline_ns: int = 0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An output of which a run found more rows than are kept; the first ``kept`` are there."""

    output: str
    kept: int
    found: int


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
