"""What the benchmark does in which order, the most telling first, and what each part may take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.gpu.bench import AUTO, LANES, SHARES, SOLO, WAYS
from benchmarks.gpu.place import Place

__all__ = ["IN_ORDER", "PREPARE_S", "Step", "steps", "ways_at"]

IN_ORDER = (
    "streams",
    SOLO,
    "aegis",
    "aegis_3",
    AUTO,
    "queue",
    "processes",
    SHARES,
    "aegis_2",
)
PREPARE_S = 45.0  # to build the networks of a place and measure their budgets
_TELLING = 0.8  # loads are run in the order of their distance from it
_LATER = 1.5  # loads by which the next place comes after the one before
_PAUSES_S = 0.8  # before and after a round
_PROBES_S = 14.0  # to find out when streams begin to miss
_START_S = 5.0  # of an engine with all networks
_FIRST_S = {"aegis": 2.0, "aegis_2": 30.0, "aegis_3": 30.0, SHARES: 30.0}  # to measure pairs
_APART_S = {
    "divided": 27.0,
    "costs": 50.0,
    "contention": 21.0,
    "loads": 27.0,
    "segments": 8.0,
    "host": 8.0,
}
_OF_COSTS = ("host", "costs")
_TASKS = 5
_TITLES = {
    "divided": "divided, and a control that ignores it",
    "costs": "what a job costs",
    "contention": "beside another network",
    "loads": "beside loads",
    "segments": "between segments",
    "host": "what the host does for a job",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the benchmark.

    Attributes:
        place: name of where it runs.
        kind: ``way``, or what is measured without cameras: ``divided``, with its control,
            ``costs``, ``contention``, ``loads``, ``segments`` and ``host``.
        seconds: that it is expected to take where networks are built.
        way: that runs.
        loads: at which it does, one after the other.
        first: whether it is the first of its way at this place.
    """

    place: str
    kind: str
    seconds: float
    way: str = ""
    loads: tuple[float, ...] = ()
    first: bool = True

    @property
    def title(self) -> str:
        """What it is called, without its place."""
        if self.kind != "way":
            return _TITLES[self.kind]
        if self.way not in LANES:
            return WAYS[self.way]
        return f"{WAYS[self.way]}, {', '.join(f'{load:.0%}' for load in self.loads)}"


def ways_at(place: Place, asked: Sequence[str] | None, cores: int) -> list[str]:
    """Return the ways to run at a place, the most telling first.

    Args:
        place: where.
        asked: ways by name; ``None`` for all but two lanes of a GPU, and but lanes that cores do
            not suffice for.
        cores: processor cores there are.
    """
    can = [way for way in IN_ORDER if place.share or way != SHARES]
    if asked is not None:
        return [way for way in can if way in asked]
    if place.on_cores:
        return [way for way in can if LANES.get(way, 0) <= cores]
    return [way for way in can if way != "aegis_2"]


def steps(
    ways: dict[str, list[str]],
    *,
    loads: Sequence[float],
    parts: Sequence[str],
    seconds: float,
    choose_s: float,
    on_cores: bool,
    controlled: bool,
) -> list[Step]:
    """Return what to do, in this order for as long as there is time.

    Each way at the most telling load comes before any way at another one, and the place where the
    device is full before the one that has room. Ways without an orchestrator run at all loads at
    once, since they need not be started for each.

    Args:
        ways: by name of a place, the most telling place first.
        loads: to run at.
        parts: of ``ways``, ``costs`` and ``apart``.
        seconds: of each round.
        choose_s: to measure for the lanes that are chosen.
        on_cores: whether processor cores are the device.
        controlled: whether the device can be divided, and a control can ignore that.
    """
    telling = sorted(loads, key=lambda load: abs(load - _TELLING))
    apart = [kind for kind in _APART_S if "apart" in parts and kind not in _OF_COSTS]
    divided = _apart(["divided"] if "divided" in apart and controlled else [])
    found: list[Step] = []
    turns = [
        (at + _LATER * rank, rank, at) for rank in range(len(ways)) for at in range(len(loads))
    ]
    for _, rank, at in sorted(turns) if "ways" in parts else []:
        place = list(ways)[rank]
        found += _ways(place, ways[place], telling, at, seconds=seconds, choose_s=choose_s)
        if place == "whole" and at == 0:
            found += divided
    if "whole" not in ways:
        return found
    if "ways" not in parts:
        found += divided
    found += _apart(_OF_COSTS if "costs" in parts else ())
    more = {"divided", "loads"} if on_cores else {"divided"}
    return found + _apart([kind for kind in apart if kind not in more])


def _ways(
    place: str,
    ways: Sequence[str],
    loads: Sequence[float],
    at: int,
    *,
    seconds: float,
    choose_s: float,
) -> Iterator[Step]:
    """Yield the ways of one place at one load; those without an orchestrator at the first one."""
    rounds_s = len(loads) * (seconds + _PAUSES_S)
    for way in ways:
        if way in LANES:
            taken = _START_S + seconds + _PAUSES_S
            if at == 0:
                taken += choose_s if way == AUTO else _FIRST_S.get(way, 0.0)
            yield Step(place, "way", taken, way, (loads[at],), first=at == 0)
        elif at == 0:
            if way == SOLO:
                one_s = _START_S + _TASKS * (seconds / 2 + _PAUSES_S)
                yield Step(place, "way", one_s, way, (loads[0],))
            else:
                more = _PROBES_S if way == "streams" else 0.0
                yield Step(place, "way", _START_S + more + rounds_s, way, tuple(loads))


def _apart(kinds: Sequence[str]) -> list[Step]:
    """Return what is measured without cameras, which is done on the whole device."""
    return [Step("whole", kind, _APART_S[kind]) for kind in kinds]
