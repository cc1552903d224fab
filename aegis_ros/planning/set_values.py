"""Values as a bare set writes them: their types, and what they are in nanoseconds."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated

from pydantic import Field

from aegis_ros.config import Number
from aegis_ros.config.patterns import SET_NAME

__all__ = ["Ms", "MsOrZero", "Name", "ns_down", "ns_up"]

_LEAST_MS = 1e-6  # one nanosecond, the grain of every test
_HOUR_MS = 3_600_000.0

Ms = Annotated[float, Number, Field(ge=_LEAST_MS, le=_HOUR_MS, allow_inf_nan=False)]
MsOrZero = Annotated[float, Number, Field(ge=0.0, le=_HOUR_MS, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=SET_NAME)]


def ns_up(milliseconds: float) -> int:
    """Return nanoseconds as they were written, fractions rounded up: for budgets and jitters."""
    return _ns(milliseconds, ROUND_CEILING)


def ns_down(milliseconds: float) -> int:
    """Return nanoseconds as they were written, fractions rounded down: for what limits."""
    return _ns(milliseconds, ROUND_FLOOR)


def _ns(milliseconds: float, rounding: str) -> int:
    exact = Decimal(repr(float(milliseconds))) * 1_000_000
    return int(exact.to_integral_value(rounding=rounding))
