"""What a task set takes of the arena when it is registered one by one, and who finds no room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aegis_ros.memory import ArenaPlan, Holding, arena_plan, without
from aegis_ros.planning.arena_witness import arena_full, with_witness
from aegis_ros.planning.generator import Generator, GeneratorAnswer
from aegis_ros.rationale.admission import WeightsStreamed
from aegis_ros.rationale.arena import ArenaFull
from aegis_ros.rationale.generators import CacheTooLarge

__all__ = ["SetMemory", "SetMemoryAnswer"]


@dataclass(frozen=True, slots=True)
class SetMemoryAnswer:
    """Who holds what once all are registered for which there is room.

    Attributes:
        holdings: what is in memory then.
        arena_bytes: what may be.
        refused: why there is no room for the others, in the order of registration.
        estimated: names of generators that were never loaded, so that the sizes of their files and
            caches had to do.
        streamed: by name of a task whose weights take turns, what is in memory and what is loaded.
    """

    holdings: tuple[Holding, ...]
    arena_bytes: int
    refused: tuple[ArenaFull, ...] = ()
    estimated: tuple[str, ...] = ()
    streamed: Mapping[str, WeightsStreamed] = field(default_factory=dict)

    @property
    def plan(self) -> ArenaPlan:
        """Who holds what."""
        return arena_plan(self.holdings)

    @property
    def fits(self) -> bool:
        """Whether there is room for all."""
        return not self.refused

    @property
    def room_bytes(self) -> int:
        """What is free."""
        return self.arena_bytes - self.plan.nbytes


@dataclass(frozen=True, slots=True)
class SetMemory:
    """What is known of the memory of a set.

    Attributes:
        networks: what the network of each task takes, in the order of registration; with a lane.
        frames: what the slots of frames take, by whom they are used.
        weights: what each generator takes beside its cache.
        arena_bytes: what all may take together.
        estimated: names of generators of which it was never measured.
        streamed: by name of a task whose weights take turns, what is in memory and what is loaded.
    """

    networks: tuple[Holding, ...]
    frames: tuple[Holding, ...]
    weights: tuple[Holding, ...]
    arena_bytes: int
    estimated: tuple[str, ...] = ()
    streamed: Mapping[str, WeightsStreamed] = field(default_factory=dict)

    def judged(self, lane_of: Mapping[str, str]) -> SetMemoryAnswer:
        """Return which tasks find room, one after the other.

        Args:
            lane_of: lane of each task that is asked for; others are left out.
        """
        there: list[str] = []
        refused = []
        for each in self.networks:
            (name,) = each.holders
            if name not in lane_of:
                continue
            together = self._of([*there, name], lane_of)
            if arena_plan(together).nbytes <= self.arena_bytes:
                there.append(name)
            else:
                refused.append(arena_full(name, [together], self.arena_bytes))
        return SetMemoryAnswer(
            tuple(self._of(there, lane_of)),
            self.arena_bytes,
            tuple(refused),
            streamed={name: each for name, each in self.streamed.items() if name in there},
        )

    def with_room(
        self, generators: Sequence[Generator], beside: SetMemoryAnswer
    ) -> tuple[Generator, ...]:
        """Return generators with what their caches may take of the arena, one after the other.

        Args:
            generators: in the order of registration.
            beside: who holds what when they come.
        """
        there = list(beside.holdings)
        found = []
        for each in generators:
            own = self._of_generator(each)
            cache = each.cache.footprint.total
            taken = arena_plan(there).nbytes + own.footprint.total - cache
            room = max(1, self.arena_bytes - taken)
            found.append(replace(each, room_bytes=min(room, each.room_bytes or room)))
            if cache <= room:
                there.append(own)
        return tuple(found)

    def with_generators(
        self, answers: Sequence[GeneratorAnswer], beside: SetMemoryAnswer
    ) -> tuple[tuple[GeneratorAnswer, ...], SetMemoryAnswer]:
        """Return generators that say who holds the rest of the arena, and who holds what with them.

        Args:
            answers: in the order of registration.
            beside: who holds what when they come.
        """
        there = list(beside.holdings)
        found = []
        for each in answers:
            own = self._of_generator(each.generator)
            if isinstance(each.reason, CacheTooLarge):
                reason = with_witness(each.reason, own, there, self.arena_bytes)
                found.append(replace(each, reason=reason))
                continue
            found.append(each)
            if each.admitted:
                there.append(own)

        return tuple(found), replace(beside, holdings=tuple(there), estimated=self.estimated)

    def _of_generator(self, generator: Generator) -> Holding:
        weights = next(each for each in self.weights if each.holders == (generator.name,))
        return replace(weights, footprint=weights.footprint + generator.cache.footprint)

    def _of(self, tasks: Sequence[str], lane_of: Mapping[str, str]) -> list[Holding]:
        frames = without(self.frames, _others(self.frames, tasks))
        networks = [
            replace(each, lane=lane_of[each.holders[0]])
            for each in self.networks
            if each.holders[0] in tasks
        ]
        return [*frames, *networks]


def _others(holdings: Iterable[Holding], tasks: Sequence[str]) -> set[str]:
    return {name for each in holdings for name in each.holders} - set(tasks)
