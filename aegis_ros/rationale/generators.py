"""Generators: which of their buckets the proof allows, and what becomes of their requests."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.arena import Holder, SharedPiece
from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Inequality, Reason
from aegis_ros.rationale.record import Counterfactual

__all__ = [
    "AnswerCapped",
    "AnswerLimited",
    "AnswerLost",
    "AnswerTooLong",
    "BucketTried",
    "BucketsChanged",
    "CacheTooLarge",
    "GeneratorAdmitted",
    "GeneratorRefused",
    "ModelFailed",
    "PromiseRefused",
    "PromptTooLong",
    "RequestWaits",
    "StepBorne",
    "StepOverran",
    "TooManyRequests",
    "UnknownGenerator",
]


@dataclass(frozen=True, slots=True)
class StepBorne:
    """How long a step of best effort may hold a lane.

    Attributes:
        lane: its name.
        longest_ns: the longest step, its switch included; 0 where the lane fails without one.
        task: whose deadline a longer one could break.
        t_ns: interval that decides; 0 where the test only found no end within its limits.
        demand_ns: what is due within it.
    """

    lane: str
    longest_ns: int
    task: str
    t_ns: int
    demand_ns: int


@dataclass(frozen=True, slots=True)
class BucketTried:
    """A bucket, and whether its parts are short enough.

    Attributes:
        name: as ``prefill 32``, ``encode 64`` or ``decode 4 (int8)``.
        longest_ns: its longest part, with the switch.
        parts: in how many it is cut.
        fits: whether the lane bears the longest one.
    """

    name: str
    longest_ns: int
    parts: int
    fits: bool


@dataclass(frozen=True, slots=True)
class GeneratorAdmitted(Reason):
    """A generator runs in the slack of a lane, with some of its buckets or all.

    Attributes:
        task: its name.
        lane: where it runs.
        borne: how long a step may take; ``None`` where no deadline is promised there.
        buckets: all that were tried.
        tokens_per_s: of all its answers together, on average; 0 where nothing is left of the lane.
        promised_per_s: tokens a second that each answer is promised; 0 for none.
        counterfactuals: what would admit the others.
    """

    decision = Decision.ADMITTED
    rule = Rule.DEMAND_BOUND

    task: str
    lane: str
    borne: StepBorne | None
    buckets: tuple[BucketTried, ...]
    tokens_per_s: float
    promised_per_s: float = 0.0
    counterfactuals: tuple[Counterfactual, ...] = ()

    def tested(self) -> Inequality:
        """Return the longest part that fits against what the lane bears."""
        if self.borne is None:
            return Inequality(0.0, "", 0.0, "")
        longest = max(each.longest_ns for each in self.buckets if each.fits)
        return Inequality(longest / 1e6, "<=", self.borne.longest_ns / 1e6, "ms")


@dataclass(frozen=True, slots=True)
class GeneratorRefused(Reason):
    """No chunk of a prompt, no decode, or no step of an image, is short enough for the lane.

    Attributes:
        task: its name.
        lane: where it was to run.
        borne: how long a step may take.
        missing: ``prefill``, ``decode`` or ``encode``: what it has none of.
        buckets: all that were tried.
        counterfactuals: what would admit it.
    """

    decision = Decision.REJECTED
    rule = Rule.DEMAND_BOUND

    task: str
    lane: str
    borne: StepBorne
    missing: str
    buckets: tuple[BucketTried, ...]
    counterfactuals: tuple[Counterfactual, ...] = ()

    def tested(self) -> Inequality:
        """Return the shortest bucket that is missing against what the lane bears."""
        shortest = min(
            each.longest_ns for each in self.buckets if each.name.startswith(self.missing)
        )
        return Inequality(shortest / 1e6, ">", self.borne.longest_ns / 1e6, "ms")


@dataclass(frozen=True, slots=True)
class CacheTooLarge(Reason):
    """The key-value cache of a generator does not fit into what it may take.

    Attributes:
        task: its name.
        slots: answers at once.
        max_len: tokens of one.
        need_bytes: of all of them.
        room_bytes: what it may take.
        slots_that_fit: of this length; 0 where not one does.
        length_that_fits: tokens of so many slots; below 2 where none does.
        counterfactuals: changes that would admit it; none where nothing is known of the arena.
        holders: what each of the others holds for itself, the most first.
        shared: what others hold together.
    """

    decision = Decision.REJECTED
    rule = Rule.ARENA

    task: str
    slots: int
    max_len: int
    need_bytes: int
    room_bytes: int
    slots_that_fit: int
    length_that_fits: int
    counterfactuals: tuple[Counterfactual, ...] = ()
    holders: tuple[Holder, ...] = ()
    shared: tuple[SharedPiece, ...] = ()

    def tested(self) -> Inequality:
        """Return what it needs against what it may take."""
        return Inequality(self.need_bytes / 2**20, ">", self.room_bytes / 2**20, "MiB")


@dataclass(frozen=True, slots=True)
class AnswerCapped(Reason):
    """A request is answered with fewer tokens than it asked for, as many as its slot has room for.

    Attributes:
        task: the generator.
        request: number of the request.
        prompt: its tokens.
        asked: tokens of an answer that it asked for.
        room: tokens that the slot has left after the prompt.
    """

    decision = Decision.INFORMED
    rule = Rule.ARENA

    task: str
    request: int
    prompt: int
    asked: int
    room: int


@dataclass(frozen=True, slots=True)
class AnswerLimited(Reason):
    """A request is answered with fewer tokens than it asked for, as long ones are slow at present.

    Attributes:
        task: the generator.
        request: number of the request.
        prompt: its tokens.
        asked: tokens of an answer that it asked for.
        length: tokens that a request may have at present, its prompt included.
    """

    decision = Decision.INFORMED
    rule = Rule.ADAPTATION

    task: str
    request: int
    prompt: int
    asked: int
    length: int


@dataclass(frozen=True, slots=True)
class AnswerTooLong(Reason):
    """A request that is not to be capped asks for more tokens than its slot has room for.

    Attributes:
        task: the generator.
        request: number of the request.
        prompt: its tokens.
        asked: tokens of an answer that it asked for.
        room: tokens that the slot has left after the prompt.
    """

    decision = Decision.REJECTED
    rule = Rule.ARENA

    task: str
    request: int
    prompt: int
    asked: int
    room: int

    def tested(self) -> Inequality:
        """Return what it asks for against the room."""
        return Inequality(float(self.asked), ">", float(self.room), "")


@dataclass(frozen=True, slots=True)
class PromptTooLong(Reason):
    """A prompt leaves no room for an answer in its slot.

    Attributes:
        task: the generator.
        request: number of the request.
        prompt: its tokens.
        most: tokens that would pass.
    """

    decision = Decision.REJECTED
    rule = Rule.ARENA

    task: str
    request: int
    prompt: int
    most: int

    def tested(self) -> Inequality:
        """Return the prompt against what would pass."""
        return Inequality(float(self.prompt), ">", float(self.most), "")


@dataclass(frozen=True, slots=True)
class RequestWaits(Reason):
    """All slots are taken; the request gets the next one in its turn.

    Attributes:
        task: the generator.
        request: number of the request.
        slots: how many there are.
        place: in line, from 1.
    """

    decision = Decision.INFORMED
    rule = Rule.ARENA

    task: str
    request: int
    slots: int
    place: int


@dataclass(frozen=True, slots=True)
class TooManyRequests(Reason):
    """All slots are taken, and as many requests wait as may.

    Attributes:
        task: the generator.
        request: number of the request; 0 where it has none yet.
        slots: how many there are.
        waiting: how many wait.
    """

    decision = Decision.REJECTED
    rule = Rule.ARENA

    task: str
    request: int
    slots: int
    waiting: int


@dataclass(frozen=True, slots=True)
class PromiseRefused(Reason):
    """What a generator promises would make a task of its lane late.

    Attributes:
        task: the generator.
        lane: where it was to run.
        promised_per_s: tokens a second that each answer is promised.
        decode_ns: the step that keeps the promise, its switches included.
        late: whose deadline would not hold.
        most_per_s: what could be promised; 0 for nothing.
    """

    decision = Decision.REJECTED
    rule = Rule.DEMAND_BOUND

    task: str
    lane: str
    promised_per_s: float
    decode_ns: int
    late: str
    most_per_s: float

    def tested(self) -> Inequality:
        """Return what it promises against what it could."""
        return Inequality(self.promised_per_s, ">", self.most_per_s, "tokens/s")


@dataclass(frozen=True, slots=True)
class BucketsChanged(Reason):
    """Tasks of a lane have changed, and with them the steps that a generator may take.

    Attributes:
        task: the generator.
        lane: where it runs.
        borne: how long a step may take now; ``None`` where no deadline is promised there.
        before: the buckets it had.
        after: those it has.
    """

    decision = Decision.INFORMED
    rule = Rule.DEMAND_BOUND

    task: str
    lane: str
    borne: StepBorne | None
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepOverran(Reason):
    """A part of a generator's step took longer than its budget, which blocks others for as long.

    Attributes:
        task: the generator.
        lane: where it runs.
        bucket: name of the step.
        part: of it, from 0.
        taken_ns: what it took.
        budget_ns: what it was to take at most.
    """

    decision = Decision.INFORMED
    rule = Rule.OVERRUN

    task: str
    lane: str
    bucket: str
    part: int
    taken_ns: int
    budget_ns: int

    def tested(self) -> Inequality:
        """Return what it took against its budget."""
        return Inequality(self.taken_ns / 1e6, ">", self.budget_ns / 1e6, "ms")


@dataclass(frozen=True, slots=True)
class UnknownGenerator(Reason):
    """A request names a generator that is not there.

    Attributes:
        task: the name.
        known: those that are there.
    """

    decision = Decision.REJECTED
    rule = Rule.UNKNOWN_TASK

    task: str
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnswerLost(Reason):
    """An answer was cut off because the engine was lost.

    Attributes:
        task: the generator.
        request: number of the request.
        tokens: how many there are.
    """

    decision = Decision.LOST
    rule = Rule.ENGINE_RESTART

    task: str
    request: int
    tokens: int


@dataclass(frozen=True, slots=True)
class ModelFailed(Reason):
    """An answer was cut off because the engine could not go on with it.

    Attributes:
        task: the generator.
        request: number of the request.
        tokens: how many there are.
        problem: what the engine says of it; may be empty.
    """

    decision = Decision.LOST
    rule = Rule.RUN_FAILED

    task: str
    request: int
    tokens: int
    problem: str
