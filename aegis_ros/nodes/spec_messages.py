"""Makes the message of a specification once, although every status and every list holds it.

Options travel as YAML, and writing the labels of 80 classes takes milliseconds: for many tasks,
twice a second, these would add up to what quick requests wait for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from aegis_ros.msg import ModelTask
from aegis_ros.nodes.task_message import task_to_message
from aegis_ros.spec import TaskSpec

__all__ = ["SpecMessages"]


class SpecMessages:
    """The messages of the specifications that were asked for last; safe to use from any thread.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        """Keep nothing yet."""
        self._most = most
        self._lock = threading.Lock()
        # By identity: comparing takes as long as writing. Each is kept, so that its number is.
        self._kept: OrderedDict[int, tuple[TaskSpec, ModelTask]] = OrderedDict()

    def of(self, spec: TaskSpec) -> ModelTask:
        """Return the message of a specification; nobody may change it."""
        with self._lock:
            kept = self._kept.get(id(spec))
            if kept is not None:
                self._kept.move_to_end(id(spec))
                return kept[1]
        message = task_to_message(spec)
        with self._lock:
            self._kept[id(spec)] = spec, message
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return message
