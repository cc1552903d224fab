"""Under what circumstances runs were measured; only runs of one condition are comparable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cache", "Condition", "Stress"]


class Stress(StrEnum):
    """What runs on the other cores meanwhile."""

    NONE = "none"
    MEMORY = "memory"
    COMPUTE = "compute"


class Cache(StrEnum):
    """What the run before left in the caches.

    ``warm``: the same network's data; ``cold``: something else, as after another network.
    """

    WARM = "warm"
    COLD = "cold"


@dataclass(frozen=True, slots=True)
class Condition:
    """One way of measuring.

    Attributes:
        stress: load beside it.
        cache: state of the caches.
        inputs: what the network is fed, for people.
    """

    stress: Stress = Stress.NONE
    cache: Cache = Cache.WARM
    inputs: str = "random"

    @property
    def label(self) -> str:
        """The condition in a few words."""
        beside = "alone" if self.stress is Stress.NONE else f"against {self.stress} load"
        kept = "" if self.cache is Cache.WARM else ", cold caches"
        fed = "" if self.inputs == "random" else f", {self.inputs}"
        return f"{beside}{kept}{fed}"

    def to_json(self) -> dict[str, str]:
        """Return a mapping that :meth:`from_json` understands."""
        return {"stress": self.stress, "cache": self.cache, "inputs": self.inputs}

    @staticmethod
    def from_json(values: Mapping[str, str]) -> Condition:
        """Return the condition :meth:`to_json` described.

        Raises:
            ValueError, KeyError: it is none.
        """
        return Condition(Stress(values["stress"]), Cache(values["cache"]), str(values["inputs"]))
