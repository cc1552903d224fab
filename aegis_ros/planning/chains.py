"""What is proven of tasks that follow each other, end to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aegis_ros.analysis import AnalysisTask, Chain, ChainsVerdict, chain_reaction_bound

__all__ = ["chains_verdict", "stages_of"]


def stages_of(name: str, follows: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tasks from the one that a frame triggers to the named one, in order."""
    stages = [name]
    while (before := follows.get(stages[0], "")) and before not in stages:
        stages.insert(0, before)
    return tuple(stages)


def chains_verdict(
    tasks: Mapping[str, tuple[AnalysisTask, str]],
    follows: Mapping[str, str],
    chain_jitters_ns: Mapping[str, int],
    *,
    switch_ns: int,
) -> ChainsVerdict | None:
    """Return the proof of all chains beside everything else; ``None`` where there is no chain.

    No shortest response is assumed, so that every stage arrives, nominally, with the frame of the
    first one: the response bound of a stage is that of the chain up to there, and its deadline
    counts from the frame, as people declare it.

    Args:
        tasks: how the tests see each task, and its lane.
        follows: by name of a task, the one whose results trigger it.
        chain_jitters_ns: what of the jitter of those tasks is that of a chain, as proven before.
        switch_ns: cost of starting one segment.

    Raises:
        ConfigError: tasks cannot follow each other so: one is of best effort, or declares fewer
            jobs than the one before triggers.
    """
    own = {
        name: first
        for name, first in follows.items()
        if name in tasks and first in tasks and not tasks[name][0].best_effort
    }
    if not own:
        return None
    chains = []
    for name in own:
        stages = stages_of(name, own)
        chains.append(Chain(" → ".join(stages), stages, tasks[name][0].deadline_ns))
    declared = [
        replace(task, jitter_ns=task.jitter_ns - chain_jitters_ns.get(name, 0))
        for name, (task, _) in tasks.items()
    ]
    lanes = {name: lane for name, (_, lane) in tasks.items()}
    return chain_reaction_bound(chains, declared, lane_of=lanes, switch_ns=switch_ns)
