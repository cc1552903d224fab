"""Limits that never change: all that was admitted, in the precision that was asked for."""

from __future__ import annotations

from aegis_ros.scheduling.adaptation.figures import Figures
from aegis_ros.scheduling.adaptation.menu import Limits, Menu

__all__ = ["StaticLimits"]


class StaticLimits:
    """A policy that changes nothing.

    Args:
        menu: what was admitted.
        limits: to stay with; the largest, if not given.
    """

    def __init__(self, menu: Menu, limits: Limits | None = None) -> None:
        """Choose them."""
        precision = menu.precisions[0]
        self._limits = limits or Limits(
            menu.chunks(precision)[-1], menu.batches(precision)[-1], menu.max_len, precision
        )

    def first(self) -> Limits:
        """Return the limits."""
        return self._limits

    def after(self, figures: Figures, limits: Limits) -> None:
        """Wish for nothing."""
