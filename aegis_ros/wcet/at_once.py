"""Several lanes that are busy at once, as one neighbour of the network that is timed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from aegis_ros.wcet.condition import Neighbour, Place, Stress
from aegis_ros.wcet.profile import Profile

__all__ = ["at_once", "crowds"]

_Lane = frozenset[tuple[str, str]]  # who runs there in turn: network, and what matters of the lane


def at_once(lanes: Sequence[Sequence[Neighbour]], where: str = "") -> Neighbour:
    """Return what is noted of networks that run on several lanes at once.

    Args:
        lanes: of each other lane, the networks that run there in turn, at least one.
        where: what matters of the lane of the network that is timed; empty where lanes are alike.
    """
    noted = sorted(sorted({(each.network, each.lane) for each in lane}) for lane in lanes)
    names = sorted({each.name for lane in lanes for each in lane})
    what = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return Neighbour(json.dumps(noted), Place.AT_ONCE, where, what)


def crowds(
    profile: Profile, lanes: Sequence[Sequence[Neighbour]], where: str = ""
) -> tuple[Neighbour, ...]:
    """Return what a network was measured with that may happen while these may run.

    Each lane of a crowd has to be a lane of its own now, on which each of its networks may run;
    loads may, wherever anybody does: what runs there may be as heavy one day.

    Args:
        profile: with its conditions.
        lanes: who may run on each other lane that is busy.
        where: as for :func:`at_once`, of the lane of the network.
    """
    there = [{(each.network, each.lane) for each in lane} for lane in lanes]
    words = [{each.lane for each in lane} for lane in lanes]
    found = []
    for condition in profile.conditions:
        crowd = condition.neighbour
        if crowd is None or crowd.place is not Place.AT_ONCE or crowd.lane != where:
            continue
        parts = _parts(crowd)
        if condition.stress is Stress.NONE:
            able = [[at for at, own in enumerate(there) if part <= own] for part in parts]
        else:
            able = [
                [at for at, own in enumerate(words) if own & {lane for _, lane in part}]
                for part in parts
            ]
        if _each_its_own(able):
            found.append(crowd)
    return tuple(dict.fromkeys(found))


def _parts(crowd: Neighbour) -> list[_Lane]:
    return [
        frozenset((str(network), str(lane)) for network, lane in part)
        for part in json.loads(crowd.network)
    ]


def _each_its_own(able: Sequence[Iterable[int]]) -> bool:
    """Return whether each of several parts can have a lane to itself (Kuhn's matching)."""
    taken: dict[int, int] = {}

    def placed(part: int, tried: set[int]) -> bool:
        for lane in able[part]:
            if lane in tried:
                continue
            tried.add(lane)
            if lane not in taken or placed(taken[lane], tried):
                taken[lane] = part
                return True
        return False

    return all(placed(part, set()) for part in range(len(able)))
