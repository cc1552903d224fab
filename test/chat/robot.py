"""A robot that answers as a test has it, and a served API with who asks it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

from aegis_ros.chat import Answered, Question, Settings
from aegis_ros.chat.server import Server
from aegis_ros.errors import StateError

TOKEN = "0123456789abcdef"
WAIT_S = 100.0
QUESTION = {"model": "llm", "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Asked:
    """A question that was asked.

    Attributes:
        question: what.
        hear: is told the answer.
        cancelled: set once nobody waits for it any more.
    """

    question: Question
    hear: Callable[[Answered], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


def hello(asked: Asked) -> None:
    """Answer at once, in two pieces."""
    asked.hear(Answered("Hel"))
    asked.hear(Answered("Hello", "end", 5, 2))


class FakeRobot:
    """Answers by what it is given; what is asked meanwhile is kept."""

    def __init__(self, answer: Callable[[Asked], None] = hello) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.silent = False
        self._news = threading.Condition()

    def models(self) -> Sequence[str]:
        if self.silent:
            raise StateError("the orchestrator is not there")
        return ("llm", "poet")

    def ask(self, question: Question, hear: Callable[[Answered], None]) -> Callable[[], None]:
        asked = Asked(question, hear)
        with self._news:
            self.asked.append(asked)
            self._news.notify_all()
        self.answer(asked)
        return asked.cancelled.set

    def wait(self, number: int = 1) -> Asked:
        """Wait for so many questions, and return the last of them."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.asked) >= number, WAIT_S)
            return self.asked[number - 1]


class Served:
    """A served API and who asks for it."""

    def __init__(self, robot: FakeRobot, **settings: Any) -> None:
        self.robot = robot
        self.server = Server(robot, Settings(port=0, **settings))
        self.port = int(self.server.url.rstrip("/").rpartition(":")[2])

    def open(
        self, body: Any = None, path: str = "/v1/chat/completions", **headers: str
    ) -> tuple[HTTPConnection, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection.request("GET" if body is None else "POST", path, data, sent)
        return connection, connection.getresponse()

    def ask(
        self, body: Any = None, path: str = "/v1/chat/completions", **headers: str
    ) -> tuple[int, Any]:
        connection, answer = self.open(body, path, **headers)
        with closing(connection):
            text = answer.read()
            kind = answer.headers["Content-Type"]
            return answer.status, json.loads(text) if "json" in kind else text.decode()


@contextmanager
def served(answer: Callable[[Asked], None] = hello, **settings: Any) -> Iterator[Served]:
    one = Served(FakeRobot(answer), **settings)
    try:
        yield one
    finally:
        one.server.close()


def keep(asked: Asked) -> None:
    """Say nothing yet."""
