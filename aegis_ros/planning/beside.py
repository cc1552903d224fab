"""What runs beside a network on other lanes while it is measured, and which runs are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aegis_ros.backends import CompiledNetwork
from aegis_ros.planning.candidate import Candidate
from aegis_ros.spec import TaskSpec
from aegis_ros.wcet import Neighbour, Profile, ProfileKey, Stress, at_once, worst_of_each

__all__ = [
    "Loads",
    "MeasurePair",
    "PairRun",
    "Placed",
    "Ran",
    "Verify",
    "crowd",
    "loaded_lanes",
    "several",
]


@dataclass(frozen=True, slots=True)
class Placed:
    """A task on a lane."""

    candidate: Candidate
    lane: str


@dataclass(frozen=True, slots=True)
class PairRun:
    """Runs that are lacking of a network while others run on other lanes.

    Attributes:
        spec: the task whose network is timed.
        compiled: its network.
        key: of its profile.
        sha256: of its file.
        lane: where it runs.
        neighbour: what is noted of the others.
        others: the networks that run beside it, each with its lane; those of one lane in turn.
        stress: what they load, if they do nothing else.
    """

    spec: TaskSpec
    compiled: CompiledNetwork
    key: ProfileKey
    sha256: str
    lane: str
    neighbour: Neighbour
    others: tuple[tuple[CompiledNetwork, str], ...]
    stress: Stress = Stress.NONE


MeasurePair = Callable[[PairRun], None]
Loads = Callable[[str], Mapping[Stress, CompiledNetwork]]


@dataclass(frozen=True, slots=True)
class Verify:
    """What budgets that follow from pairs are verified by.

    Attributes:
        measure: called for what was never measured.
        loads: returns what loads a lane; nothing where that is not wanted or possible.
    """

    measure: MeasurePair
    loads: Loads


@dataclass(frozen=True, slots=True)
class Ran:
    """A network that runs on another lane, and what is noted of it."""

    seen: Neighbour
    network: CompiledNetwork
    lane: str


Parts = Sequence[Sequence[Ran]]


def crowd(parts: Parts, where: str) -> Neighbour:
    """Return what is noted of networks that run on several lanes at once.

    Args:
        parts: of each lane, what runs there in turn.
        where: what matters of the lane of the network that is timed.
    """
    return at_once([[each.seen for each in part] for part in parts], where)


def several(profile: Profile, busy: Parts) -> Iterator[tuple[Stress, Parts]]:
    """Yield what runs at once where several other lanes are busy.

    Of each lane first all its networks in turn, then the one beside which the network that is
    timed takes longest, back to back: where that is another one.

    Args:
        profile: of the network that is timed, measured beside each.
        busy: of each other lane, who is there.
    """
    if len(busy) < 2:
        return
    every = [list({each.seen: each for each in part}.values()) for part in busy]
    yield Stress.NONE, every
    worst = worst_of_each(profile, [[each.seen for each in part] for part in every])
    if any(len(part) > 1 for part in every):
        yield (
            Stress.NONE,
            [
                [next(each for each in part if each.seen == one)]
                for part, one in zip(every, worst, strict=True)
            ],
        )


def loaded_lanes(loaded: Mapping[Stress, Sequence[Ran]]) -> Iterator[tuple[Stress, Parts]]:
    """Yield each load on all lanes at once that it can run on."""
    for stress, runs in loaded.items():
        if runs:
            yield stress, [[each] for each in runs]
