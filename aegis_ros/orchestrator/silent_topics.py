"""Reports when a sensor that was there falls silent, and when it is back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale.frames import TopicBack, TopicSilent

__all__ = ["SilentTopics", "TopicCount"]

_PERIODS = 10
_LEAST_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TopicCount:
    """How many messages a task's topic has brought until now.

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
class _Watched:
    first: int
    first_ns: int
    received: int
    changed_ns: int
    silent: bool = False


class SilentTopics:
    """Watches counts of frames; to be called about once a second, by one thread.

    A period is declared as the shortest time between frames, and a topic may rightly be slower:
    what counts is the longer one of the period and the usual time between the frames that came.

    Args:
        log: where it is reported.
    """

    def __init__(self, log: RationaleLog) -> None:
        """Know nothing yet."""
        self._log = log
        self._watched: dict[str, _Watched] = {}

    def watch(self, tasks: Iterable[TopicCount], now_ns: int) -> None:
        """Report what fell silent or came back since the last call.

        Args:
            tasks: those that frames are wanted for; what is left out is forgotten.
            now_ns: monotonic time.
        """
        watched = {}
        for count in tasks:
            last = self._watched.get(count.task)
            if last is None or count.received < last.received:
                last = _Watched(count.received, now_ns, count.received, now_ns)
            elif count.received > last.received:
                if last.silent:
                    silent_ns = now_ns - last.changed_ns
                    self._log.report(TopicBack(count.task, count.topic, silent_ns))
                last.received, last.changed_ns, last.silent = count.received, now_ns, False
            else:
                self._judge(count, last, now_ns)
            watched[count.task] = last
        self._watched = watched

    def _judge(self, count: TopicCount, last: _Watched, now_ns: int) -> None:
        came = last.received - last.first
        if last.silent or came == 0:
            return  # what was never there is reported by the diagnostics
        usual_ns = max(count.period_ns, (last.changed_ns - last.first_ns) // came)
        silent_ns, limit_ns = now_ns - last.changed_ns, max(_LEAST_NS, _PERIODS * usual_ns)
        if silent_ns > limit_ns:
            last.silent = True
            self._log.report(TopicSilent(count.task, count.topic, silent_ns, usual_ns, limit_ns))
