"""A speaker that speaks a fixed text: what the orchestrator's tests have in place of an engine."""

from __future__ import annotations

from collections.abc import Callable

from aegis_ros.engine.speech import Asked, Ending, Spoken
from aegis_ros.errors import EngineError
from aegis_ros.rationale import Rule


class FakeSpeaker:
    """Notes what it is asked, and speaks when it is made to.

    Attributes:
        asked: requests that run, by number.
        cancelled: numbers that were to be cancelled.
        gone: whether there is no engine.
        refuses: why it takes no request; empty where it does.
        on_spoken: hears what is said.
    """

    def __init__(self, task_id: int = 1) -> None:
        self.task_id = task_id
        self.asked: dict[int, Asked] = {}
        self.cancelled: list[int] = []
        self.gone = False
        self.refuses = ""
        self.on_spoken: Callable[[Spoken], None] = lambda spoken: None
        self._now_ns = 1_000_000_000_000_000

    def ask(self, task_id: int, asked: Asked) -> None:
        assert task_id == self.task_id
        if self.gone:
            raise EngineError("the engine is not running", rule=Rule.ENGINE_RESTART)
        if self.refuses:
            raise EngineError(self.refuses)
        assert asked.request not in self.asked
        assert asked.slot not in [each.slot for each in self.asked.values()]
        self.asked[asked.request] = asked

    def cancel(self, task_id: int, request: int) -> None:
        self.cancelled.append(request)

    def say(
        self, request: int, text: str = "", ended: Ending | None = None, *, why: str = ""
    ) -> None:
        """Have a request say a text, one token a byte, and end for a reason that is told."""
        times = []
        for _ in text.encode():
            self._now_ns += 10_000_000
            times.append(self._now_ns)
        if ended is not None:
            del self.asked[request]
        spoken = Spoken(self.task_id, request, tuple(text.encode()), tuple(times), ended, why)
        self.on_spoken(spoken)

    def lose(self) -> None:
        """Be lost, with all that run."""
        self.gone = True
        for request in tuple(self.asked):
            self.say(request, ended=Ending.LOST)
