"""What the orchestrator needs of an engine: the seam behind which its process stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.engine.channel import Channel, SlotFrame
from aegis_ros.engine.conversation import Cycle
from aegis_ros.engine.events import EngineStatus
from aegis_ros.engine.speech import Asked, LoadGenerator
from aegis_ros.engine.types import ChannelSpec, EngineInfo, LoadSpec
from aegis_ros.memory import KvShape, Taken
from aegis_ros.network.generator.measuring import MeasuredBucket
from aegis_ros.scheduling import ExecutionPlan
from aegis_ros.scheduling.generation import Shape

__all__ = ["Engine"]


class Engine(Protocol):
    """Runs jobs and reports how each ended: by one result or one skip, or in an event as lost.

    Made with a device and the callbacks that :class:`~aegis_ros.engine.EngineClient` takes; they
    may come from any thread. ``test/engine/test_contract.py`` holds every implementation to it.
    """

    def start(self) -> EngineInfo:
        """Start the engine process.

        Raises:
            EngineError: it does not start, or runs already.
        """
        ...

    def info(self) -> EngineInfo:
        """Return what the engine says of itself.

        Raises:
            EngineError: it does not run.
        """
        ...

    def stop(self) -> None:
        """End the engine and forget everything; always returns, from any thread.

        Jobs in flight are skipped as ``OPERATOR``.
        """
        ...

    def try_again(self) -> None:
        """Start an engine that was given up once more; never waits.

        What becomes of it is an event. Nothing happens where none was given up.
        """
        ...

    def open_channel(self, spec: ChannelSpec) -> Channel:
        """Create the slots of a stream.

        Raises:
            EngineError: the key is taken, or the engine was not started.
        """
        ...

    def close_channel(self, key: str) -> None:
        """Give the slots of a stream back; its tasks must be unloaded. Unknown keys pass."""
        ...

    def load(self, spec: LoadSpec) -> str:
        """Load a network and make its task known to the scheduler.

        Returns:
            What the backend chose while it loaded, for people; may be empty.

        Raises:
            EngineError: the backend refuses, or the engine is gone; nothing has changed.
        """
        ...

    def load_generator(self, spec: LoadGenerator) -> str:
        """Load a language model; a job of it runs as long as it is asked for anything.

        Returns:
            What the backend chose while it loaded, for people; may be empty.

        Raises:
            EngineError: the backend refuses, or the engine is gone; nothing has changed.
        """
        ...

    def ask(self, task_id: int, asked: Asked) -> None:
        """Have a language model answer; never waits, and calls nobody back.

        What it says comes by ``on_tokens``, for each request at last once with its end: also where
        it is cancelled, where the engine is lost, or where the model is unloaded. The request goes
        on after a time in which its lane runs critical tasks only.

        Args:
            task_id: of the language model.
            asked: the request; its slot is taken until it has ended.

        Raises:
            InputError: a value is out of its range, or the slot is taken.
            EngineError: no such model is loaded; with ``Rule.ENGINE_RESTART`` where it will be
                again.
        """
        ...

    def cancel(self, task_id: int, request: int) -> None:
        """Have a request end within a step; unknown ones are ignored. Calls nobody back."""
        ...

    def limit(self, task_id: int, *, chunk: int = 0, batch: int = 0) -> None:
        """Have a language model run in steps of up to these sizes, from its next step on.

        Args:
            task_id: of the language model; unknown ids are ignored.
            chunk: most tokens of a prompt in one step; 0 for any of the plan.
            batch: most answers in one decode; 0 for any of the plan.

        Raises:
            InputError: a value is negative.
        """
        ...

    def cycle(self, task_id: int) -> Cycle | None:
        """Return the bucket of a language model that ended last, without asking the engine.

        ``None`` where none has, or one ends at this moment.
        """
        ...

    def cycles(self, task_id: int, after: int) -> tuple[Cycle, ...]:
        """Return buckets that have ended, in their order, without asking the engine.

        Args:
            task_id: of the language model; of an unknown one, there are none.
            after: number of the last one that is known. Of more than 1,024 that have ended since,
                the latest are returned.
        """
        ...

    def weigh_generator(
        self, compiled: CompiledGenerator, lane: int, shapes: Sequence[Shape], cache: KvShape
    ) -> Taken:
        """Return what a language model takes of the process that loads it, seen in another one.

        Args:
            compiled: the model.
            lane: index of the lane that it is for.
            shapes: of its buckets, each of which is run in all slots.
            cache: its slots, and how long each is.

        Raises:
            ModelError: it cannot be loaded there.
        """
        ...

    def measure_generator(
        self,
        compiled: CompiledGenerator,
        lane: int,
        *,
        slots: int,
        runs: int,
        on_progress: Callable[[int, int], bool],
        warmup: int = 3,
        cold: bool = False,
        beside: Sequence[tuple[CompiledNetwork, int]] = (),
    ) -> list[MeasuredBucket]:
        """Time every bucket of a language model on a lane, between the jobs that run there.

        In turns, each at the end of a full context, where it takes longest, and with tokens drawn.

        Args:
            compiled: the model.
            lane: index of the lane.
            slots: sequences at once.
            runs: of each bucket.
            on_progress: called with (runs done, nanoseconds of the slowest turn); return False to
                stop.
            warmup: turns before the first that counts.
            cold: drive its data out of the caches before every bucket.
            beside: networks that run meanwhile, each with the index of its lane, another one.

        Raises:
            ConfigError: its context has no room for a chunk of a prompt.
            EngineError: it fails, or the engine is gone.
        """
        ...

    def change_budgets(self, task_id: int, plan: ExecutionPlan) -> None:
        """Hold a task to other budgets of the same steps; unknown ids are ignored.

        An engine that is started again after a loss holds it to them, too.

        Raises:
            EngineError: the plan has other steps.
        """
        ...

    def unload(self, task_id: int) -> None:
        """Forget a task and give back what its network or model took; unknown ids are ignored.

        Its waiting jobs are skipped; one that runs is waited for, and its result dropped.
        """
        ...

    def profile(
        self,
        compiled: CompiledNetwork,
        lane: int,
        runs: int,
        on_progress: Callable[[int, int], bool],
        *,
        warmup: int = 10,
        frames: Sequence[npt.NDArray[np.generic]] | None = None,
        cold: bool = False,
        after: CompiledNetwork | None = None,
        beside: Sequence[tuple[CompiledNetwork, int]] = (),
    ) -> npt.NDArray[np.int64]:
        """Time a network on a lane between the jobs that run there.

        Args:
            compiled: the network.
            lane: index of the lane.
            runs: how many runs are timed.
            on_progress: called with (runs done, nanoseconds of the slowest); return False to stop.
            warmup: runs before the first that counts.
            frames: what it is fed, for each of its inputs [frames, *largest shape]; ``None`` for
                random frames.
            cold: drive its data out of the caches before every run.
            after: a network that runs on the lane right before every run.
            beside: networks that run meanwhile, each with the index of its lane, another one. They
                and the one before are fed what they find most in, or random frames.

        Returns:
            int64 [runs, segments], nanoseconds; fewer runs if stopped.

        Raises:
            EngineError: the network fails, or the engine is gone.
        """
        ...

    def submit(
        self,
        frames: Sequence[SlotFrame],
        received_ns: int,
        jobs: Sequence[tuple[int, int, int, int]],
        *,
        origin: object = None,
    ) -> None:
        """Hand written slots to the engine, for one job or more; never waits.

        A job that cannot be handed over is reported by ``on_skip`` before this returns.

        Args:
            frames: one an input of the network, in its order. The caller needs their slots no
                longer; whoever wants to keep one holds it before.
            received_ns: when the frame came (monotonic).
            jobs: (task id, sequence number, arrival, absolute deadline) of each job.
            origin: whatever the caller wants back with the result or the skip of each job; never
                looked at.

        Raises:
            InputError: there are too many frames, or a shape has too many extents; the slots are
                still the caller's.
        """
        ...

    def set_speed(self, factor: float) -> None:
        """Set how fast the device is: budgets are scaled by ``1 / factor``; never waits.

        Args:
            factor: above 0; 1 for as fast as budgets were measured. What is above counts as 1.
        """
        ...

    def set_critical_scaling(self, lane: int, factor: float) -> None:
        """Set by what the proof lets all budgets of a lane be scaled; never waits.

        Args:
            lane: index of the lane.
            factor: by which all its budgets can be multiplied and nobody is late, at least 1.
                What stays within it is reported as an overrun, and nothing else follows.
        """
        ...

    def status(self) -> EngineStatus:
        """Return the engine's state without asking it."""
        ...
