"""What a generator's job was made of, and how much of its lane tasks left it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.trace.explain import PartKind, Split
from aegis_ros.trace.history import Trace

__all__ = ["Slack", "StepTotal", "slack_of", "steps_of"]

_TAKEN = (PartKind.BLOCKING, PartKind.INTERFERENCE)
_USED = (PartKind.EXECUTION, PartKind.OVERRUN, PartKind.HANDOVER)


@dataclass(frozen=True, slots=True)
class StepTotal:
    """All runs of one step in a job.

    Attributes:
        name: of the step, such as ``prefill 8``.
        times: how often its first part ran.
        length_ns: what the device worked for it.
        longest_ns: in its longest part.
    """

    name: str
    times: int
    length_ns: int
    longest_ns: int


@dataclass(frozen=True, slots=True)
class Slack:
    """How much of its lane a job had.

    Attributes:
        whole_ns: from its beginning to its end.
        taken_ns: of that, what jobs of others held the lane for while it waited.
        used_ns: what it held the lane for.
        longest_ns: the longest time that it waited for others without a break.
        longest_by: task and number of the job that this wait ended with; ``None`` for no wait.
    """

    whole_ns: int
    taken_ns: int
    used_ns: int
    longest_ns: int = 0
    longest_by: tuple[int, int] | None = None

    @property
    def left_ns(self) -> int:
        """What others left of its lane."""
        return self.whole_ns - self.taken_ns


def steps_of(trace: Trace, parts: Split) -> tuple[StepTotal, ...]:
    """Return the steps of a generator's job in the order in which each first ran; else nothing."""
    found: dict[str, StepTotal] = {}
    for run in parts.job.segments:
        name = trace.step_name(run.task, run.segment)
        if not name:
            continue
        before = found.get(name, StepTotal(name, 0, 0, 0))
        length = run.ended_ns - run.began_ns
        first = trace.step_name(run.task, run.segment - 1) != name if run.segment else True
        found[name] = StepTotal(
            name,
            before.times + first,
            before.length_ns + length,
            max(before.longest_ns, length),
        )
    return tuple(found.values())


def slack_of(parts: Split) -> Slack:
    """Return how much of its lane others took while a job lasted, and what it did with the rest."""
    longest = waited = 0
    longest_by: tuple[int, int] | None = None
    for span in parts.spans:
        if span.kind not in _TAKEN:
            waited = 0
            continue
        waited += span.length_ns
        if waited > longest and span.by is not None:
            longest, longest_by = waited, (span.by.task, span.by.seq)
    return Slack(
        parts.total_ns(), parts.total_ns(*_TAKEN), parts.total_ns(*_USED), longest, longest_by
    )
