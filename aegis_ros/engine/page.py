"""The page of shared memory through which a node watches its engine without asking it."""

from __future__ import annotations

import numpy as np

from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.types import LaneState

__all__ = ["EnginePage"]

_LANE_FIELDS = 5  # running task, since, busy, waiting; critical scaling
_HEAD_FIELDS = 3  # loop time; speed, version of speed and scaling
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
        numbers = self.memory.array(0, (words,), np.int64)
        self._alive = numbers[:1]
        self._speed = numbers[1:2]
        self._version = numbers[2:3]
        self._lanes = numbers[_HEAD_FIELDS:].reshape(lanes, _LANE_FIELDS)
        if fd is None:
            self._lanes[:, 0] = -1
            self._lanes[:, 4] = _ONE_PPM
            self._speed[0] = _ONE_PPM

    def beat(self, now_ns: int) -> None:
        """Note that the loop is alive."""
        self._alive[0] = now_ns

    def set_speed(self, factor: float) -> None:
        """Note how fast the device is, 1 for as fast as budgets were measured."""
        self._speed[0] = max(1, round(factor * _ONE_PPM))
        self._version[0] += 1

    def set_critical_scaling(self, lane: int, factor: float) -> None:
        """Note by what all budgets of a lane can be multiplied and nobody is late."""
        self._lanes[lane, 4] = int(factor * _ONE_PPM)
        self._version[0] += 1

    @property
    def version(self) -> int:
        """Changes whenever speed or scaling do."""
        return int(self._version[0])

    def stretch(self, lane: int) -> tuple[float, float]:
        """Return the factors for :meth:`~aegis_ros.scheduling.Scheduler.stretch_budgets`."""
        slower = _ONE_PPM / int(self._speed[0])
        return slower, max(slower, int(self._lanes[lane, 4]) / _ONE_PPM)

    def lane_busy(self, lane: int, task_id: int, now_ns: int) -> None:
        """Note that a segment starts (``task_id`` -2: a profiling run)."""
        self._lanes[lane, 1] = now_ns
        self._lanes[lane, 0] = task_id

    def lane_idle(self, lane: int, taken_ns: int, waiting: int) -> None:
        """Note that a segment ended which used ``taken_ns``."""
        row = self._lanes[lane]
        row[0] = -1
        row[2] += taken_ns
        row[3] = waiting

    @property
    def alive_ns(self) -> int:
        """When the loop was last seen alive; 0 before the first time."""
        return int(self._alive[0])

    def lanes(self) -> tuple[LaneState, ...]:
        """Return the state of all lanes."""
        return tuple(LaneState(*(int(value) for value in row[:4])) for row in self._lanes)

    def close(self) -> None:
        """Give the page back."""
        self.memory.close()
