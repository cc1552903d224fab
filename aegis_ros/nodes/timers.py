"""Changes the period of a running timer."""

from __future__ import annotations

from rclpy.timer import Timer

__all__ = ["set_period"]


def set_period(timer: Timer, period_s: float) -> None:
    """Have a timer fire in another period, counted from now."""
    timer.timer_period_ns = round(period_s * 1e9)
    timer.reset()
