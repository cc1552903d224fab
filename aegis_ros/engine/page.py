"""The page of shared memory through which a node watches its engine without asking it."""

from __future__ import annotations

import numpy as np

from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.types import LaneState

__all__ = ["EnginePage"]

# Words of the head: loop time; speed, version of speed and scaling.
_ALIVE, _SPEED, _VERSION, _HEAD_FIELDS = range(4)
# Words of a lane: running task, since, busy, waiting; critical scaling.
_RUNNING, _SINCE, _BUSY, _WAITING, _SCALING, _LANE_FIELDS = range(6)
_ONE_PPM = 1_000_000


class EnginePage:
    """Loop time, and for each lane: task that runs, since when, busy time, waiting jobs.

    The other way around, the node sets how fast the device is, and the critical scaling factor of
    each lane. Each field is one aligned 64-bit word written by one process, so a reader never sees
    half of one; fields are not consistent with each other, which a watchdog does not need.
    """

    def __init__(self, lanes: int, fd: int | None = None) -> None:
        """Create the page, or map the one another process created."""
        words = _HEAD_FIELDS + lanes * _LANE_FIELDS
        self.memory = SharedMemory(8 * words, fd)
        # A memoryview: it takes a number in half of the time that an array does.
        self._words = self.memory.array(0, (words,), np.int64).data
        self._first = tuple(range(_HEAD_FIELDS, words, _LANE_FIELDS))
        if fd is None:
            self._words[_SPEED] = _ONE_PPM
            for first in self._first:
                self._words[first + _RUNNING] = -1
                self._words[first + _SCALING] = _ONE_PPM

    def beat(self, now_ns: int) -> None:
        """Note that the loop is alive."""
        self._words[_ALIVE] = now_ns

    def set_speed(self, factor: float) -> None:
        """Note how fast the device is, 1 for as fast as budgets were measured."""
        self._words[_SPEED] = max(1, round(factor * _ONE_PPM))
        self._words[_VERSION] += 1

    def set_critical_scaling(self, lane: int, factor: float) -> None:
        """Note by what all budgets of a lane can be multiplied and nobody is late."""
        self._words[self._first[lane] + _SCALING] = int(factor * _ONE_PPM)
        self._words[_VERSION] += 1

    @property
    def version(self) -> int:
        """Changes whenever speed or scaling do."""
        return self._words[_VERSION]

    def stretch(self, lane: int) -> tuple[float, float]:
        """Return the factors for :meth:`~aegis_ros.scheduling.Scheduler.stretch_budgets`."""
        slower = _ONE_PPM / self._words[_SPEED]
        return slower, max(slower, self._words[self._first[lane] + _SCALING] / _ONE_PPM)

    def lane_busy(self, lane: int, task_id: int, now_ns: int) -> None:
        """Note that a segment starts (``task_id`` -2: a profiling run)."""
        words, first = self._words, self._first[lane]
        words[first + _SINCE] = now_ns
        words[first + _RUNNING] = task_id

    def lane_idle(self, lane: int, taken_ns: int, waiting: int) -> None:
        """Note that a segment ended which used ``taken_ns``."""
        words, first = self._words, self._first[lane]
        words[first + _RUNNING] = -1
        words[first + _BUSY] += taken_ns
        words[first + _WAITING] = waiting

    @property
    def alive_ns(self) -> int:
        """When the loop was last seen alive; 0 before the first time."""
        return self._words[_ALIVE]

    def lanes(self) -> tuple[LaneState, ...]:
        """Return the state of all lanes."""
        return tuple(LaneState(*self._words[first : first + _SCALING]) for first in self._first)

    def close(self) -> None:
        """Give the page back."""
        self.memory.close()
