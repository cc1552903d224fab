"""What is asked of a language model in the engine, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.scheduling import GeneratorPlan, Promise
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import Criticality

__all__ = ["Asked", "Ending", "LoadGenerator", "Spoken"]


@dataclass(frozen=True, slots=True)
class LoadGenerator:
    """A language model to load, and the lane it is bound to.

    Attributes:
        task_id: unique among networks and language models, not negative.
        name: for people.
        compiled: the model.
        lane: index of the lane.
        plan: its buckets, with the budget of each part.
        shapes: of these buckets.
        cache: its slots; who asks has given each request one.
        criticality: best effort, or low: with a promise.
        deadline_ns: as of :class:`~aegis_ros.engine.types.LoadSpec`; with a promise its period, in
            which it gets the time of a decode for all slots.
    """

    task_id: int
    name: str
    compiled: CompiledGenerator
    lane: int
    plan: GeneratorPlan
    shapes: tuple[Shape, ...]
    cache: KvShape
    criticality: Criticality = Criticality.BEST_EFFORT
    deadline_ns: int = 0

    def promise(self) -> Promise | None:
        """Return what its lane keeps for it; ``None`` where it is of best effort.

        Raises:
            ValueError: it is of another criticality than these two, or a number is missing.
        """
        if self.criticality is Criticality.BEST_EFFORT:
            return None
        if self.criticality is not Criticality.LOW:
            raise ValueError("a language model is of criticality best_effort or low")
        edges = (*self.plan.begins, self.plan.steps)
        decodes = [
            sum(self.plan.budgets_ns[begin:end])
            for shape, (begin, end) in zip(self.shapes, pairwise(edges), strict=True)
            if not shape.prefill and shape.tokens >= self.cache.slots
        ]
        return Promise(self.plan, self.deadline_ns, min(decodes, default=0))


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has a slot.

    Attributes:
        request: its number, unlike that of any other that is in the engine.
        slot: where its keys and values lie.
        tokens: of the prompt.
        answer: most tokens of the answer.
        sampling: how they are chosen.
        image: uint8, the image that the prompt is about, as the model takes it; ``None`` for none.
    """

    request: int
    slot: int
    tokens: Sequence[int]
    answer: int
    sampling: Sampling
    image: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is new of an answer.

    Attributes:
        task_id: of the language model.
        request: number of the request.
        tokens: that came; the one that ends the answer is among them.
        times_ns: when each was chosen, monotonic.
        ended: why the answer ended; ``None`` while it goes on.
        text: more about that, for people; may be empty.
    """

    task_id: int
    request: int
    tokens: tuple[int, ...]
    times_ns: tuple[int, ...]
    ended: Ending | None = None
    text: str = ""
