"""What a network takes at most while others run on other lanes, from runs beside each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from aegis_ros.wcet.at_once import crowds
from aegis_ros.wcet.budget import Budget
from aegis_ros.wcet.condition import Cache, Condition, Neighbour, Place, Stress
from aegis_ros.wcet.profile import Profile

__all__ = ["LEAST_PAIR_RUNS", "Contended", "contended", "slowed_ns", "unmeasured", "worst_of_each"]

LEAST_PAIR_RUNS = 10
"""Runs beside a neighbour below which they count as not measured."""


@dataclass(frozen=True, slots=True)
class Contended:
    """Budgets of a network beside others.

    Attributes:
        budgets_ns: of each segment.
        total_ns: of a whole run: at least the longest segment's, at most their sum.
        alone_ns: the same where nothing runs on other lanes.
        neighbour: beside whom a whole run takes longest; ``None`` where nobody makes it longer.
        decided: the budget of a whole run beside that one, or alone.
        at_once_ns: of a whole run while several other lanes are busy, as measured; 0 for never.
    """

    budgets_ns: tuple[int, ...]
    total_ns: int
    alone_ns: int
    neighbour: Neighbour | None
    decided: Budget
    at_once_ns: int = 0


def unmeasured(profile: Profile, neighbours: Sequence[Neighbour]) -> tuple[Neighbour, ...]:
    """Return the neighbours beside which there are too few runs."""
    return tuple(
        each
        for each in dict.fromkeys(neighbours)
        if sum(len(profile.of(condition)) for condition in _beside(profile, each)) < LEAST_PAIR_RUNS
    )


def contended(
    profile: Profile,
    lanes: Sequence[Sequence[Neighbour]],
    assumed: Fraction | None = None,
    where: str = "",
) -> Contended:
    """Return what a network takes at most while any one of the neighbours runs on each lane.

    What was measured while several lanes were busy at once counts where that may happen: the
    budget is never less, whatever the pairs say.

    Args:
        profile: with runs beside each neighbour. Loads that it was measured beside count on every
            lane that is busy: what runs there may be as heavy one day.
        lanes: who may run on each other lane; lanes without anybody count for nothing.
        assumed: how many times longer than alone it takes beside neighbours that it was never
            measured with; ``None`` to refuse them.
        where: what matters of its own lane; empty where lanes are alike.

    Raises:
        ValueError: nothing was measured alone, or beside one of them.
    """
    alone = profile.apart()
    lacking = set(unmeasured(profile, [each for lane in lanes for each in lane]))
    if alone is None or (lacking and assumed is None):
        raise ValueError("the network was not measured alone and beside each neighbour")
    around = [[*lane, *_loads(profile, lane[0].lane)] for lane in lanes if lane]
    warm = [each for each in alone.conditions if _is_plain(each)] or list(alone.conditions)
    usual = {
        part: max(_of(alone, each, part) for each in warm)
        for part in (None, *range(profile.segments))
    }
    guess = {part: -int(-own * (assumed or 1) // 1) for part, own in usual.items()}
    busy = [
        [guess if each in lacking else _worst(profile, each) for each in lane] for lane in around
    ]

    met = crowds(profile, [lane for lane in lanes if lane], where)
    short = unmeasured(profile, met)
    together = {each: _worst(profile, each) for each in met if each not in short}

    def bound(part: int | None) -> int:
        """Return the budget of a segment, or of the whole for ``None``."""
        worst = alone.total_ns() if part is None else alone.budgets()[part].value_ns
        pairs = slowed_ns(usual[part], worst, [[each[part] for each in lane] for lane in busy])
        return max([pairs, *(each[part] for each in together.values())])

    budgets = tuple(bound(part) for part in range(profile.segments))
    total = min(sum(budgets), max(*budgets, bound(None)))
    found: list[tuple[int, Neighbour]] = [
        (worst[None], each)
        for lane, taken in zip(around, busy, strict=True)
        for each, worst in zip(lane, taken, strict=True)
    ]
    at_once_ns = max((each[None] for each in together.values()), default=0)
    if at_once_ns == total:
        found += [(each[None], crowd) for crowd, each in together.items()]
    neighbour = max(found, key=lambda item: item[0], default=(0, None))[1]
    if neighbour is None or neighbour in lacking or total <= alone.total_ns():
        alone_budget = alone.deciding_total()[1]
        return Contended(budgets, total, alone.total_ns(), None, alone_budget, at_once_ns)
    deciding = max(
        (profile.total_of(condition) for condition in _beside(profile, neighbour)),
        key=lambda item: item.value_ns,
    )
    return Contended(budgets, total, alone.total_ns(), neighbour, deciding, at_once_ns)


def worst_of_each(profile: Profile, lanes: Sequence[Sequence[Neighbour]]) -> tuple[Neighbour, ...]:
    """Return for each lane that is busy beside whom of it a whole run takes longest."""
    return tuple(max(lane, key=lambda each: _worst(profile, each)[None]) for lane in lanes if lane)


def slowed_ns(alone_ns: int, worst_ns: int, beside: Sequence[Sequence[int]]) -> int:
    """Return what a step takes at most while each other lane runs any one of its tasks.

    One other lane: the worst that was measured beside its tasks. With several, the slowdowns by
    each are multiplied.

    Args:
        alone_ns: its budget alone, with warm caches: what slowdowns are relative to.
        worst_ns: its budget in the worst condition without other lanes.
        beside: for each other lane, its budgets beside each task there, at least one.
    """
    slowdown = Fraction(1)
    for lane in beside:
        slowdown *= max(Fraction(1), Fraction(max(lane), alone_ns))
    return max(worst_ns, -int(-alone_ns * slowdown // 1))


def _beside(profile: Profile, neighbour: Neighbour) -> list[Condition]:
    return [each for each in profile.conditions if each.neighbour == neighbour]


def _loads(profile: Profile, lane: str) -> list[Neighbour]:
    """Return the loads on a lane beside which there are enough runs."""
    found = [
        each.neighbour
        for each in profile.conditions
        if each.neighbour is not None
        and each.neighbour.place is Place.BESIDE
        and each.stress is not Stress.NONE
    ]
    short = unmeasured(profile, found)
    return [each for each in dict.fromkeys(found) if each.lane == lane and each not in short]


def _worst(profile: Profile, neighbour: Neighbour) -> dict[int | None, int]:
    """Return the budget of each segment beside a neighbour, and under ``None`` of the whole."""
    conditions = _beside(profile, neighbour)
    return {
        part: max(_of(profile, each, part) for each in conditions)
        for part in (None, *range(profile.segments))
    }


def _of(profile: Profile, condition: Condition, part: int | None) -> int:
    if part is None:
        return profile.total_of(condition).value_ns
    return profile.budgets_of(condition)[part].value_ns


def _is_plain(condition: Condition) -> bool:
    plain = condition.stress is Stress.NONE and condition.cache is Cache.WARM
    return plain and condition.neighbour is None
