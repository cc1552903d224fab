"""Reports when a sensor that was there falls silent, and when it is back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale.frames import TopicBack, TopicSilent

__all__ = ["Heard", "Silences"]

_PERIODS = 10
_LEAST_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Heard:
    """What has been heard of a task's topic until now.

    Attributes:
        task: its name.
        topic: where its frames come from.
        period_ns: declared shortest time between two of them.
        received: frames that came, ever.
    """

    task: str
    topic: str
    period_ns: int
    received: int


@dataclass(slots=True)
class _Ear:
    first: int
    first_ns: int
    received: int
    changed_ns: int
    silent: bool = False


class Silences:
    """Watches counts of frames; to be called about once a second, by one thread.

    A period is declared as the shortest time between frames, and a topic may rightly be slower:
    what counts is the longer one of the period and the usual time between the frames that came.

    Args:
        log: where it is reported.
    """

    def __init__(self, log: RationaleLog) -> None:
        """Know nothing yet."""
        self._log = log
        self._ears: dict[str, _Ear] = {}

    def watch(self, tasks: Iterable[Heard], now_ns: int) -> None:
        """Report what fell silent or came back since the last call.

        Args:
            tasks: those that frames are wanted for; what is left out is forgotten.
            now_ns: monotonic time.
        """
        ears = {}
        for heard in tasks:
            ear = self._ears.get(heard.task)
            if ear is None or heard.received < ear.received:
                ear = _Ear(heard.received, now_ns, heard.received, now_ns)
            elif heard.received > ear.received:
                if ear.silent:
                    silent_ns = now_ns - ear.changed_ns
                    self._log.report(TopicBack(heard.task, heard.topic, silent_ns))
                ear.received, ear.changed_ns, ear.silent = heard.received, now_ns, False
            else:
                self._judge(heard, ear, now_ns)
            ears[heard.task] = ear
        self._ears = ears

    def _judge(self, heard: Heard, ear: _Ear, now_ns: int) -> None:
        came = ear.received - ear.first
        if ear.silent or came == 0:
            return  # what was never there is reported by the diagnostics
        usual_ns = max(heard.period_ns, (ear.changed_ns - ear.first_ns) // came)
        silent_ns, limit_ns = now_ns - ear.changed_ns, max(_LEAST_NS, _PERIODS * usual_ns)
        if silent_ns > limit_ns:
            ear.silent = True
            self._log.report(TopicSilent(heard.task, heard.topic, silent_ns, usual_ns, limit_ns))
