"""A client of an action whose goals any thread may send."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.action import ActionClient
from rclpy.exceptions import InvalidHandle
from rclpy.task import Future

__all__ = ["GoalClient"]


class GoalClient(ActionClient):
    """Sends goals while another thread spins its node, and hears of each of them.

    rclpy's own sends a request and then notes that an answer is to come. An answer that the
    spinning thread takes in between is dropped as unexpected, and the future never ends. It may be
    destroyed meanwhile, too, where a :class:`NodeExecutor` spins.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As rclpy's."""
        self._sending = threading.RLock()  # answers may be taken as soon as the node knows it
        self._destroyed = False
        super().__init__(*arguments, **named)

    def destroy(self) -> None:
        """Leave the node before what it refers to goes, so that nobody gathers it once more."""
        self._destroyed = True
        self._node.remove_waitable(self)
        self._client_handle.destroy_when_not_in_use()

    def add_to_wait_set(self, wait_set: Any) -> None:
        """Be waited for.

        Raises:
            InvalidHandle: it has been destroyed since it was gathered; rclpy's executor passes over
                that and adds it all the same, which ended the thread that spins.
        """
        if self._destroyed:
            raise InvalidHandle("the client of an action has been destroyed")
        super().add_to_wait_set(wait_set)

    def take_data(self) -> Any:
        """Take what has arrived, once all that was sent has been noted."""
        with self._sending:
            return super().take_data()

    def send_goal_async(self, *arguments: Any, **named: Any) -> Future:
        """As rclpy's."""
        with self._sending:
            return super().send_goal_async(*arguments, **named)

    def _get_result_async(self, *arguments: Any) -> Future:
        with self._sending:
            return super()._get_result_async(*arguments)

    def _cancel_goal_async(self, *arguments: Any) -> Future:
        with self._sending:
            return super()._cancel_goal_async(*arguments)
