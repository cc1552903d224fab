"""Spins a node on a thread of its own until the context is shut down."""

from __future__ import annotations

import threading

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

__all__ = ["spin_beside"]


def spin_beside(node: Node) -> threading.Thread:
    """Start the thread and return it; it ends after ``rclpy.shutdown``."""

    def run() -> None:
        try:
            rclpy.spin(node)
        except ExternalShutdownException:
            return

    thread = threading.Thread(target=run, name="spin", daemon=True)
    thread.start()
    return thread
