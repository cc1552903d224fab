"""The tasks that should run and were not admitted when the node was configured."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

from aegis_ros.orchestrator.admitted import Origin
from aegis_ros.orchestrator.types import RejectedTask
from aegis_ros.rationale import Rationale
from aegis_ros.rationale.wording import origin_words

__all__ = ["Rejected"]

_MOST = 256  # a journal or a file that is longer is not worth more rows
_CHARACTERS = 32 * 1024  # of all reasons together, in a status that comes several times a second
_CUT = "… (all of it is in ~/rationale and the log)"


class Rejected:
    """Tasks of the configuration file and of the journal that do not run; for any thread.

    Each stays until a task of its name is admitted, it is unregistered, or the node is cleaned up.
    Requests that are rejected are not kept here: whoever asked has the answer.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._tasks: dict[str, RejectedTask] = {}

    def __iter__(self) -> Iterator[RejectedTask]:
        """Go through them in the order in which they were rejected; long reasons are cut."""
        with self._lock:
            tasks = tuple(self._tasks.values())
        most = _CHARACTERS // max(1, len(tasks))
        return (_with_at_most(task, most) for task in tasks)

    def add(self, name: str, origin: Origin, rationale: Rationale) -> None:
        """Keep a task; where there are too many, those that came first stay.

        Args:
            name: of the task.
            origin: where it comes from.
            rationale: why it was not admitted.
        """
        words = origin_words(
            since_ns=origin.since_ns, remembered=origin.remembered, from_file=origin.from_file
        )
        with self._lock:
            if len(self._tasks) < _MOST or name in self._tasks:
                self._tasks[name] = RejectedTask(name, origin.from_file, words, rationale)

    def drop(self, name: str) -> RejectedTask | None:
        """Keep a task no longer; return it, or ``None`` where it was not there."""
        with self._lock:
            return self._tasks.pop(name, None)

    def clear(self) -> None:
        """Keep none."""
        with self._lock:
            self._tasks.clear()


def _with_at_most(task: RejectedTask, characters: int) -> RejectedTask:
    why = task.rationale
    if len(why.sentence) <= characters:
        return task
    cut = why.sentence[: characters - len(_CUT)] + _CUT
    return replace(task, rationale=replace(why, sentence=cut))
