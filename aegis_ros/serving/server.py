"""Serves an application on a thread of its own."""

from __future__ import annotations

import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from aegis_ros.errors import ConfigError
from aegis_ros.serving.connections import bounded
from aegis_ros.serving.listening import Listening

__all__ = ["Server"]

_END_SECONDS = 3.0


class Server:
    """An application that is served until it is closed.

    Args:
        app: what is served.
        listening: where, and within which limits.
        ended: set when the server ends; open streams of the application end with it.
        name: of the thread.
    """

    def __init__(
        self, app: ASGIApp, listening: Listening, ended: threading.Event, name: str
    ) -> None:
        """Listen and serve.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        self._ended = ended
        self._socket = _listen(listening)
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=bounded(listening),
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
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def close(self) -> None:
        """End all streams and the thread."""
        self._ended.set()
        self._server.should_exit = True
        self._thread.join(timeout=_END_SECONDS)
        self._socket.close()


def _listen(listening: Listening) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listening.host, listening.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
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
            value=f"{listening.host}:{listening.port}",
            hint="Choose another port (0: any free one), or end who uses it",
        ) from error
    return listener
