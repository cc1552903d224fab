"""What every application that is served here asks of a request, and puts on its answer.

Every answer forbids a browser to load anything from elsewhere. Requests that have the robot do
something must be JSON, which another site's page cannot send unasked.
"""

from __future__ import annotations

import hmac
import logging
import math
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from h11 import LocalProtocolError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aegis_ros.serving.attempts import Attempts
from aegis_ros.serving.listening import Listening

__all__ = ["Refused", "add_guard", "read_json", "require_token"]

_log = logging.getLogger(__name__)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        """Keep the parts."""
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def add_guard(
    app: FastAPI, listening: Listening, what: str, shown: Callable[[Refused], Any]
) -> None:
    """Guard an application.

    Args:
        app: the application.
        listening: where it is served.
        what: it is, in the words of an error.
        shown: returns what is answered where a request is refused, as JSON knows it.
    """
    app.add_middleware(_Guard, listening=listening, what=what)

    @app.exception_handler(Refused)
    async def refuse(request: Request, error: Refused) -> JSONResponse:
        return JSONResponse(shown(error), error.status, error.headers)


class _Guard:
    """Puts the safety headers on every answer, and refuses names that are not this machine's."""

    def __init__(self, app: ASGIApp, listening: Listening, what: str) -> None:
        self._app = app
        self._loopback = listening.loopback
        self._what = what
        self._noted: set[type[Exception]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        if self._loopback and not _names_loopback(Headers(scope=scope).get("host", "")):
            # Another site's name that was made to point here must not read what is served.
            text = f"this {self._what} is served to localhost only\n"
            await PlainTextResponse(text, status_code=421)(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        except (ClientDisconnect, LocalProtocolError):
            return  # nobody is there any more to be answered
        except Exception as error:
            self._note(error)
            raise

    def _note(self, error: Exception) -> None:
        """Log a mistake of ours, each kind once: clients may have it happen all the time."""
        kind = type(error)
        if kind not in self._noted:
            self._noted.add(kind)
            _log.error("a bug in the %s", self._what, exc_info=error)


def require_token(request: Request, listening: Listening, attempts: Attempts) -> None:
    """Let in who has the token.

    Args:
        request: who asks.
        listening: holds the token; without one, nobody has it.
        attempts: counts wrong ones.

    Raises:
        Refused: it is missing or wrong, or too many wrong ones came from there.
    """
    client = request.client.host if request.client else ""
    wait_s = math.ceil(attempts.wait_s(client))
    if wait_s:
        text = f"too many wrong tokens from {client}; wait {wait_s} s"
        raise Refused(429, text, Retry_After=str(wait_s))
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if (
        not listening.token
        or scheme.lower() != "bearer"
        or not hmac.compare_digest(given.strip().encode(), listening.token.encode())
    ):
        if given:
            attempts.wrong(client)
        raise Refused(401, "the token is missing or wrong")


async def read_json(request: Request, most: int) -> bytes:
    """Return the body of a request.

    Args:
        request: who asks.
        most: bytes of it.

    Raises:
        Refused: it is no JSON, or too long.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "send application/json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise Refused(413, f"more than {most} bytes")
    return bytes(body)


def _names_loopback(host: str) -> bool:
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.lower() in _LOOPBACK_NAMES
