"""Reads what a generator came to, cycle by cycle, from what its engine counts."""

from __future__ import annotations

import time
from collections.abc import Callable

from aegis_ros.engine import Engine
from aegis_ros.engine.speech import LoadGenerator
from aegis_ros.memory import Holding, arena_plan
from aegis_ros.orchestrator.conversation import Conversation
from aegis_ros.orchestrator.window import Window
from aegis_ros.scheduling.adaptation import Figures, MemoryFailure

__all__ = ["CycleReader"]


class CycleReader:
    """What one generator ran. One caller at a time.

    All of its slots are taken as long as it is admitted, and written to when it is loaded: they
    count as used whether requests run or not. An arena is no reason to adapt, since fewer requests
    would free nothing; its size is left out of the figures.

    Args:
        loaded: the generator.
        conversation: its requests.
        engine: runs it.
        memory: returns what is in memory for all tasks and generators.
    """

    def __init__(
        self,
        loaded: LoadGenerator,
        conversation: Conversation,
        engine: Engine,
        *,
        memory: Callable[[], list[Holding]],
    ) -> None:
        """Begin with the first cycle."""
        self._loaded = loaded
        self._conversation = conversation
        self._engine = engine
        self._memory = memory
        self._busy = Window()
        self._seen = 0

    def read(self) -> tuple[Figures | MemoryFailure, ...]:
        """Return the cycles that have ended since it was last asked; of many, the latest."""
        cycles = self._engine.cycles(self._loaded.task_id, self._seen)
        if not cycles:
            return ()
        self._seen = cycles[-1].number
        shapes, cache = self._loaded.shapes, self._loaded.cache
        running, waiting = self._conversation.running, self._conversation.waiting
        used_bytes = arena_plan(self._memory()).nbytes
        now_ns = time.monotonic_ns()
        return tuple(
            MemoryFailure(
                request=each.request,
                tried=each.tried,
                prefill=shapes[each.bucket].prefill,
                size=shapes[each.bucket].tokens,
            )
            if each.tried
            else Figures(
                now_ns=_within(each.ended_ns, now_ns),
                prefill=shapes[each.bucket].prefill,
                size=shapes[each.bucket].tokens,
                precision="",
                answers=0 if shapes[each.bucket].prefill else _within(each.answers, cache.slots),
                context=_within(each.context, cache.max_len),
                tokens=_within(each.tokens, cache.slots),
                duration_ns=_within(each.taken_ns, now_ns),
                running=running,
                waiting=waiting,
                arena_used_bytes=used_bytes,
                arena_bytes=0,
            )
            for each in cycles
            if 0 <= each.bucket < len(shapes)
        )

    def device_use(self) -> float:
        """Return the share of its lane that was busy lately, 0..1; -1 for unknown."""
        lanes, lane = self._engine.status().lanes, self._loaded.lane
        if lane >= len(lanes):
            return -1.0
        now_ns, state = time.monotonic_ns(), lanes[lane]
        busy_ns = state.busy_ns + (now_ns - state.since_ns if state.task_id >= 0 else 0)
        found = self._busy.growth(now_ns, busy_ns)
        return found.share if found.within_ns else -1.0


def _within(value: int, most: int) -> int:
    """Return a number that an engine has written as one that can be."""
    return max(0, min(value, most))
