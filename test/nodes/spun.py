"""Spins an executor on a thread of a test."""

from __future__ import annotations

from contextlib import suppress

from rclpy.executors import Executor, ExternalShutdownException

__all__ = ["spin"]


def spin(executor: Executor) -> None:
    """Spin until the executor or its context is shut down."""
    with suppress(ExternalShutdownException):
        executor.spin()
