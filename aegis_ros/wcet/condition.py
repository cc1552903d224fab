"""Under what circumstances runs were measured; only runs of one condition are comparable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["PATTERN", "RANDOM", "Cache", "Condition", "Neighbour", "Place", "Stress"]


# What a network is fed where nobody gives frames; others are names of folders.
RANDOM = "random"
PATTERN = "the pattern it finds most in"


class Stress(StrEnum):
    """What is loaded meanwhile: other cores, or a device of its own from another lane."""

    NONE = "none"
    MEMORY = "memory"
    COMPUTE = "compute"


class Cache(StrEnum):
    """What the run before left in the caches.

    ``warm``: the same network's data; ``cold``: something else, as after another network.
    """

    WARM = "warm"
    COLD = "cold"


class Place(StrEnum):
    """Where another network runs: right before on the same lane, or all the time on another.

    ``at once``: not one network, but one on each of several other lanes, or some in turn.
    """

    AFTER = "after"
    BESIDE = "beside"
    AT_ONCE = "at once"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another network that a network was measured with.

    Attributes:
        network: what its own times are kept under; of several at once, all of them
            (:func:`~aegis_ros.wcet.at_once.at_once`).
        place: where it runs.
        lane: what matters of the other lane that it runs on, in words; empty where lanes are alike.
        name: of its task, for people; two tasks of one network are one neighbour.
    """

    network: str
    place: Place
    lane: str = ""
    name: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """The neighbour in a few words."""
        if self.place is Place.AT_ONCE:
            return f"beside {self.name} at once"
        where = f" ({self.lane})" if self.lane else ""
        return f"{self.place} {self.name}{where}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One way of measuring.

    Attributes:
        stress: load beside it: that is the neighbour, where there is one; else on other cores.
        cache: state of the caches.
        inputs: what the network is fed, for people.
        neighbour: another network that runs as well; it leaves the caches as they are.
    """

    stress: Stress = Stress.NONE
    cache: Cache = Cache.WARM
    inputs: str = RANDOM
    neighbour: Neighbour | None = None

    @property
    def label(self) -> str:
        """The condition in a few words."""
        beside = "alone" if self.stress is Stress.NONE else f"against {self.stress} load"
        if self.neighbour is not None:
            beside = self.neighbour.label
        kept = "" if self.cache is Cache.WARM else ", cold caches"
        fed = "" if self.inputs == RANDOM else f", {self.inputs}"
        return f"{beside}{kept}{fed}"

    def to_json(self) -> dict[str, str]:
        """Return a mapping that :meth:`from_json` understands."""
        found: dict[str, str] = {
            "stress": self.stress,
            "cache": self.cache,
            "inputs": self.inputs,
        }
        if self.neighbour is not None:
            found |= {
                "neighbour": self.neighbour.name,
                "neighbour_network": self.neighbour.network,
                "place": self.neighbour.place,
                "lane": self.neighbour.lane,
            }
        return found

    @staticmethod
    def from_json(values: Mapping[str, str]) -> Condition:
        """Return the condition :meth:`to_json` described.

        Raises:
            ValueError, KeyError: it is none.
        """
        neighbour = None
        if "neighbour_network" in values:
            neighbour = Neighbour(
                str(values["neighbour_network"]),
                Place(values["place"]),
                str(values["lane"]),
                str(values["neighbour"]),
            )
        return Condition(
            Stress(values["stress"]), Cache(values["cache"]), str(values["inputs"]), neighbour
        )
