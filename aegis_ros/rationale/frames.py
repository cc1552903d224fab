"""Frames: those that become no job, and topics that are not as declared."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import UNTESTED, Inequality, Reason
from aegis_ros.rationale.record import Counterfactual

__all__ = [
    "BadFrame",
    "CannotSubscribe",
    "FrameMisfit",
    "FrameOutpaced",
    "FrameShed",
    "FrameSqueezed",
    "FrameTooEarly",
    "FrameUnmatched",
    "FrameWithdrawn",
    "FramesLost",
    "FramesOvertaken",
    "NewerFrame",
    "NewerSet",
    "NoFrameSlot",
    "NoFrameYet",
    "PublisherOfOtherQos",
    "PublisherOfOtherType",
    "StampsAgree",
    "StampsAhead",
    "StampsBehind",
    "StampsOffClock",
    "StampsWentBack",
    "TopicBack",
    "TopicSilent",
]


@dataclass(frozen=True, slots=True)
class NewerFrame(Reason):
    """A newer frame arrived while the job waited."""

    decision = Decision.SKIPPED
    rule = Rule.NEWER_FRAME

    task: str
    job: int


@dataclass(frozen=True, slots=True)
class FrameTooEarly(Reason):
    """Frames arrived earlier than the declared period and jitter allow.

    Attributes:
        task: whose they are.
        job: number of the job that the last one would have become.
        topic: where they came from.
        period_ns: as declared.
        jitter_ns: as declared, with the tolerance between the stamps of several inputs.
        frames: how many were early.
        within_ns: the time over which frames were watched, 0 for one frame alone.
        least_gap_ns: shortest time between two frames then.
        mean_gap_ns: mean time between two frames then.
        counterfactuals: what would have let all of them through.
    """

    decision = Decision.SKIPPED
    rule = Rule.RATE_GATE

    task: str
    job: int
    topic: str
    period_ns: int
    jitter_ns: int
    frames: int = 1
    within_ns: int = 0
    least_gap_ns: int = 0
    mean_gap_ns: int = 0
    counterfactuals: tuple[Counterfactual, ...] = ()

    def tested(self) -> Inequality:
        """Return the shortest gap against what the contract allows between two frames."""
        if not self.within_ns:
            return UNTESTED
        return Inequality(
            self.least_gap_ns / 1e6, "<", max(0, self.period_ns - self.jitter_ns) / 1e6, "ms"
        )


@dataclass(frozen=True, slots=True)
class FrameShed(Reason):
    """A frame arrived for a task that is shed while the device is slow."""

    decision = Decision.SKIPPED
    rule = Rule.DEVICE_SPEED

    task: str
    job: int
    topic: str


@dataclass(frozen=True, slots=True)
class FrameSqueezed(Reason):
    """A frame arrived for a task that is shed while memory is short."""

    decision = Decision.SKIPPED
    rule = Rule.MEMORY

    task: str
    job: int
    topic: str


@dataclass(frozen=True, slots=True)
class NewerSet(Reason):
    """A frame waited for those of the other inputs, and a newer set was complete first."""

    decision = Decision.SKIPPED
    rule = Rule.SYNC

    task: str
    job: int
    topic: str


@dataclass(frozen=True, slots=True)
class FrameUnmatched(Reason):
    """No frames of other inputs arrived whose stamps lie within the tolerance.

    Attributes:
        task: its name.
        job: number that the job would have had.
        topic: of the frame.
        tolerance_ns: longest time between stamps.
        queue: how many frames of an input wait at most.
        missing: topics of the inputs that had none; empty where each had one, but no set fitted.
    """

    decision = Decision.SKIPPED
    rule = Rule.SYNC

    task: str
    job: int
    topic: str
    tolerance_ns: int
    queue: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoFrameYet(Reason):
    """A timer wanted to release a job, and no frame of an input has arrived yet."""

    decision = Decision.SKIPPED
    rule = Rule.SYNC

    task: str
    job: int
    topic: str


@dataclass(frozen=True, slots=True)
class FrameOutpaced(Reason):
    """A newer frame replaced one that waited to be decoded or copied into its slot."""

    decision = Decision.SKIPPED
    rule = Rule.NEWER_FRAME

    task: str
    job: int
    topic: str


@dataclass(frozen=True, slots=True)
class FrameWithdrawn(Reason):
    """The node stopped to take frames of a stream before one of them was decoded."""

    decision = Decision.SKIPPED
    rule = Rule.OPERATOR

    task: str
    job: int
    topic: str


@dataclass(frozen=True, slots=True)
class BadFrame(Reason):
    """A frame cannot be used as it is."""

    decision = Decision.SKIPPED
    rule = Rule.BAD_FRAME

    task: str
    job: int
    topic: str
    problem: str


@dataclass(frozen=True, slots=True)
class FrameMisfit(Reason):
    """A frame has not the extents that the network takes.

    ``format`` is that of the frame; of ``most``, 0 is no limit; ``left_out`` counts points that
    were left out because their numbers are none.
    """

    decision = Decision.SKIPPED
    rule = Rule.BAD_FRAME

    task: str
    job: int
    topic: str
    format: str
    shape: tuple[int, ...]
    least: tuple[int, ...]
    most: tuple[int, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class NoFrameSlot(Reason):
    """A frame found no free slot in shared memory."""

    decision = Decision.SKIPPED
    rule = Rule.LIMIT

    task: str
    job: int
    topic: str


@dataclass(frozen=True, slots=True)
class TopicSilent(Reason):
    """No frame has arrived for longer than ``limit_ns``; one arrived every ``usual_ns`` before."""

    decision = Decision.INFORMED
    rule = Rule.TOPIC_SILENT

    task: str
    topic: str
    silent_ns: int
    usual_ns: int
    limit_ns: int

    def tested(self) -> Inequality:
        """Return the time without a frame against its limit."""
        return Inequality(self.silent_ns / 1e9, ">", self.limit_ns / 1e9, "s")


@dataclass(frozen=True, slots=True)
class TopicBack(Reason):
    """Frames arrive again."""

    decision = Decision.INFORMED
    rule = Rule.TOPIC_SILENT

    task: str
    topic: str
    silent_ns: int

    def tested(self) -> Inequality:
        """Return the time without a frame; nothing was tested."""
        return Inequality(self.silent_ns / 1e9, "", 0.0, "s")


@dataclass(frozen=True, slots=True)
class FramesLost(Reason):
    """Messages were sent and never arrived, as the middleware counts them."""

    decision = Decision.LOST
    rule = Rule.FRAMES_LOST

    task: str
    topic: str
    total: int


@dataclass(frozen=True, slots=True)
class FramesOvertaken(Reason):
    """Messages arrived, and newer ones took their place before the node took them."""

    decision = Decision.LOST
    rule = Rule.FRAMES_LOST

    task: str
    topic: str
    total: int


@dataclass(frozen=True, slots=True)
class StampsWentBack(Reason):
    """The stamps of a topic went back in time."""

    decision = Decision.INFORMED
    rule = Rule.TIME_JUMP

    task: str
    topic: str
    back_ns: int


@dataclass(frozen=True, slots=True)
class StampsAhead(Reason):
    """The stamps of a topic are from the future: at least ``ahead_ns`` when a message arrives."""

    decision = Decision.INFORMED
    rule = Rule.TIME_JUMP

    task: str
    topic: str
    ahead_ns: int

    def tested(self) -> Inequality:
        """Return how far they are ahead; no stamp is from the future."""
        return Inequality(self.ahead_ns / 1e6, ">", 0.0, "ms")


@dataclass(frozen=True, slots=True)
class StampsBehind(Reason):
    """The stamps of a topic are older than the deadline of a task when a message arrives."""

    decision = Decision.INFORMED
    rule = Rule.TIME_JUMP

    task: str
    topic: str
    behind_ns: int
    deadline_ns: int

    def tested(self) -> Inequality:
        """Return the least age of a frame against the deadline."""
        return Inequality(self.behind_ns / 1e6, ">=", self.deadline_ns / 1e6, "ms")


@dataclass(frozen=True, slots=True)
class StampsAgree(Reason):
    """The stamps of a topic agree with the node's clock again."""

    decision = Decision.INFORMED
    rule = Rule.TIME_JUMP

    task: str
    topic: str


