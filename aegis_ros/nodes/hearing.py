"""What each task hears of its publishers; those that it does not hear are reported, once each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aegis_ros.nodes.publishers import Difference, Heard
from aegis_ros.orchestrator import Orchestrator, Stream
from aegis_ros.rationale import Reason
from aegis_ros.rationale.frames import PublisherOfOtherQos, PublisherOfOtherType
from aegis_ros.rationale.prompts import PromptsOfOtherType

__all__ = ["Ears", "Hearing", "Told"]

Unheard = PublisherOfOtherQos | PublisherOfOtherType


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a task hears.

    Attributes:
        publishers: how many it hears; of several inputs, those of the one that hears fewest.
        unheard: what keeps it from hearing others.
        granted: its subscriptions as the middleware has them, for people.
    """

    publishers: int = 0
    unheard: tuple[Unheard, ...] = ()
    granted: str = ""


class Told:
    """Reports publishers that are not heard, each once for as long as it is there.

    Args:
        report: where they are reported.
    """

    def __init__(self, report: Callable[[Reason], object]) -> None:
        """Begin with nothing reported."""
        self._report = report
        self._reported: set[Unheard | PromptsOfOtherType] = set()
        # Publishers whose node may become known yet.
        self._nameless: set[Unheard | PromptsOfOtherType] = set()

    def report(self, now: set[Unheard | PromptsOfOtherType]) -> None:
        """Report what is new.

        Args:
            now: all that are not heard at this moment.
        """
        nameless = {reason for reason in now if not reason.publisher} - self._nameless
        for reason in sorted(now - self._reported - nameless, key=str):
            self._report(reason)
        self._reported, self._nameless = now - nameless, nameless | (self._nameless & now)


class Ears:
    """Says what each task hears, and reports what it does not.

    Args:
        orchestrator: knows which stream feeds which task.
    """

    def __init__(self, orchestrator: Orchestrator) -> None:
        """Begin with nothing reported."""
        self._orchestrator = orchestrator
        self._told = Told(orchestrator.log.report)

    def report(self, streams: Sequence[Stream], heard: Mapping[str, Heard]) -> dict[str, Hearing]:
        """Report what is new, and return everything by the name of the task.

        Args:
            streams: those that are subscribed to.
            heard: what the graph knows, by the key of the stream.
        """
        by_task: dict[str, list[tuple[Stream, Heard]]] = {}
        for stream in streams:
            for task in self._orchestrator.intake.fed_by(stream.key):
                one = (stream, heard.get(stream.key, Heard()))
                by_task.setdefault(task, []).append(one)
        found = {
            task: Hearing(
                min(each.heard for _, each in ears),
                tuple(
                    _reason(task, stream.topic, why)
                    for stream, each in ears
                    for why in each.unheard
                ),
                "; ".join(
                    f"{stream.topic}: {each.granted}" for stream, each in ears if each.granted
                ),
            )
            for task, ears in by_task.items()
        }
        self._told.report({reason for each in found.values() for reason in each.unheard})
        return found


def _reason(task: str, topic: str, each: Difference) -> Unheard:
    if each.policy == "type":
        return PublisherOfOtherType(task, topic, each.publisher, each.offered, each.requested)
    return PublisherOfOtherQos(
        task, topic, each.publisher, each.policy, each.offered, each.requested
    )
