"""An admitted task as the path of its frames sees it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.network import NetworkInput
from aegis_ros.orchestrator.early_frames import EarlyFrames
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.scheduling import RateGate
from aegis_ros.spec import TaskSpec

__all__ = ["NEVER_NS", "FedTask", "FrameDecimation"]

NEVER_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class FrameDecimation:
    """Of how many frames one becomes a job; replaced as a whole, never changed.

    Attributes:
        n: every n-th frame is taken until ``from_ns``.
        later: the same from then on.
        from_ns: monotonic time.
        opens_ns: before it, no frame is taken at all.
    """

    n: int = 1
    later: int = 1
    from_ns: int = 0
    opens_ns: int = 0

    def at(self, now_ns: int) -> int:
        """Return n at a moment."""
        return self.n if now_ns < self.from_ns else self.later

    @property
    def reached(self) -> int:
        """The least n that can come without another change."""
        return self.n if self.from_ns == NEVER_NS else min(self.n, self.later)


class FedTask:
    """An admitted task as the intake sees it; counted in under the lock of the intake.

    Args:
        task_id: its number.
        spec: what was asked for.
        statistics: its figures.
        inputs: what its network takes of each of its streams; nothing is checked without.
    """

    __slots__ = (
        "decimation",
        "early",
        "enabled",
        "followed",
        "gate",
        "inputs",
        "let_in_ns",
        "next_seq",
        "passed_by",
        "shed",
        "spec",
        "squeezed",
        "statistics",
        "task_id",
    )

    def __init__(
        self,
        task_id: int,
        spec: TaskSpec,
        statistics: TaskStatistics,
        inputs: tuple[NetworkInput, ...] = (),
    ) -> None:
        """Begin with an open gate."""
        self.task_id = task_id
        self.inputs = inputs
        self.spec = spec
        self.statistics = statistics
        self.enabled = spec.enabled
        self.shed = False  # while the device is too slow for it
        self.squeezed = False  # while there is no memory for it
        self.let_in_ns = 0  # since when its frames are wanted, as the tick saw it; 0: they are not
        self.followed = False  # whether results of it release jobs of another task
        self.gate = RateGate(spec.period_ns, spec.release_jitter_ns)
        self.early = EarlyFrames(spec)
        self.next_seq = 0
        self.decimation = FrameDecimation()
        self.passed_by = spec.decimation_limit  # frames since the last that became a job

    @property
    def kept_out(self) -> bool:
        """Whether it is shed: its frames are counted, and become no jobs."""
        return self.shed or self.squeezed

    def takes(self, index: int, shape: tuple[int, ...]) -> bool:
        """Return whether a frame of one of its streams fits its network."""
        return not self.inputs or self.inputs[index].takes(shape)
