"""Keeps the latest of a running orchestrator for any number of readers, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from aegis_ros.dashboard.views import DecisionView, JobView, StatusView

__all__ = ["Batch", "Cursor", "Feed"]

_LASTING = ("admitted", "rejected", "removed")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How much a reader has seen: running counts of statuses, jobs and decisions."""

    statuses: int = 0
    jobs: int = 0
    decisions: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What came since a cursor.

    Attributes:
        now_ms: when it was taken, in milliseconds since 1970.
        status: the latest status, ``None`` where it is known already or none came yet.
        status_age_s: seconds since the latest status arrived, ``None`` before the first.
        jobs, decisions: oldest first.
        passed: jobs that came and went between two looks: the reader was too slow for them.
    """

    now_ms: float
    status: StatusView | None
    status_age_s: float | None
    jobs: tuple[JobView, ...]
    decisions: tuple[DecisionView, ...]
    passed: int


class Feed:
    """What a page shows. Written by one thread, read by others; nobody waits for a slow reader.

    Args:
        jobs: how many jobs are kept.
        decisions: how many decisions are kept; admissions outlast what happens all the time.
        wall_s: seconds since 1970.
        clock_s: a clock that never jumps, in seconds.
    """

    def __init__(
        self,
        jobs: int = 6000,
        decisions: int = 400,
        wall_s: Callable[[], float] = time.time,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin empty."""
        self._lock = threading.Lock()
        self._wall_s = wall_s
        self._clock_s = clock_s
        self._status: StatusView | None = None
        self._status_at_s = 0.0
        self._jobs: deque[JobView] = deque(maxlen=jobs)
        self._decisions: list[tuple[int, DecisionView]] = []
        self._most_decisions = decisions
        self._counts: Counter[tuple[str, str]] = Counter()
        self._exits: dict[str, int] = {}
        self._end = Cursor()

    def put_status(self, status: StatusView) -> None:
        """Take the latest status."""
        with self._lock:
            self._status = status
            there = {task.name for task in status.tasks}
            self._exits = {name: level for name, level in self._exits.items() if name in there}
            self._status_at_s = self._clock_s()
            end = self._end
            self._end = Cursor(end.statuses + 1, end.jobs, end.decisions)

    def put_job(self, job: JobView) -> None:
        """Take a finished job."""
        with self._lock:
            self._jobs.append(job)
            self._exits[job.task] = int(job.early_exit)
            end = self._end
            self._end = Cursor(end.statuses, end.jobs + 1, end.decisions)

    def put_decision(self, decision: DecisionView) -> None:
        """Take a decision."""
        with self._lock:
            self._counts[(decision.decision, decision.rule)] += max(1, decision.count)
            end = self._end
            self._end = Cursor(end.statuses, end.jobs, end.decisions + 1)
            self._decisions.append((self._end.decisions, decision))
            if len(self._decisions) > self._most_decisions:
                self._forget_one()

    @property
    def status(self) -> StatusView | None:
        """The latest status, ``None`` before the first."""
        return self._status

    @property
    def status_age_s(self) -> float | None:
        """Seconds since the latest status arrived, ``None`` before the first."""
        with self._lock:
            return self._age_s()

    def decision_counts(self) -> dict[tuple[str, str], int]:
        """Return how many decisions came, by decision and rule."""
        with self._lock:
            return dict(self._counts)

    def exit_levels(self) -> dict[str, int]:
        """Return where the last job of each task ended: 0 at its end, 1 at an early exit."""
        with self._lock:
            return dict(self._exits)

    def since(self, cursor: Cursor) -> tuple[Batch, Cursor]:
        """Return what came since ``cursor``, and the cursor for the next call."""
        with self._lock:
            end = self._end
            first = max(0, len(self._jobs) - (end.jobs - cursor.jobs))
            jobs = tuple(islice(self._jobs, first, None))
            batch = Batch(
                now_ms=self._wall_s() * 1e3,
                status=self._status if end.statuses > cursor.statuses else None,
                status_age_s=self._age_s(),
                jobs=jobs,
                decisions=tuple(
                    each for number, each in self._decisions if number > cursor.decisions
                ),
                # who just came has missed nothing
                passed=end.jobs - cursor.jobs - len(jobs) if cursor.jobs else 0,
            )
        return batch, end

    def _age_s(self) -> float | None:
        return None if self._status is None else self._clock_s() - self._status_at_s

    def _forget_one(self) -> None:
        oldest = next(
            (
                place
                for place, (_, each) in enumerate(self._decisions)
                if each.decision not in _LASTING
            ),
            0,
        )
        del self._decisions[oldest]
