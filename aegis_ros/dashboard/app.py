"""The web application: one page, its news as server-sent events, questions, metrics.

Every answer forbids the browser to load anything from elsewhere. Requests that make the
orchestrator work must be JSON, which another site's page cannot send unasked.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import math
import threading
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from h11 import LocalProtocolError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aegis_ros.dashboard.attempts import Attempts
from aegis_ros.dashboard.feed import Batch, Cursor, Feed
from aegis_ros.dashboard.metrics import CONTENT_TYPE, Metrics
from aegis_ros.dashboard.questions import Robot, read_pause, read_what_if
from aegis_ros.dashboard.settings import Settings
from aegis_ros.dashboard.views import JobView, plain
from aegis_ros.errors import AegisError, ConfigError

__all__ = ["create_app", "encode"]

_log = logging.getLogger(__name__)
_MAX_BODY = 65_536
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def create_app(feed: Feed, robot: Robot, settings: Settings, ended: threading.Event) -> FastAPI:
    """Return the application.

    Args:
        feed: what is shown.
        robot: who answers questions.
        settings: what may be done.
        ended: set when the server ends; open streams end with it.
    """
    app = FastAPI(title="aegis_ros", docs_url=None, redoc_url=None, openapi_url=None)
    _add_guard(app, settings)
    if settings.page:
        _add_page(app)
        _add_news(app, feed, settings, ended)
        _add_questions(app, robot, settings)
    if settings.metrics:
        metrics = Metrics(feed, settings.target)

        @app.get("/metrics")
        def read_metrics() -> Response:
            return Response(metrics.render(), media_type=CONTENT_TYPE)

    return app


def _add_guard(app: FastAPI, settings: Settings) -> None:
    app.add_middleware(_Guard, settings=settings)

    @app.exception_handler(_Refused)
    async def refuse(request: Request, error: _Refused) -> JSONResponse:
        return JSONResponse({"error": error.text}, error.status, error.headers)


class _Guard:
    """Puts the safety headers on every answer, and refuses names that are not this machine's."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._loopback = settings.loopback
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
            # Another site's name that was made to point here must not read this page.
            text = "this page is served to localhost only\n"
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
            _log.error("a bug in the page", exc_info=error)


def _add_page(app: FastAPI) -> None:
    def serve(path: str, content: bytes, kind: str) -> None:
        @app.get(path)
        async def read_file() -> Response:
            return Response(content, headers={"Content-Type": kind})

    for file in (resources.files("aegis_ros.dashboard") / "page").iterdir():
        path = "/" if file.name == "index.html" else f"/{file.name}"
        serve(path, file.read_bytes(), _KINDS[Path(file.name).suffix])


def _add_news(app: FastAPI, feed: Feed, settings: Settings, ended: threading.Event) -> None:
    readers: set[object] = set()

    class News(StreamingResponse):
        """Holds its place among the readers until it ends, also where it never began."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                readers.discard(self)

    async def news() -> AsyncIterator[str]:
        # the browser asks again after this many milliseconds when the node was restarted
        yield "retry: 2000\n\n"
        about = {"target": settings.target, "may_change": bool(settings.token)}
        yield f"event: hello\ndata: {json.dumps(about)}\n\n"
        cursor = Cursor()
        while not ended.is_set():
            batch, cursor = feed.since(cursor)
            yield f"data: {encode(batch)}\n\n"
            await asyncio.sleep(settings.batch_s)

    @app.get("/news")
    async def read_news() -> Response:
        if len(readers) >= settings.readers:
            raise _Refused(503, f"{len(readers)} browsers watch already; close one")
        answer = News(news(), media_type="text/event-stream")
        readers.add(answer)
        return answer


def _add_questions(app: FastAPI, robot: Robot, settings: Settings) -> None:
    busy = asyncio.Semaphore(1)
    attempts = Attempts()

    async def ask(call: Callable[[], Any]) -> Any:
        if busy.locked():
            raise _Refused(429, "another question is being answered; ask again in a moment")
        async with busy:
            try:
                return await run_in_threadpool(call)
            except AegisError as error:
                raise _Refused(503, str(error)) from error

    @app.post("/what-if")
    async def what_if(request: Request) -> Response:
        if not settings.loopback:
            _require_token(request, settings, attempts)
        question = _checked(read_what_if, await _body(request))
        answer = await ask(lambda: robot.evaluate(question))
        return JSONResponse(plain(answer))

    @app.post("/enabled")
    async def set_enabled(request: Request) -> Response:
        _require_token(request, settings, attempts)
        wish = _checked(read_pause, await _body(request))
        done, why = await ask(lambda: robot.set_enabled(wish.task, wish.enabled))
        return JSONResponse({"done": done, "why": why}, status_code=200 if done else 409)


def _checked(read: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return read(body)
    except ConfigError as error:
        raise _Refused(422, str(error)) from error


def _require_token(request: Request, settings: Settings, attempts: Attempts) -> None:
    if not settings.token:
        raise _Refused(403, "read-only: the dashboard runs without a token; set token_file")
    client = request.client.host if request.client else ""
    wait_s = math.ceil(attempts.wait_s(client))
    if wait_s:
        text = f"too many wrong tokens from {client}; wait {wait_s} s"
        raise _Refused(429, text, Retry_After=str(wait_s))
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(
        given.strip().encode(), settings.token.encode()
    ):
        if given:
            attempts.wrong(client)
        raise _Refused(401, "the token is missing or wrong")


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _Refused(415, "send application/json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY:
            raise _Refused(413, f"more than {_MAX_BODY} bytes")
    return bytes(body)


def _names_loopback(host: str) -> bool:
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.lower() in _LOOPBACK_NAMES


_JOB_FIELDS = tuple(JobView.__dataclass_fields__)


def encode(batch: Batch) -> str:
    """Return a batch as one line of JSON; jobs as rows in the order of ``JobView``'s fields."""
    return json.dumps(
        {
            "now_ms": batch.now_ms,
            "status_age_s": batch.status_age_s,
            "status": plain(batch.status),
            "jobs": [[plain(getattr(job, name)) for name in _JOB_FIELDS] for job in batch.jobs],
            "decisions": plain(batch.decisions),
            "passed": batch.passed,
        },
        allow_nan=False,
        separators=(",", ":"),
    )
