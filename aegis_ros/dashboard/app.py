"""The web application: one page, its news as server-sent events, questions, metrics."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from aegis_ros.dashboard.feed import Batch, Cursor, Feed
from aegis_ros.dashboard.metrics import CONTENT_TYPE, Metrics
from aegis_ros.dashboard.questions import Robot, read_pause, read_what_if
from aegis_ros.dashboard.settings import Settings
from aegis_ros.dashboard.views import JobView, plain
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.serving.attempts import Attempts
from aegis_ros.serving.guard import Refused, add_guard, read_json, require_token

__all__ = ["create_app", "encode"]

_MAX_BODY = 65_536
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def create_app(feed: Feed, robot: Robot, settings: Settings, ended: threading.Event) -> FastAPI:
    """Return the application.

    Args:
        feed: what is shown.
        robot: who answers questions.
        settings: what may be done.
        ended: set when the server ends; open streams end with it.
    """
    app = FastAPI(title="aegis_ros", docs_url=None, redoc_url=None, openapi_url=None)
    add_guard(app, settings, "page", lambda refused: {"error": refused.text})
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
            raise Refused(503, f"{len(readers)} browsers watch already; close one")
        answer = News(news(), media_type="text/event-stream")
        readers.add(answer)
        return answer


def _add_questions(app: FastAPI, robot: Robot, settings: Settings) -> None:
    busy = asyncio.Semaphore(1)
    attempts = Attempts()

    async def ask(call: Callable[[], Any]) -> Any:
        if busy.locked():
            raise Refused(429, "another question is being answered; ask again in a moment")
        async with busy:
            try:
                return await run_in_threadpool(call)
            except AegisError as error:
                raise Refused(503, str(error)) from error

    @app.post("/what-if")
    async def what_if(request: Request) -> Response:
        if not settings.loopback:
            _require_token(request, settings, attempts)
        question = _checked(read_what_if, await read_json(request, _MAX_BODY))
        answer = await ask(lambda: robot.evaluate(question))
        return JSONResponse(plain(answer))

    @app.post("/enabled")
    async def set_enabled(request: Request) -> Response:
        _require_token(request, settings, attempts)
        wish = _checked(read_pause, await read_json(request, _MAX_BODY))
        done, why = await ask(lambda: robot.set_enabled(wish.task, wish.enabled))
        return JSONResponse({"done": done, "why": why}, status_code=200 if done else 409)


def _checked(read: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return read(body)
    except ConfigError as error:
        raise Refused(422, str(error)) from error


def _require_token(request: Request, settings: Settings, attempts: Attempts) -> None:
    if not settings.token:
        raise Refused(403, "read-only: the dashboard runs without a token; set token_file")
    require_token(request, settings, attempts)


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
