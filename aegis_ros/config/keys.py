"""Kinds of values that keys have, and what the reference says of a key beyond its declaration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "Finite",
    "Float",
    "Int",
    "Milliseconds",
    "MillisecondsOrZero",
    "Model",
    "Number",
    "Shown",
    "Topic",
    "TopicOrNone",
]

_TOPIC = re.compile(r"(~/|/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_HOUR_MS = 3_600_000.0
_SHORTEST_MS = 0.001  # a microsecond, the shortest time that surely differs from none


@dataclass(frozen=True, slots=True)
class Shown:
    """What the reference says of a key where its declaration says too little.

    Attributes:
        default: what it is if left out.
        values: what it may be; empty for what the declaration says.
    """

    default: str
    values: str = ""


class Model(BaseModel):
    """A mapping of the file: no unknown keys, and not changed once it was read.

    Attributes:
        word: key that people mean who write a word in place of the mapping; empty for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    word: ClassVar[str] = ""

    @classmethod
    def in_place_of(cls, key: str, word: str) -> str:
        """Return what to write where a word was given in place of the mapping; may be empty.

        Args:
            key: of the mapping; empty for an item of a list.
            word: that was given.
        """
        if not cls.word:
            return ""
        written = f"{{{cls.word}: {word}}}"
        return f"Write `{key}: {written}`" if key else f"Write `{written}`"


def _no_truth(value: object) -> object:
    """Refuse ``yes`` and ``true`` where a number belongs; YAML reads them as 1."""
    if isinstance(value, (bool, bytes)):
        raise ValueError("expected a number")
    return value


def _no_dust(value: float) -> float:
    """Refuse what would be rounded to no time, which means something else."""
    if 0.0 < value < _SHORTEST_MS:
        raise ValueError(f"expected 0, or at least {_SHORTEST_MS:g}")
    return value


def _check_topic(topic: str) -> str:
    if len(topic) > 255 or "__" in topic or not _TOPIC.fullmatch(topic):
        raise ValueError(
            "expected a ROS topic name: letters, digits and single underscores between slashes, no "
            "part beginning with a digit"
        )
    return topic


Number = BeforeValidator(_no_truth)
Float = Annotated[float, Number]
Int = Annotated[int, Number]
Milliseconds = Annotated[float, Number, Field(ge=_SHORTEST_MS, le=_HOUR_MS, allow_inf_nan=False)]
MillisecondsOrZero = Annotated[
    float, Number, Field(ge=0.0, le=_HOUR_MS, allow_inf_nan=False), AfterValidator(_no_dust)
]
Finite = Annotated[float, Number, Field(allow_inf_nan=False)]
Topic = Annotated[str, AfterValidator(_check_topic)]
TopicOrNone = Annotated[str, AfterValidator(lambda topic: topic and _check_topic(topic))]
