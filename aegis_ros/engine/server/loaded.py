"""What the engine's loop holds of loaded tasks, open channels, jobs in flight and timed runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays, LoadedNetwork, Part, Shapes, Work
from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.engine.types import ChannelSpec
from aegis_ros.scheduling import Job

__all__ = ["InputChannel", "JobFrame", "LoadedTask", "ProfileRun", "Slots"]


class Slots(Protocol):
    """Where the outputs of a task's jobs lie; as many jobs run at once as there are slots."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    def arrays(self, slot: int) -> Arrays:
        """Return the arrays a backend fills."""
        ...

    def note_extents(self, slot: int, shapes: Shapes) -> None:
        """Write down the extents that the outputs have.

        Raises:
            Exception: these are none, in any way.
        """
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class LoadedTask:
    """A network that is bound to a lane, with views of its output slots.

    Args:
        task_id: id.
        network: what the backend loaded.
        lane: index of the lane.
        slots: where its outputs go.
        state: what is kept for it from job to job.

    Attributes:
        ahead: the waiting job whose frame was brought to the device already.
        part: what its jobs take part in a work with, one after the other.
    """

    __slots__ = ("ahead", "free", "lane", "network", "part", "parts", "slots", "task_id")

    def __init__(
        self,
        task_id: int,
        network: LoadedNetwork,
        lane: int,
        slots: Slots,
        *,
        state: object | None = None,
    ) -> None:
        """Begin with all output slots free."""
        self.task_id = task_id
        self.network = network
        self.lane = lane
        self.slots = slots
        self.free = list(range(slots.count))
        self.ahead: Job | None = None
        self.part = Part(network, [], (), state)
        self.parts = (self.part,)


class InputChannel:
    """A ring of slots that hold frames."""

    __slots__ = ("_dtype", "_memory", "_stride")

    def __init__(self, spec: ChannelSpec, memory: SharedMemory) -> None:
        """Read nothing yet."""
        self._dtype = np.dtype(spec.dtype)
        self._memory = memory
        self._stride = aligned(spec.slot_bytes)

    def frame(self, slot: int, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
        """Return the frame in a slot.

        Raises:
            TypeError, ValueError: the shape does not fit.
        """
        return self._memory.array(slot * self._stride, shape, self._dtype)

    def close(self) -> None:
        """Let the memory go."""
        self._memory.close()


class ProfileRun:
    """One timed run of a step, done when its lane has nothing else to do."""

    __slots__ = ("finish", "work")

    def __init__(self, work: Work, finish: Callable[[int, str], None]) -> None:
        """Keep what the run needs; ``finish`` is called with (nanoseconds, error)."""
        self.work = work
        self.finish = finish


class JobFrame:
    """The payload of a job: whose it is, where its inputs lie and what happened to it.

    Args:
        task: whose; ``None`` for one that is not loaded.
        places: where its inputs lie, as in the SUBMIT record.

    Attributes:
        partials: how many partial results it has reported.
        inputs: arrays of its inputs, once it has its turn.
        output: its output slot; -1 before it has one.
        outputs: arrays in that slot.
        started_ns: when its first step began, 0 before.
        execution_ns: what its steps have taken so far.
    """

    __slots__ = (
        "execution_ns",
        "inputs",
        "output",
        "outputs",
        "partials",
        "places",
        "started_ns",
        "task",
    )

    inputs: Arrays
    outputs: Arrays

    def __init__(self, task: LoadedTask | None, places: bytes) -> None:
        """Begin with nothing run."""
        self.task = task
        self.places = places
        self.partials = 0
        self.output = -1
        self.started_ns = 0
        self.execution_ns = 0
