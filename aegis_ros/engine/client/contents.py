"""What every engine process must hold, so that one that replaces another holds it again."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from aegis_ros.engine.channel import Channel
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.client.requests import send_channel, send_generator, send_load
from aegis_ros.engine.conversation import Conversation
from aegis_ros.engine.speech import LoadGenerator
from aegis_ros.engine.types import LoadSpec
from aegis_ros.errors import EngineError
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import ExecutionPlan
from aegis_ros.spec import Criticality

__all__ = ["Contents"]

_IMPORTANCE = list(Criticality)


def _urgency(spec: LoadSpec | LoadGenerator) -> tuple[int, float]:
    return _IMPORTANCE.index(spec.criticality), spec.deadline_ns or math.inf


class Contents:
    """Open channels, loaded networks, and how fast the device is.

    Attributes:
        changing: held while something is opened, loaded or put into an engine: one at a time.
    """

    def __init__(self) -> None:
        """Begin empty, on a device of full speed."""
        self.changing = threading.Lock()
        self._guard = threading.Lock()  # of the tables; held for microseconds
        self._channels: dict[str, Channel] = {}
        self._loaded: dict[int, LoadSpec] = {}
        self._generators: dict[int, tuple[LoadGenerator, Conversation]] = {}
        self._next_channel = 1
        self._speed = 1.0
        self._scaling: dict[int, float] = {}

    def next_channel(self) -> int:
        """Return a number that no channel has had."""
        self._next_channel += 1
        return self._next_channel - 1

    def channel(self, key: str) -> Channel | None:
        """Return an open channel."""
        return self._channels.get(key)

    def add_channel(self, channel: Channel) -> None:
        """Keep an open channel."""
        with self._guard:
            self._channels[channel.spec.key] = channel

    def remove_channel(self, key: str) -> Channel | None:
        """Forget a channel; its caller closes it."""
        with self._guard:
            return self._channels.pop(key, None)

    def network(self, task_id: int) -> LoadSpec | None:
        """Return what is loaded for a task."""
        return self._loaded.get(task_id)

    def holds(self, task_id: int) -> bool:
        """Return whether a network or a language model is loaded for a task."""
        return task_id in self._loaded or task_id in self._generators

    def loaded(self) -> dict[int, LoadSpec | LoadGenerator]:
        """Return all that is loaded, by task id."""
        with self._guard:
            return {**self._loaded, **{key: spec for key, (spec, _) in self._generators.items()}}

    def names(self, task_ids: Iterable[int]) -> tuple[str, ...]:
        """Return the names of those tasks that are loaded."""
        loaded = self.loaded()
        return tuple(loaded[task_id].name for task_id in task_ids if task_id in loaded)

    def add_network(self, spec: LoadSpec) -> None:
        """Keep what was loaded."""
        with self._guard:
            self._loaded[spec.task_id] = spec

    def add_generator(self, spec: LoadGenerator, conversation: Conversation) -> None:
        """Keep a language model that was loaded."""
        with self._guard:
            self._generators[spec.task_id] = spec, conversation

    def remove_generator(self, task_id: int) -> Conversation | None:
        """Forget a language model; return its conversation, which the caller closes."""
        with self._guard:
            return self._generators.pop(task_id, (None, None))[1]

    def change_budgets(self, task_id: int, plan: ExecutionPlan) -> LoadSpec | None:
        """Keep other budgets of what is loaded; return it, ``None`` where nothing is."""
        with self._guard:
            spec = self._loaded.get(task_id)
            if spec is not None:
                spec = self._loaded[task_id] = replace(spec, plan=plan)
            return spec

    def remove_network(self, task_id: int) -> LoadSpec | None:
        """Forget what was loaded for a task."""
        with self._guard:
            return self._loaded.pop(task_id, None)

    def set_speed(self, factor: float) -> float:
        """Keep how fast the device is; return it, at most 1."""
        self._speed = min(1.0, factor)
        return self._speed

    def set_critical_scaling(self, lane: int, factor: float) -> float:
        """Keep by what all budgets of a lane may be scaled; return it, at least 1."""
        self._scaling[lane] = max(1.0, factor)
        return self._scaling[lane]

    def take_all(self) -> tuple[Channel | Conversation, ...]:
        """Forget everything; return channels and conversations, which the caller closes."""
        with self._guard:
            taken: tuple[Channel | Conversation, ...] = (
                *self._channels.values(),
                *(each for _, each in self._generators.values()),
            )
            self._channels.clear()
            self._loaded.clear()
            self._generators.clear()
        return taken

    def open_in(self, process: EngineProcess) -> None:
        """Give a new engine the page and the channels; ``changing`` is held.

        Raises:
            EngineError, OSError: it does not take them.
        """
        process.page.set_speed(self._speed)
        for lane, factor in tuple(self._scaling.items()):
            process.page.set_critical_scaling(lane, factor)
        for channel in tuple(self._channels.values()):
            send_channel(process, channel)

    def load_into(
        self,
        process: EngineProcess,
        *,
        without: Iterable[int],
        loading: Callable[[tuple[int, ...]], None],
    ) -> tuple[tuple[int, str], ...]:
        """Load everything again, the most urgent first; ``changing`` is held.

        Args:
            process: a new engine.
            without: ids of tasks to leave out.
            loading: called with the task that is being loaded, then with none.

        Returns:
            (task id, reason) of what failed to load.

        Raises:
            EngineError: the engine is gone; the last ``loading`` may be why.
        """
        failed: list[tuple[int, str]] = []
        left_out = frozenset(without)
        for spec in sorted(self.loaded().values(), key=_urgency):
            if spec.task_id in left_out:
                continue
            loading((spec.task_id,))
            try:
                if isinstance(spec, LoadGenerator):
                    send_generator(process, spec, self._generators[spec.task_id][1])
                else:
                    send_load(process, spec)
            except EngineError as error:
                if error.rule is Rule.ENGINE_RESTART:
                    raise
                failed.append((spec.task_id, str(error)))
            loading(())
        return tuple(failed)
