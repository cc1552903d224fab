"""What one way did in one round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.compare.cpu import CpuUse

__all__ = ["Arm", "Round", "TaskRound", "in_turn"]


@dataclass(frozen=True, slots=True)
class Arm:
    """What takes a turn.

    Attributes:
        name: unique at one load.
        label: for people.
        way: nodes, threads, queue or aegis.
        only: the one task that runs; empty for all.
        trace: whether the orchestrator keeps a trace.
        latency_ms: constant latency of the most urgent task; 0 for none.
    """

    name: str
    label: str
    way: str
    only: str = ""
    trace: bool = False
    latency_ms: float = 0.0

    @property
    def ours(self) -> bool:
        """Whether it is the orchestrator."""
        return self.way == "aegis"


def in_turn(arms: Sequence[Arm], number: int) -> list[Arm]:
    """Return who runs in a round, each time another one first."""
    first = number % len(arms)
    return [*arms[first:], *arms[:first]]


@dataclass
class TaskRound:
    """What one task got in one round.

    Attributes:
        frames: stamped within the round.
        without: of those, how many have no result.
        reported: of those, how many the orchestrator said it left out.
        replaced: images that newer ones took the place of, unsaid (of the whole run of a way).
        response_ms, execution_ms: of each result.
        ended_ms, ready_ms: from the stamp to the end of the execution, and until the engine knew of
        it; only of the orchestrator.
        released_ns, started_ns, finished_ns: wall clock, of each result of the orchestrator.
        lane: that it ran on; empty where there is one only.
        bound_ms: proven for ``ended_ms``; 0 for none.
        refused: why it was not admitted.
    """

    frames: int = 0
    without: int = 0
    reported: int = 0
    replaced: int = 0
    response_ms: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    execution_ms: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    ended_ms: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    ready_ms: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    released_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    started_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    finished_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    lane: str = ""
    bound_ms: float = 0.0
    refused: str = ""


@dataclass
class Round:
    """One round of one arm.

    ``reasons`` count by task and rule since the arm was started, ``decimations`` are what was said
    of tasks that get every n-th frame.
    """

    load: float
    arm: str
    number: int
    began: float
    seconds: float
    tasks: dict[str, TaskRound]
    cpu: CpuUse
    utilization: float = 0.0
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    decimations: dict[str, str] = field(default_factory=dict)
    counters: dict[str, dict[str, int]] = field(default_factory=dict)

    def as_values(self) -> dict[str, Any]:
        """Return what is not a sample, as plain data."""
        return {
            "load": self.load,
            "arm": self.arm,
            "round": self.number,
            "began": self.began,
            "seconds": self.seconds,
            "cores_used": vars(self.cpu),
            "reported_by_rule": self.reasons,
            "decimated": self.decimations,
            "counters_since_activation": self.counters,
        }
