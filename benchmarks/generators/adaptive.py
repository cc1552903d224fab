"""Adaptive against static limits, in the simulator: one trace, every static setting, ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from aegis_ros.planning.answer import judge
from aegis_ros.planning.generator import Generator, GeneratorAnswer
from aegis_ros.planning.task_set import TaskSet
from aegis_ros.rationale.adaptation import LimitChanged
from aegis_ros.scheduling.adaptation import Choice, Controller, DefaultRules, Menu
from aegis_ros.scheduling.adaptation.static import StaticLimits
from aegis_ros.simulation import AdaptedFigures, GivenRequest, simulate
from benchmarks.generators.costs import Costs
from benchmarks.progress import Shown, steps

__all__ = ["Arm", "Memory", "Result", "compared", "mixed_trace"]

_LANE = "main"
_S = 1_000_000_000
_LOAD = 1.3  # what a trace asks for, against what the fastest decode and chunk can do
_PHASES = ("chat", "documents", "stories", "chat", "burst")
_ROOM_SLOTS = 10  # of the arena
_TIGHT_SLOTS = 7.4  # that the others take of it in the middle of the trace


@dataclass(frozen=True, slots=True)
class Memory:
    """What else is in the arena.

    Attributes:
        name: for people.
        arena_bytes: its size; 0 for no limit.
        others_bytes: of the others, by time.
    """

    name: str
    arena_bytes: int
    others_bytes: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to choose limits, and what it came to.

    Attributes:
        name: of the way.
        tokens_per_s: from the first request to the last token.
        first_p50_s: from a request to its first token, median.
        refused: requests for which there was no memory.
        changes: of limits.
    """

    name: str
    tokens_per_s: float
    first_p50_s: float
    refused: int
    changes: int


@dataclass(frozen=True, slots=True)
class Result:
    """One trace in one memory.

    Attributes:
        memory: name of the memory.
        seed: of the trace.
        static: every static setting, the fastest first; those that refuse nobody before others.
        adaptive: ours.
    """

    memory: str
    seed: int
    static: tuple[Arm, ...]
    adaptive: Arm

    @property
    def ratio(self) -> float:
        """Adaptive against the best static setting that refuses no more requests."""
        return self.adaptive.tokens_per_s / self.best.tokens_per_s

    @property
    def best(self) -> Arm:
        """The best static setting."""
        return self.static[0]

    @property
    def worst(self) -> Arm:
        """The slowest static setting."""
        return min(self.static, key=lambda arm: arm.tokens_per_s)


def mixed_trace(costs: Costs, count: int, chance: np.random.Generator) -> list[GivenRequest]:
    """Return requests of several kinds, phase after phase, somewhat more than can be answered.

    Args:
        costs: which say how fast they can come.
        count: how many.
        chance: lengths and times.
    """
    most = costs.cache.max_len
    rates = {
        prefill: max(
            each.tokens / sum(each.parts_ns) for each in costs.buckets if each.prefill is prefill
        )
        for prefill in (True, False)
    }
    found: list[GivenRequest] = []
    now_ns = 0.0
    for number in range(count):
        phase = _PHASES[number * len(_PHASES) // count]
        prompt, answer = {
            "chat": ((0.01, 0.06), (0.01, 0.08)),
            "documents": ((0.2, 0.7), (0.01, 0.06)),
            "stories": ((0.01, 0.04), (0.2, 0.6)),
            "burst": ((0.01, 0.3), (0.01, 0.3)),
        }[phase]
        tokens = [max(1, int(most * chance.uniform(*span))) for span in (prompt, answer)]
        found.append(GivenRequest(int(now_ns), tokens[0], min(tokens[1], most - tokens[0])))
        takes_ns = tokens[0] / rates[True] + tokens[1] / rates[False]
        if phase != "burst":
            now_ns += chance.exponential(takes_ns / _LOAD)
    return found


def compared(
    costs: Costs, *, count: int, seeds: int, shown: Shown, chunks: int = 0
) -> list[Result]:
    """Run traces under every static setting and under ours.

    Args:
        costs: of the steps.
        count: requests of a trace.
        seeds: how many traces.
        shown: where progress is shown.
        chunks: how many of the largest chunks are tried; 0 for all.
    """
    asked = Generator("generator", _LANE, costs.buckets, costs.cache)
    (answer,) = judge(TaskSet((), (_LANE,), generators=(asked,))).generators
    menu = answer.menu()
    sizes = menu.chunks("")[-chunks:]
    settings = list(product(sizes, menu.batches("")))
    found = []
    for seed in range(seeds):
        trace = mixed_trace(costs, count, np.random.default_rng(seed))
        for memory in _memories(costs, trace[-1].at_ns):
            what = f"trace {seed}, {memory.name}"
            arms = [
                _run(
                    answer,
                    trace,
                    memory,
                    name=f"chunk {chunk}, batch {batch}",
                    controller=_static(answer, chunk, batch),
                )
                for chunk, batch in steps(shown, settings, what)
            ]
            static = sorted(arms, key=lambda arm: (arm.refused, -arm.tokens_per_s))
            ours = _run(
                answer,
                trace,
                memory,
                name="adaptive",
                controller=Controller("generator", menu, DefaultRules),
            )
            found.append(Result(memory.name, seed, tuple(static), ours))
    return found


def _static(answer: GeneratorAnswer, chunk: int, batch: int) -> Controller:
    """Return a controller that knows one setting."""
    cache = answer.generator.cache
    choices = [
        Choice(each.tokens, each.prefill, "", sum(each.parts_ns))
        for each in answer.buckets
        if each.tokens == (chunk if each.prefill else batch)
    ]
    menu = Menu(choices, slots=cache.slots, max_len=cache.max_len, slot_bytes=cache.slot_bytes)
    return Controller("generator", menu, StaticLimits)


def _memories(costs: Costs, last_ns: int) -> list[Memory]:
    slot = costs.cache.slot_bytes
    begin_ns, end_ns = last_ns // 4, last_ns // 2

    def comes_and_goes(now_ns: int) -> int:
        return int(slot * (_TIGHT_SLOTS if begin_ns <= now_ns < end_ns else 2.0))

    return [
        Memory("memory for all", 0, lambda now_ns: 0),
        Memory("memory that comes and goes", _ROOM_SLOTS * slot, comes_and_goes),
    ]


def _run(
    answer: GeneratorAnswer,
    trace: list[GivenRequest],
    memory: Memory,
    *,
    name: str,
    controller: Controller,
) -> Arm:
    made = answer.adapted(
        0,
        requests=trace,
        controller=controller,
        others_bytes=memory.others_bytes,
        arena_bytes=memory.arena_bytes,
        refuses=lambda request, tried, used: 0 < memory.arena_bytes < used,
    )
    simulate(
        [made.task(0)],
        made.workload(0),
        queue=1,
        plans=[made.plan],
        outcome_of=made.outcome,
    )
    figures = made.figures()
    return Arm(
        name,
        figures.tokens * 1e9 / max(1, figures.end_ns),
        float(np.median(figures.first_ns)) / 1e9 if figures.first_ns.size else 0.0,
        figures.refused,
        _changes(figures),
    )


def _changes(figures: AdaptedFigures) -> int:
    return sum(isinstance(each, LimitChanged) for each in figures.reasons)
