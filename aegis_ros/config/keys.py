"""Kinds of values that keys have, and what the reference says of a key beyond its declaration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "Finite",
    "Float",
    "Int",
    "Milliseconds",
    "MillisecondsOrZero",
    "Model",
    "Number",
    "Shown",
]

_HOUR_MS = 3_600_000.0


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
    """A mapping of the file: no unknown keys, and not changed once it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _no_truth(value: object) -> object:
    """Refuse ``yes`` and ``true`` where a number belongs; YAML reads them as 1."""
    if isinstance(value, (bool, bytes)):
        raise ValueError("expected a number")
    return value


Number = BeforeValidator(_no_truth)
Float = Annotated[float, Number]
Int = Annotated[int, Number]
# A microsecond is the shortest time that differs from none once it is integer nanoseconds.
Milliseconds = Annotated[float, Number, Field(ge=0.001, le=_HOUR_MS, allow_inf_nan=False)]
MillisecondsOrZero = Annotated[float, Number, Field(ge=0.0, le=_HOUR_MS, allow_inf_nan=False)]
Finite = Annotated[float, Number, Field(allow_inf_nan=False)]
