"""Several generators beside each other in the slack of the lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aegis_ros.analysis import AnalysisTask
from aegis_ros.planning.generator import Generator, GeneratorAnswer, judge_generator

__all__ = ["judge_generators"]


def judge_generators(
    generators: Sequence[Generator],
    tasks: Mapping[str, Sequence[AnalysisTask]],
    switch_ns: int = 0,
) -> tuple[GeneratorAnswer, ...]:
    """Test which buckets of each generator its lane bears; they share what is left.

    Args:
        generators: what is asked for.
        tasks: all of each lane, those of promises included.
        switch_ns: cost of starting one part.
    """
    alone = [judge_generator(each, tasks.get(each.lane, ()), switch_ns) for each in generators]
    together = []
    for one in alone:
        lane = one.generator.lane
        others = [
            other.step()
            for other in alone
            if other is not one and other.admitted and other.generator.lane == lane
        ]
        beside = [*tasks.get(lane, ()), *others]
        together.append(judge_generator(one.generator, beside, switch_ns) if others else one)
    return tuple(together)
