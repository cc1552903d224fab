"""A generator that is loaded: its model and its requests, and what it may do of what it can."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aegis_ros.engine.speech import LoadGenerator
from aegis_ros.orchestrator.adapting import AdaptedSummary
from aegis_ros.orchestrator.conversation import Conversation
from aegis_ros.orchestrator.cycle_reader import CycleReader
from aegis_ros.orchestrator.generator_summary import summary_of
from aegis_ros.orchestrator.types import GeneratorSummary
from aegis_ros.planning.generator import GeneratorAnswer, in_order
from aegis_ros.planning.generator_preparation import GeneratorCandidate
from aegis_ros.rationale import Reason
from aegis_ros.scheduling import GeneratorPlan
from aegis_ros.scheduling.adaptation import Limits
from aegis_ros.spec import Criticality, DeviceSpec
from aegis_ros.trace.history import TracedTask

__all__ = ["GeneratorEntry", "to_load"]


@dataclass(slots=True)
class GeneratorEntry:
    """A generator that is loaded.

    Attributes:
        task_id: its number.
        candidate: as it was prepared and measured.
        plan: of all its buckets.
        first: what it was admitted by.
        answer: what the proof says of it beside the tasks that there are.
        conversation: its requests.
        cycles: reads what it ran.
        limits: as it chose them.
        coming: what a task leaves it that comes; ``None`` where none does.
        squeezed: why there is no memory for it; ``None`` where there is.
        failure: why the engine does not run it; ``None`` where it does.
        shown: why it is listed among those that do not run.
    """

    task_id: int
    candidate: GeneratorCandidate
    plan: GeneratorPlan
    first: GeneratorAnswer
    answer: GeneratorAnswer
    conversation: Conversation
    cycles: CycleReader
    limits: Limits
    coming: GeneratorAnswer | None = None
    squeezed: Reason | None = None
    failure: Reason | None = None
    shown: Reason | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.candidate.spec.name

    @property
    def lane(self) -> str:
        """The lane that it runs on."""
        return self.candidate.lane

    @property
    def borne(self) -> GeneratorAnswer:
        """What its lane bears at this moment; less than :attr:`answer` while a task comes."""
        coming = self.coming
        if coming is None or len(self.answer.buckets) <= len(coming.buckets):
            return self.answer
        return coming

    @property
    def problem(self) -> Reason | None:
        """Why it does not run beside the tasks that there are; ``None`` where it does."""
        return self.failure or (None if self.answer.admitted else self.answer.reason)

    def summary(self, adapted: AdaptedSummary, stepped_ns: int) -> GeneratorSummary:
        """Return how it is now.

        Args:
            adapted: how it fares.
            stepped_ns: when its last step ended, monotonic; 0 for none.
        """
        return summary_of(
            self.candidate.spec,
            self.answer,
            self.first,
            self.conversation,
            adapted=adapted,
            failure=self.failure,
            squeezed=self.squeezed,
            stepped_ns=stepped_ns,
        )

    def traced(self) -> TracedTask:
        """Return what a trace says of it: the step that each of its segments is a part of."""
        promised = self.candidate.spec.tokens_per_s
        return TracedTask(
            self.task_id,
            self.name,
            self.lane,
            criticality=str(Criticality.LOW if promised else Criticality.BEST_EFFORT),
            steps=tuple(
                bucket.name for bucket in in_order(self.candidate.buckets) for _ in bucket.parts_ns
            ),
        )

    def part(self, segment: int) -> tuple[str, int]:
        """Return which part of which bucket a segment is: the bucket's name, and from 0."""
        begins = self.plan.begins
        at = max(index for index, begin in enumerate(begins) if begin <= segment)
        return in_order(self.candidate.buckets)[at].name, segment - begins[at]


def to_load(
    task_id: int, candidate: GeneratorCandidate, answer: GeneratorAnswer, device: DeviceSpec
) -> LoadGenerator:
    """Return what an engine loads: all buckets, whichever of them are admitted.

    Args:
        task_id: number that it gets.
        candidate: as it was prepared and measured.
        answer: what it is admitted by.
        device: its lanes.
    """
    every = replace(answer, buckets=in_order(candidate.buckets))
    promise = answer.generator.promise()
    return LoadGenerator(
        task_id,
        candidate.spec.name,
        candidate.compiled,
        [lane.name for lane in device.lanes].index(candidate.lane),
        every.plan(device.switch_ns),
        tuple(each.shape for each in every.buckets),
        candidate.cache,
        Criticality.BEST_EFFORT if promise is None else Criticality.LOW,
        0 if promise is None else promise.deadline_ns,
    )
