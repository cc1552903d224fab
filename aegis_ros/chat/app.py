"""The chat API of OpenAI: ``/v1/chat/completions``, whole or as server-sent events, and models."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from aegis_ros.chat.hearing import Hearing
from aegis_ros.chat.image_url import MOST_BYTES
from aegis_ros.chat.replies import Reply, Wrong, error_of, event, model_of, refusal
from aegis_ros.chat.request import ChatRequest, read_request
from aegis_ros.chat.robot import Answered, Question, Robot
from aegis_ros.chat.settings import Settings
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.serving.attempts import Attempts
from aegis_ros.serving.guard import add_guard, read_json, require_token

__all__ = ["create_app"]

_MOST_TEXT = 2 * 1024 * 1024  # a prompt of a megabyte, and how JSON writes it
_MOST_BODY = _MOST_TEXT + 4 * (MOST_BYTES // 3 + 1)  # with an image, in base64
_MOST_LARGE = 4  # bodies that are longer than those of text, at a time


def create_app(robot: Robot, settings: Settings) -> FastAPI:
    """Return the application.

    Args:
        robot: who answers.
        settings: to whom, and how many at a time.
    """
    app = FastAPI(title="aegis_ros", docs_url=None, redoc_url=None, openapi_url=None)
    add_guard(app, settings, "API", error_of)
    attempts = Attempts()
    inside: set[object] = set()
    large: set[object] = set()
    since_s = int(time.time())

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> JSONResponse:
        text = (
            f"{request.method} {request.url.path[:100]} is not served; served are "
            "POST /v1/chat/completions and GET /v1/models"
        )
        return JSONResponse(
            error_of(Wrong(error.status_code, text)), error.status_code, error.headers
        )

    def let_in(request: Request) -> None:
        if settings.token:
            require_token(request, settings, attempts)

    def models() -> list[dict[str, Any]]:
        try:
            return [model_of(name, since_s) for name in robot.models()]
        except AegisError as error:
            raise Wrong(503, str(error)) from error

    @app.get("/v1/models")
    async def list_models(request: Request) -> Any:
        let_in(request)
        return {"object": "list", "data": models()}

    @app.get("/v1/models/{name}")
    async def show_model(request: Request, name: str) -> Any:
        let_in(request)
        for each in models():
            if each["id"] == name:
                return each
        raise Wrong(404, f"there is no generator {name[:64]}", "model", "model_not_found")

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        let_in(request)
        return _Completion(robot, inside, settings.requests, large)

    return app


class _Completion(Response):
    """Has its place among the requests from the first byte of its body until it has ended."""

    def __init__(self, robot: Robot, inside: set[object], most: int, large: set[object]) -> None:
        super().__init__()
        self._robot = robot
        self._inside = inside
        self._most = most
        self._large = large

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._inside) >= self._most:
            raise Wrong(429, f"{self._most} requests are in hand already; ask again later")
        self._inside.add(self)
        try:
            request = Request(scope, receive)
            asked, question = await _read(request, await self._longest(request))
            reply = Reply(asked.model, asked.wants_usage)
            with Hearing(self._robot, question, receive) as hearing:
                # What is refused at once has its status, streamed or not.
                answered = await hearing.next()
                if asked.stream and refusal(answered) is None:
                    await _stream(reply, hearing, answered, send)
                    return
                while not answered.ended:
                    answered = await hearing.next()
            wrong = refusal(answered)
            if wrong is not None:
                raise wrong
            await JSONResponse(reply.whole(answered))(scope, receive, send)
        finally:
            self._inside.discard(self)
            self._large.discard(self)

    async def _longest(self, request: Request) -> int:
        """Return how long a body may be: as long as it says, where there is a place for that."""
        said = request.headers.get("content-length", "")
        if not said.isdecimal() or int(said) <= _MOST_TEXT:
            return _MOST_TEXT
        if len(self._large) >= _MOST_LARGE:
            taken = 0
            async for part in request.stream():  # who still sends would not read the answer
                taken += len(part)
                if taken > _MOST_BODY:
                    break
            raise Wrong(429, f"{_MOST_LARGE} large images are in hand already; ask again later")
        self._large.add(self)
        return _MOST_BODY


async def _read(request: Request, most: int) -> tuple[ChatRequest, Question]:
    try:
        asked = read_request(await read_json(request, most))
        return asked, asked.question()
    except ConfigError as error:
        raise Wrong(400, str(error), error.where or None) from error


async def _stream(reply: Reply, hearing: Hearing, answered: Answered, send: Send) -> None:
    kind = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": kind})
    while True:
        wrong = refusal(answered)
        piece = reply.pieces(answered) if wrong is None else event(error_of(wrong))
        more = not answered.ended
        await send({"type": "http.response.body", "body": piece, "more_body": more})
        if not more:
            return
        answered = await hearing.next()
