"""Serves the page on a thread of its own."""

from __future__ import annotations

import threading

from aegis_ros.dashboard.app import create_app
from aegis_ros.dashboard.feed import Feed
from aegis_ros.dashboard.questions import Robot
from aegis_ros.dashboard.settings import Settings
from aegis_ros.serving import server

__all__ = ["Server"]


class Server(server.Server):
    """A page that is served until it is closed.

    Args:
        feed: what is shown.
        robot: who answers questions.
        settings: where and how.
    """

    def __init__(self, feed: Feed, robot: Robot, settings: Settings) -> None:
        """Listen and serve.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        ended = threading.Event()
        super().__init__(create_app(feed, robot, settings, ended), settings, ended, "dashboard")
