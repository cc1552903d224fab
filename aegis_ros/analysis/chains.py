"""How long a chain of tasks takes, each triggered by the result of the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aegis_ros.analysis.lane import LaneVerdict, check_lane
from aegis_ros.analysis.task import AnalysisTask, require_unique
from aegis_ros.errors import ConfigError
from aegis_ros.rationale.verdicts import (
    ChainsHold,
    ChainsUndecided,
    ChainTooLong,
    Finding,
    LateWithChainJitter,
)
from aegis_ros.rationale.wording import words

__all__ = ["Chain", "ChainBound", "ChainsVerdict", "chain_reaction_bound"]

_MAX_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Chain:
    """Tasks by name; the first is triggered by a sensor, each other by the one before it.

    Attributes:
        name: for sentences.
        stages: at least one, in order.
        deadline_ns: from the arrival at the first stage to the end of the last; 0 for none.
    """

    name: str
    stages: tuple[str, ...]
    deadline_ns: int = 0


@dataclass(frozen=True, slots=True)
class ChainBound:
    """Bounds of one chain.

    Attributes:
        chain: name.
        latency_ns: from an arrival at the first stage to the end of the last stage's job.
        reaction_ns: from a change in the world to the end of the first job of the last stage that
            has seen it: one period of the first stage more.
        deadline_ns: as declared; 0 for none.
    """

    chain: str
    latency_ns: int
    reaction_ns: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class ChainsVerdict:
    """The answer for all chains.

    Attributes:
        schedulable: every lane passes with the jitter the chains cause, every chain is in time.
        bounds: of each chain; empty where a lane does not pass.
        jitters_ns: release jitter of every task, the chains' included.
        verdicts: of each lane, with those jitters.
        findings: what is wrong, one for each chain or lane that fails; else that all is well.
    """

    schedulable: bool
    bounds: tuple[ChainBound, ...]
    jitters_ns: dict[str, int]
    verdicts: dict[str, LaneVerdict]
    findings: tuple[Finding, ...]

    @property
    def sentence(self) -> str:
        """The findings for people, without a full stop."""
        return "; ".join(words(finding) for finding in self.findings)


def chain_reaction_bound(
    chains: Sequence[Chain],
    tasks: Sequence[AnalysisTask],
    *,
    lane_of: Mapping[str, str] | None = None,
    best_ns: Mapping[str, int] | None = None,
    switch_ns: int = 0,
) -> ChainsVerdict:
    """Bound the end-to-end times of chains, also over several lanes.

    A stage arrives, nominally, when the stage before could have ended at the earliest, and is
    ready when that has ended: at most R - B later, its release jitter (with what was declared for
    it added). More jitter makes longer response times, so both are computed in turn until they
    stay as they are (holistic analysis; Tindell & Clark 1994; ROS 2 chains: Casini et al. 2019).
    A stage's deadline counts from its nominal arrival.

    Args:
        chains: a task may be in several, after the same task in each.
        tasks: everything on all lanes, in chains or not.
        lane_of: lane of each task by name; without it, that in the task, or else ``main``.
        best_ns: shortest time from nominal arrival to end of a task's job by its name; 0 where it
            is not known.
        switch_ns: cost of starting one segment.

    Raises:
        ConfigError: a stage is not known, is of best effort, has two different stages before it,
            is its own follower, or has a longer period than the stage before it.
    """
    require_unique(tasks)
    by_name = {task.name: task for task in tasks}
    before = _predecessors(chains, by_name)
    best = {task.name: min((best_ns or {}).get(task.name, 0), task.deadline_ns) for task in tasks}
    lanes: dict[str, list[str]] = {}
    for task in tasks:
        lanes.setdefault((lane_of or {}).get(task.name, task.lane) or "main", []).append(task.name)
    jitters = {task.name: task.jitter_ns for task in tasks}
    for _ in range(_MAX_ROUNDS):
        verdicts = {
            lane: check_lane(
                [replace(by_name[name], jitter_ns=jitters[name]) for name in names],
                lane=lane,
                switch_ns=switch_ns,
                tight=True,
            )
            for lane, names in lanes.items()
        }
        failed = [verdict for verdict in verdicts.values() if not verdict.schedulable]
        if failed:
            return ChainsVerdict(
                False,
                (),
                jitters,
                verdicts,
                (LateWithChainJitter(failed[0].finding),),
            )
        response = {
            bound.task: bound.bound_ns
            for verdict in verdicts.values()
            for bound in verdict.responses
        }
        following = {
            name: by_name[name].jitter_ns + max(0, response[first] - best[first])
            for name, first in before.items()
        }
        # Bounds that were tightened less far than before must not let a jitter shrink again.
        changed = {name: max(jitters[name], jitter) for name, jitter in following.items()}
        if all(jitters[name] == jitter for name, jitter in changed.items()):
            return _settled(chains, by_name, best, response, jitters=jitters, verdicts=verdicts)
        jitters.update(changed)
    return ChainsVerdict(
        False,
        (),
        jitters,
        verdicts,
        (ChainsUndecided(),),
    )


def _predecessors(chains: Sequence[Chain], by_name: Mapping[str, AnalysisTask]) -> dict[str, str]:
    before: dict[str, str] = {}
    for chain in chains:
        where = f"chains.{chain.name}.stages"
        if not chain.stages:
            raise ConfigError("a chain needs at least one stage", where=where)
        for stage in chain.stages:
            if stage not in by_name:
                raise ConfigError("there is no such task", where=where, value=stage)
            if by_name[stage].best_effort:
                raise ConfigError(
                    "a task of best effort has no response time that a chain could count on",
                    where=where,
                    value=stage,
                    expected="stages of high or low criticality",
                )
        for first, second in zip(chain.stages, chain.stages[1:], strict=False):
            if before.setdefault(second, first) != first:
                raise ConfigError(
                    f"{second} is triggered by {before[second]} already",
                    where=where,
                    value=first,
                    expected="one task before it in all chains",
                )
            if by_name[second].period_ns > by_name[first].period_ns:
                raise ConfigError(
                    f"{second} declares fewer jobs than {first} triggers",
                    where=where,
                    value=f"a period of {by_name[second].period_ns / 1e6:g} ms",
                    expected=f"at most {by_name[first].period_ns / 1e6:g} ms, as {first} has",
                    hint=f"Set period_ms of {second} to {by_name[first].period_ns / 1e6:g}",
                )
    for chain in chains:
        if chain.stages[0] in before:
            raise ConfigError(
                f"{chain.stages[0]} begins this chain and is triggered by "
                f"{before[chain.stages[0]]} in another, or in this one again",
                where=f"chains.{chain.name}.stages",
                expected="the whole chain, beginning at the sensor, without a loop",
            )
    return before


def _settled(
    chains: Sequence[Chain],
    by_name: Mapping[str, AnalysisTask],
    best: Mapping[str, int],
    response: Mapping[str, int],
    *,
    jitters: dict[str, int],
    verdicts: dict[str, LaneVerdict],
) -> ChainsVerdict:
    bounds = []
    late: list[Finding] = []
    for chain in chains:
        *earlier, last = chain.stages
        latency = sum(best[stage] for stage in earlier) + response[last]
        reaction = latency + by_name[chain.stages[0]].period_ns
        bounds.append(ChainBound(chain.name, latency, reaction, chain.deadline_ns))
        if 0 < chain.deadline_ns < latency:
            late.append(ChainTooLong(chain.name, chain.stages[0], last, latency, chain.deadline_ns))
    return ChainsVerdict(
        not late,
        tuple(bounds),
        jitters,
        verdicts,
        tuple(late) or (ChainsHold(),),
    )
