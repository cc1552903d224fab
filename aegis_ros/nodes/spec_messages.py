"""Makes the message of a specification once, although every status and every list holds it.

Options travel as YAML, and writing the labels of 80 classes takes milliseconds: for many tasks,
twice a second, these would add up to what quick requests wait for.
"""

from __future__ import annotations

import threading
import weakref
from functools import partial

from aegis_ros.msg import ModelTask
from aegis_ros.nodes.task_message import task_to_message
from aegis_ros.spec import TaskSpec

__all__ = ["SpecMessages"]


class SpecMessages:
    """The messages of specifications that are still in use; safe to use from any thread.

    A specification that nobody has any more takes its message along: of tasks that come and go,
    hundreds would be kept that no status will ever show.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._lock = threading.RLock()  # a reference may die while the lock is held
        # By identity: comparing takes as long as writing.
        self._kept: dict[int, tuple[weakref.ref[TaskSpec], ModelTask]] = {}

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    def of(self, spec: TaskSpec) -> ModelTask:
        """Return the message of a specification; nobody may change it."""
        number = id(spec)
        with self._lock:
            kept = self._kept.get(number)
            if kept is not None and kept[0]() is spec:
                return kept[1]
        message = task_to_message(spec)
        with self._lock:
            self._kept[number] = weakref.ref(spec, partial(self._forget, number)), message
        return message

    def _forget(self, number: int, gone: weakref.ref[TaskSpec]) -> None:
        with self._lock:
            kept = self._kept.get(number)
            if kept is not None and kept[0] is gone:  # else another one has its number by now
                del self._kept[number]
