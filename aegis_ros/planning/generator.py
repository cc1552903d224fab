"""Whether a generator may run in the slack of a lane, and with which of its buckets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aegis_ros.analysis import (
    AnalysisTask,
    LongestStep,
    is_schedulable,
    longest_step,
    slack_rates,
)
from aegis_ros.analysis.search import smallest
from aegis_ros.memory import KvShape
from aegis_ros.planning.cutting import advise_cuts
from aegis_ros.rationale import Counterfactual
from aegis_ros.rationale.changes import CutBucket, OtherDeadlineLonger
from aegis_ros.rationale.generators import (
    BucketTried,
    CacheTooLarge,
    GeneratorAdmitted,
    GeneratorRefused,
    StepBorne,
)
from aegis_ros.rationale.wording import counterfactual
from aegis_ros.scheduling import GeneratorPlan
from aegis_ros.scheduling.adaptation import Choice, Controller, Menu
from aegis_ros.scheduling.generation import Shape
from aegis_ros.simulation import AdaptedGenerator, GivenRequest, SaturatedGenerator
from aegis_ros.spec import Criticality

__all__ = [
    "Bucket",
    "Generator",
    "GeneratorAnswer",
    "cache_too_large",
    "in_order",
    "judge_generator",
]

_GRAIN_NS = 100_000  # deadlines are advised in tenths of a millisecond
_MOST_PARTS = 64  # advised for one bucket


@dataclass(frozen=True, slots=True)
class Bucket:
    """One shape that a generator's network was measured with, at its largest context.

    Attributes:
        tokens: of a prompt's chunk, or one for each answer that is decoded at once, or one for each
            row of an image.
        prefill: whether it is for a prompt: a chunk of it, or its image.
        parts_ns: budget of each part, without the switch.
        precision: of the weights it runs with; empty where there is one.
        image: whether it makes the rows of an image.
    """

    tokens: int
    prefill: bool
    parts_ns: tuple[int, ...]
    precision: str = ""
    image: bool = False

    @property
    def kind(self) -> str:
        """``prefill``, ``encode`` or ``decode``."""
        return ("encode" if self.image else "prefill") if self.prefill else "decode"

    @property
    def shape(self) -> Shape:
        """What it does."""
        return Shape(self.tokens, self.prefill, self.image)

    @property
    def name(self) -> str:
        """As ``prefill 32``, ``encode 64`` or ``decode 4 (int8)``."""
        return f"{self.kind} {self.tokens}" + (f" ({self.precision})" if self.precision else "")

    def task(self, name: str) -> AnalysisTask:
        """Return it as work of best effort that is always there."""
        return AnalysisTask(name, self.parts_ns, 1, 1, 0, Criticality.BEST_EFFORT)


@dataclass(frozen=True, slots=True)
class Generator:
    """A network that generates token after token.

    Attributes:
        name: unlike that of any task.
        lane: where it runs.
        buckets: what it was measured with, at least one chunk and one decode; one that answers
            about images needs the bucket that makes their rows, too.
        cache: what its keys and values take.
        room_bytes: what they may take of the arena; 0 for no limit.
        tokens_per_s: what each of its answers is promised; 0 for best effort.
    """

    name: str
    lane: str
    buckets: tuple[Bucket, ...]
    cache: KvShape
    room_bytes: int = 0
    tokens_per_s: float = 0.0

    def promise(self) -> AnalysisTask | None:
        """Return the task that keeps its promise: a decode for all answers, as often as promised.

        ``None`` where it has none, or no decode for so many answers.
        """
        able = [
            each for each in self.buckets if not each.prefill and each.tokens >= self.cache.slots
        ]
        if not self.tokens_per_s or not able:
            return None
        decode = min(able, key=lambda each: sum(each.parts_ns))
        period_ns = int(1e9 / self.tokens_per_s)
        return AnalysisTask(
            self.name, decode.parts_ns, period_ns, period_ns, 0, Criticality.LOW, self.lane
        )


@dataclass(frozen=True, slots=True)
class GeneratorAnswer:
    """What the proof says of a generator.

    Attributes:
        generator: what was asked for.
        reason: why it is admitted or not, with all numbers.
        buckets: those that are admitted; empty where it is not.
    """

    generator: Generator
    reason: GeneratorAdmitted | GeneratorRefused | CacheTooLarge
    buckets: tuple[Bucket, ...] = ()

    @property
    def admitted(self) -> bool:
        """Whether it may run."""
        return isinstance(self.reason, GeneratorAdmitted)

    @property
    def step_name(self) -> str:
        """How its work in the slack is named beside the task that keeps its promise."""
        name = self.generator.name
        return name if self.generator.promise() is None else f"{name} in the slack"

    def step(self) -> AnalysisTask:
        """Return its work in the slack, for the tests; of one that is admitted.

        It blocks for the longest part of all, and in its turn takes about the longest decode.
        """
        longest = max(_length(bucket) for bucket in self.buckets)
        turn = max(sum(bucket.parts_ns) for bucket in self.buckets if not bucket.prefill)
        rest = max(0, turn - longest)
        count = -(-rest // longest)
        parts = (longest, *(-(-rest // count),) * count) if count else (longest,)
        return AnalysisTask(self.step_name, parts, 1, 1, 0, Criticality.BEST_EFFORT)

    def plan(self, switch_ns: int) -> GeneratorPlan:
        """Return the plan of its jobs, the smallest chunk first; of one that is admitted."""
        budgets: list[int] = []
        begins: list[int] = []
        for bucket in self.buckets:
            begins.append(len(budgets))
            budgets += [part + switch_ns for part in bucket.parts_ns]
        prefills = sum(bucket.prefill for bucket in self.buckets)
        return GeneratorPlan(tuple(budgets), tuple(begins), prefills)

    def menu(self) -> Menu:
        """Return what an adaptation policy may choose from; of one that is admitted.

        Raises:
            ValueError: no precision has both a chunk and a decode that were admitted.
        """
        cache = self.generator.cache
        choices = [
            Choice(each.tokens, each.prefill, each.precision, sum(each.parts_ns))
            for each in self.buckets
            if not each.image
        ]
        return Menu(choices, slots=cache.slots, max_len=cache.max_len, slot_bytes=cache.slot_bytes)

    def adapted(
        self,
        switch_ns: int,
        *,
        requests: Sequence[GivenRequest],
        controller: Controller,
        others_bytes: Callable[[int], int] = lambda now_ns: 0,
        arena_bytes: int = 0,
        refuses: Callable[[int, int, int], bool] = lambda request, tried, used_bytes: False,
    ) -> AdaptedGenerator:
        """Return it for a simulation of given requests, adapted by a controller of its menu.

        The arguments are those of :class:`~aegis_ros.simulation.AdaptedGenerator`.
        """
        return AdaptedGenerator(
            self.generator.name,
            self.plan(switch_ns),
            [each.shape for each in self.buckets],
            [each.precision for each in self.buckets],
            cache=self.generator.cache,
            requests=requests,
            controller=controller,
            others_bytes=others_bytes,
            arena_bytes=arena_bytes,
            refuses=refuses,
        )

    def saturated(
        self, switch_ns: int, *, until_ns: int, chance: np.random.Generator
    ) -> SaturatedGenerator:
        """Return it for a simulation in which it always has something to say.

        Of buckets that differ in precision alone, it takes the fastest.

        Args:
            switch_ns: cost of starting one part.
            until_ns: when it stops.
            chance: lengths of prompts and answers.
        """
        fastest: dict[Shape, Bucket] = {}
        for bucket in self.buckets:
            other = fastest.setdefault(bucket.shape, bucket)
            if sum(bucket.parts_ns) < sum(other.parts_ns):
                fastest[bucket.shape] = bucket
        return SaturatedGenerator(
            self.generator.name,
            replace(self, buckets=tuple(fastest.values())).plan(switch_ns),
            tuple(fastest),
            self.generator.cache,
            until_ns=until_ns,
            chance=chance,
        )


def judge_generator(
    generator: Generator, tasks: Sequence[AnalysisTask], switch_ns: int = 0
) -> GeneratorAnswer:
    """Test which buckets of a generator a lane bears beside its tasks.

    A bucket may run where its longest part, which nothing interrupts, is no longer than
    :func:`~aegis_ros.analysis.longest_step`: it then makes no task late, however often it runs. How
    the promised tasks are cut does not matter for that, since what they demand stays the same; only
    where the lane fails by itself may cutting one of them help.

    Args:
        generator: what is asked for.
        tasks: all of its lane, that of its promise included.
        switch_ns: cost of starting one part.
    """
    too_large = cache_too_large(generator.name, generator.cache, generator.room_bytes)
    if too_large is not None:
        return GeneratorAnswer(generator, too_large)
    borne = longest_step(tasks, lane=generator.lane, switch_ns=switch_ns)
    order = in_order(generator.buckets)
    tried = []
    for bucket in order:
        longest_ns = max(bucket.parts_ns) + switch_ns
        fits = borne is None or longest_ns <= borne.longest_ns
        tried.append(BucketTried(bucket.name, longest_ns, len(bucket.parts_ns), fits))
    admitted = tuple(bucket for bucket, found in zip(order, tried, strict=True) if found.fits)
    refused = [bucket for bucket, found in zip(order, tried, strict=True) if not found.fits]
    missing = [
        kind
        for kind in ("prefill", "decode", "encode")
        if not any(bucket.kind == kind for bucket in admitted)
        and any(bucket.kind == kind for bucket in order)
    ]
    if borne is not None and missing:
        # One of each kind that it has none of is enough, the shortest.
        needed = [
            min((bucket for bucket in refused if bucket.kind == kind), key=_length)
            for kind in missing
        ]
        reason = GeneratorRefused(
            generator.name,
            generator.lane,
            _borne(generator.lane, borne),
            missing[-1],
            tuple(tried),
            _changes(generator, needed, tasks, borne, switch_ns=switch_ns),
        )
        return GeneratorAnswer(generator, reason)
    return GeneratorAnswer(
        generator,
        GeneratorAdmitted(
            generator.name,
            generator.lane,
            None if borne is None else _borne(generator.lane, borne),
            tuple(tried),
            _tokens_per_s(generator, admitted, tasks, switch_ns),
            generator.tokens_per_s,
            ()
            if borne is None
            else _changes(generator, refused, tasks, borne, switch_ns=switch_ns),
        ),
        admitted,
    )


def in_order(buckets: Sequence[Bucket]) -> tuple[Bucket, ...]:
    """Return buckets as a plan wants them: the smallest chunk first, an image before decodes."""
    return tuple(sorted(buckets, key=lambda each: (not each.prefill, each.image, each.tokens)))


def cache_too_large(name: str, cache: KvShape, room_bytes: int) -> CacheTooLarge | None:
    """Return why a cache does not fit; ``None`` where it does.

    Args:
        name: of its generator.
        cache: what keys and values take.
        room_bytes: what they may take; 0 for no limit.
    """
    need = cache.footprint.total
    if not room_bytes or need <= room_bytes:
        return None
    return CacheTooLarge(
        name,
        cache.slots,
        cache.max_len,
        need,
        room_bytes,
        cache.most_slots(room_bytes),
        cache.longest(room_bytes),
    )


def _length(bucket: Bucket) -> int:
    return max(bucket.parts_ns)


def _borne(lane: str, found: LongestStep) -> StepBorne:
    at = found.witness
    if at is None:
        return StepBorne(lane, found.longest_ns, found.task, 0, 0)
    return StepBorne(lane, found.longest_ns, found.task, at.t_ns, at.demand_ns)


def _tokens_per_s(
    generator: Generator,
    admitted: Sequence[Bucket],
    tasks: Sequence[AnalysisTask],
    switch_ns: int,
) -> float:
    """Return what is left for its answers together, decoded as many at once as is fastest."""
    best = 0.0
    name = f"{generator.name} in the slack"  # no task can have this name
    for bucket in admitted:
        if not bucket.prefill:
            rates = slack_rates([*tasks, bucket.task(name)], switch_ns)
            left = next(rate.left for rate in rates if rate.task == name)
            best = max(best, left * min(bucket.tokens, generator.cache.slots))
    return best


def _changes(
    generator: Generator,
    refused: Sequence[Bucket],
    tasks: Sequence[AnalysisTask],
    borne: LongestStep,
    *,
    switch_ns: int,
) -> tuple[Counterfactual, ...]:
    """Return what would admit the refused buckets: finer parts, or another task changed."""
    found = [
        change
        for bucket in refused
        if (change := _finer(generator, bucket, borne, switch_ns)) is not None
    ]
    if refused:
        # What admits the one with the longest part admits all of them.
        longest = max(refused, key=_length)
        step = longest.task(f"{longest.name} of {generator.name}")

        def passes(kept: Sequence[AnalysisTask]) -> bool:
            return is_schedulable([*kept, step], switch_ns=switch_ns)

        if not any(task.high_segments_ns for task in tasks):
            found += _longer_deadline(step.name, tasks, borne, passes)
            if not borne.longest_ns:
                found += advise_cuts(step, {task.name: task for task in tasks}, passes)
    return tuple(found)


def _finer(
    generator: Generator, bucket: Bucket, borne: LongestStep, switch_ns: int
) -> Counterfactual | None:
    room = borne.longest_ns - switch_ns
    total = sum(bucket.parts_ns)
    if room < 1:
        return None
    # Parts are as even as its layers allow: as many as it has would hardly come out shorter.
    parts = max(-(-total // room), len(bucket.parts_ns) + 1)
    if parts > _MOST_PARTS:
        return None
    change = CutBucket(generator.name, bucket.name, parts, -(-total // parts))
    return counterfactual(change)


def _longer_deadline(
    admits: str,
    tasks: Sequence[AnalysisTask],
    borne: LongestStep,
    passes: Callable[[Sequence[AnalysisTask]], bool],
) -> list[Counterfactual]:
    """Return the deadline of the task that decides with which a bucket passes, if there is one."""
    deciding = next(task for task in tasks if task.name == borne.task)

    def passes_with(grains: int) -> bool:
        later = replace(deciding, deadline_ns=grains * _GRAIN_NS)
        return passes([later if task is deciding else task for task in tasks])

    low = deciding.deadline_ns // _GRAIN_NS
    grains = smallest(low, low * 16 + 16, passes_with)
    if grains is None:
        return []
    return [counterfactual(OtherDeadlineLonger(admits, deciding.name, grains * _GRAIN_NS))]
