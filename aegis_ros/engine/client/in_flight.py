"""Hands frames to the engine that runs, and keeps what travels with each job until it ends.

The one table of jobs in flight on the node's side: the wire carries numbers, the node gets its own
object back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aegis_ros.backends.base import MOST_INPUTS
from aegis_ros.engine.channel import SlotFrame
from aegis_ros.engine.client.callbacks import Callbacks
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.events import JobSkip
from aegis_ros.engine.wire import pack_submit
from aegis_ros.errors import InputError
from aegis_ros.rationale import Rule

__all__ = ["InFlight", "JobInFlight"]


@dataclass(slots=True)
class JobInFlight:
    """A job that the engine has, the frames it reads, and what its owner wants back."""

    frames: Sequence[SlotFrame]
    arrival_ns: int
    received_ns: int
    deadline_ns: int
    origin: object


class InFlight:
    """The link to the engine that runs, and the jobs on it.

    One lock guards both, held for microseconds: a job is either refused, or known when the
    process that has it is let go of.

    Args:
        callbacks: get the jobs that cannot be handed over.
        why_not_loaded: returns rule and text for a task that the process has not loaded.
    """

    def __init__(
        self, callbacks: Callbacks, why_not_loaded: Callable[[int], tuple[Rule, str]]
    ) -> None:
        """Begin without an engine."""
        self._callbacks = callbacks
        self._why_not_loaded = why_not_loaded
        self._process: EngineProcess | None = None
        self._jobs: dict[tuple[int, int], JobInFlight] = {}
        self._guard = threading.Lock()

    @property
    def process(self) -> EngineProcess | None:
        """The engine process that gets the frames."""
        return self._process

    def connect(self, process: EngineProcess) -> None:
        """Hand frames to this process from now on."""
        with self._guard:
            self._process = process

    def disconnect(self, process: EngineProcess) -> None:
        """Hand no more frames to this process."""
        with self._guard:
            if self._process is process:
                self._process = None

    def submit(
        self,
        frames: Sequence[SlotFrame],
        received_ns: int,
        jobs: Sequence[tuple[int, int, int, int]],
        origin: object,
    ) -> None:
        """Hand written slots to the engine; as :meth:`~aegis_ros.engine.EngineClient.submit`.

        Raises:
            InputError: there are too many frames, or a shape has too many extents.
        """
        if len(frames) > MOST_INPUTS:
            raise InputError(
                "a job has too many inputs", value=len(frames), expected=f"at most {MOST_INPUTS}"
            )
        places = b"".join([frame.place() for frame in frames])
        refused: list[tuple[int, int, Rule, str]] = []
        if len(jobs) != 1:  # the caller needs the slots once, and one job instead of it from here
            for frame in frames:
                frame.hold(len(jobs))
            _drop(frames)
        with self._guard:
            process = self._process
            for task_id, seq, arrival_ns, deadline_ns in jobs:
                if process is None:
                    refused.append((task_id, seq, Rule.ENGINE_RESTART, "the engine is not running"))
                    continue
                if task_id not in process.outputs:
                    refused.append((task_id, seq, *self._why_not_loaded(task_id)))
                    continue
                try:
                    times_ns = (arrival_ns, received_ns, deadline_ns)
                    process.submit(pack_submit(task_id, seq, times_ns, places))
                except BlockingIOError:
                    text = "the engine does not keep up"
                    refused.append((task_id, seq, Rule.LIMIT, text))
                except OSError:
                    text = "the engine is being restarted"
                    refused.append((task_id, seq, Rule.ENGINE_RESTART, text))
                else:
                    self._jobs[task_id, seq] = JobInFlight(
                        frames, arrival_ns, received_ns, deadline_ns, origin
                    )
        for task_id, seq, rule, text in refused:
            _drop(frames)
            self._callbacks.skip(JobSkip(task_id, seq, rule, text, origin))

    def get(self, task_id: int, seq: int) -> JobInFlight | None:
        """Return a job that the engine has."""
        with self._guard:
            return self._jobs.get((task_id, seq))

    def take(self, task_id: int, seq: int) -> JobInFlight | None:
        """Take a job whose end the engine reports, and free the slots it read."""
        with self._guard:
            job = self._jobs.pop((task_id, seq), None)
        if job is not None:
            _drop(job.frames)
        return job

    def take_of(self, task_id: int) -> list[tuple[int, JobInFlight]]:
        """Take the jobs of a task by number, in order, and free the slots they read."""
        with self._guard:
            keys = sorted(key for key in self._jobs if key[0] == task_id)
            jobs = [(seq, self._jobs.pop((task_id, seq))) for _, seq in keys]
        for _, job in jobs:
            _drop(job.frames)
        return jobs

    def take_all(self) -> list[tuple[tuple[int, int], JobInFlight]]:
        """Take every job in flight by (task id, number), in order, and free the slots they read."""
        with self._guard:
            jobs = dict(self._jobs)
            self._jobs.clear()
        for job in jobs.values():
            _drop(job.frames)
        return sorted(jobs.items(), key=lambda item: item[0])


def _drop(frames: Sequence[SlotFrame]) -> None:
    for frame in frames:
        frame.drop()
