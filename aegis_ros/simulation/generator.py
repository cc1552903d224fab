"""A generator under the virtual clock that always has more requests than slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.memory import KvCache, KvShape
from aegis_ros.scheduling import GeneratorPlan
from aegis_ros.scheduling.generation import Generation, Shape
from aegis_ros.simulation.workload import Workload
from aegis_ros.spec import Criticality

__all__ = ["GeneratorFigures", "SaturatedGenerator"]


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """What a generator came to.

    Attributes:
        name: of the generator.
        tokens: that it generated, all answers together.
        tokens_per_s: on average over the simulated time.
        answered: requests that got all their tokens.
        first_p50_ns: time from a request's slot to its first token, median; 0 where none came.
        first_max_ns: longest such time.
    """

    name: str
    tokens: int
    tokens_per_s: float
    answered: int
    first_p50_ns: int
    first_max_ns: int


class SaturatedGenerator:
    """Requests of any length, one more than there are slots, and as one ends the next.

    It is one job from the beginning to the end. Every part takes its whole budget.

    Args:
        name: of the generator.
        plan: its buckets.
        shapes: what they do.
        cache: how large its key-value cache is.
        until_ns: when it stops to ask.
        chance: lengths of prompts and answers.
    """

    def __init__(
        self,
        name: str,
        plan: GeneratorPlan,
        shapes: Sequence[Shape],
        cache: KvShape,
        *,
        until_ns: int,
        chance: np.random.Generator,
    ) -> None:
        """Ask for the first answers."""
        self.plan = plan
        self._name = name
        self._last = {*(begin - 1 for begin in plan.begins[1:]), plan.steps - 1}
        self._cache = KvCache(name, cache, most_waiting=1)
        self._max_len = cache.max_len
        self._generation = Generation(shapes, self._cache)
        self._until_ns = until_ns
        self._chance = chance
        self._asked = 0
        self._slot_since: dict[int, int] = {}
        self._tokens = self._answered = 0
        self._first_ns: list[int] = []
        for _ in range(cache.slots + 1):
            self._ask(0)
        self._generation.first()

    def task(self, switch_ns: int) -> AnalysisTask:
        """Return it as a task of best effort, for a simulation with ``plan``."""
        parts = tuple(part - switch_ns for part in self.plan.budgets_ns)
        until_ns = self._until_ns
        return AnalysisTask(self._name, parts, until_ns, until_ns, 0, Criticality.BEST_EFFORT)

    def workload(self, switch_ns: int) -> Workload:
        """Return its one job."""
        once = np.zeros(1, np.int64)
        return Workload.of(once, once, once, [self.task(switch_ns).segments_ns])

    def outcome(self, step: int, now_ns: int) -> int | None:
        """Return the outcome of a part: the bucket to go on with; ``None`` when time is up."""
        if step not in self._last:
            return 0  # goes on with its own bucket, whatever this says
        for token in self._generation.ended():
            self._tokens += 1
            if token.number == 1:
                self._first_ns.append(now_ns - self._slot_since[token.request])
            if token.last:
                self._answered += 1
                del self._slot_since[token.request]
                self._ask(now_ns)
        for each in self._cache.running:
            self._slot_since.setdefault(each.request, now_ns)
        return self._generation.following() if now_ns < self._until_ns else None

    def figures(self) -> GeneratorFigures:
        """Return what it came to."""
        first = np.array(self._first_ns or [0], np.int64)
        return GeneratorFigures(
            self._name,
            self._tokens,
            self._tokens * 1e9 / self._until_ns,
            self._answered,
            int(np.percentile(first, 50)),
            int(first.max()),
        )

    def _ask(self, now_ns: int) -> None:
        prompt = int(self._chance.integers(1, max(2, self._max_len // 4 + 1)))
        answer = int(self._chance.integers(1, self._max_len - prompt + 1))
        self._generation.ask(self._asked, prompt, answer)
        self._asked += 1
        for each in self._cache.running:
            self._slot_since.setdefault(each.request, now_ns)
