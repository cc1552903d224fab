"""An executor that other threads may destroy subscriptions and publishers under."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor

__all__ = ["NodeExecutor"]

_TRIES = 10  # each time something else was destroyed, and its node has forgotten it by then


class NodeExecutor(SingleThreadedExecutor):
    """Runs callbacks on one thread; what is destroyed before it is waited for is left out.

    rclpy's own gathers what a node has and then begins to wait: it fails where an event of a
    publisher or a subscription is destroyed in between. Action servers are to be destroyed when
    nothing spins their node any more: they are so before their node forgets them.
    """

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """Return the next callback that is ready, as rclpy does; gather anew where that fails."""
        for _ in range(_TRIES - 1):
            try:
                return super().wait_for_ready_callbacks(*args, **kwargs)
            except InvalidHandle:
                continue
        return super().wait_for_ready_callbacks(*args, **kwargs)

    def __del__(self) -> None:
        """Give up what is left, as rclpy does; a cycle's parts may have ended in any order."""
        with suppress(InvalidHandle):  # the guard of Ctrl+C went first
            super().__del__()