@dataclass(frozen=True, slots=True)
class StampsOffClock(Reason):
    """The stamps of a topic are not on this machine's clock; negative: behind it."""

    decision = Decision.INFORMED
    rule = Rule.TIME_JUMP

    task: str
    topic: str
    ahead_ns: int


@dataclass(frozen=True, slots=True)
class CannotSubscribe(Reason):
    """The node cannot subscribe to a task's topic."""

    decision = Decision.LOST
    rule = Rule.TOPIC_TYPE

    task: str
    topic: str
    type: str
    problem: str


@dataclass(frozen=True, slots=True)
class PublisherOfOtherQos(Reason):
    """A publisher of a task's topic is not heard: its quality of service does not fit.

    ``policy`` is ``reliability``, ``durability``, ``deadline``, ``liveliness`` or
    ``liveliness_lease_duration``.
    """

    decision = Decision.LOST
    rule = Rule.TOPIC_QOS

    task: str
    topic: str
    publisher: str
    policy: str
    offered: str
    requested: str


@dataclass(frozen=True, slots=True)
class PublisherOfOtherType(Reason):
    """A publisher of a task's topic is not heard: its messages are of another type."""

    decision = Decision.LOST
    rule = Rule.TOPIC_TYPE

    task: str
    topic: str
    publisher: str
    offered: str
    requested: str
