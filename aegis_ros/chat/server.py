"""Serves the API on a thread of its own."""

from __future__ import annotations

import threading

from aegis_ros.chat.app import create_app
from aegis_ros.chat.robot import Robot
from aegis_ros.chat.settings import Settings
from aegis_ros.serving import server

__all__ = ["Server"]


class Server(server.Server):
    """An API that is served until it is closed.

    Args:
        robot: who answers.
        settings: where and how.
    """

    def __init__(self, robot: Robot, settings: Settings) -> None:
        """Listen and serve.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        super().__init__(create_app(robot, settings), settings, threading.Event(), "chat")
