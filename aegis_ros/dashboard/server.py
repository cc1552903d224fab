"""Serves the application on a thread of its own."""

from __future__ import annotations

import socket
import threading

import uvicorn

from aegis_ros.dashboard.app import create_app
from aegis_ros.dashboard.connections import bounded
from aegis_ros.dashboard.feed import Feed
from aegis_ros.dashboard.questions import Robot
from aegis_ros.dashboard.settings import Settings
from aegis_ros.errors import ConfigError

__all__ = ["Server"]

_END_SECONDS = 3.0


class Server:
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
        self._ended = threading.Event()
        self._socket = _listen(settings)
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(feed, robot, settings, self._ended),
                http=bounded(settings),
                ws="none",
                log_config=None,
                log_level="critical",  # a client's mistake is answered, and fills no log
                access_log=False,
                proxy_headers=False,  # else who asks chooses the address that is counted
                lifespan="off",
                timeout_keep_alive=5,
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def close(self) -> None:
        """End all streams and the thread."""
        self._ended.set()
        self._server.should_exit = True
        self._thread.join(timeout=_END_SECONDS)
        self._socket.close()


def _listen(settings: Settings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(64)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot listen there ({error.strerror or error})",
            where="host, port",
            value=f"{settings.host}:{settings.port}",
            hint="Choose another port (0: any free one), or end who uses it",
        ) from error
    return listener
