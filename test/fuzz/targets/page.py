"""Requests to the live page: bytes on a connection to the real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from aegis_ros.dashboard import Feed, Settings
from aegis_ros.dashboard.server import Server
from test.dashboard.robot import FakeRobot, fill
from test.fuzz.mutation import Mutator
from test.fuzz.target import Target, Try

__all__ = ["TARGET"]

_TOKEN = "0123456789abcdef"
_ANSWERED_S = 30.0
_MOST_ANSWER = 4 * 1024 * 1024
_HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"
_QUESTION = b'{"name": "rear", "like": "obstacles", "period_ms": 100}'
_WISH = b'{"task": "obstacles", "enabled": false}'
_WORDS = (
    *b"GET POST PUT HEAD TRACE CONNECT HTTP/1.0 HTTP/2.0 \r\n \r\n\r\n : chunked close".split(b" "),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: -1\r\n", b"Content-Length: 1\r\n"),
    *(b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"),
    *(b"Authorization: Bearer \r\n", b"Authorization: Basic eDp5\r\n", b"Host: evil.example\r\n"),
    *(b"/../../etc/passwd", b"/%2e%2e/etc/passwd", b"/what-if", b"/enabled", b"/metrics", b"/news"),
    *(b"\x00", b"\xff\xfe", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"[" * 3_000, b"NaN", b"1e999"),
)


def _request(method: str, path: str, body: bytes = b"", more: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n".encode() if body else b""
    return f"{method} {path} HTTP/1.1\r\n".encode() + _HEAD + more + length + b"\r\n" + body


def _seeds() -> Sequence[bytes]:
    wrong = b"Authorization: Bearer 0000000000000000\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n"
    return [
        _request("GET", "/"),
        _request("GET", "/page.js"),
        _request("GET", "/metrics"),
        _request("POST", "/what-if", _QUESTION),
        _request("POST", "/enabled", _WISH),
        _request("POST", "/enabled", _WISH, wrong),
        _request("POST", "/what-if", more=chunked)
        + f"{len(_QUESTION):x}\r\n".encode()
        + _QUESTION
        + b"\r\n0\r\n\r\n",
    ]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    feed, robot = Feed(), FakeRobot()
    fill(feed, 1_700_000_000_000.0)
    server = Server(feed, robot, Settings(port=0, token=_TOKEN, metrics=True, request_s=0.2))
    port = int(server.url.rstrip("/").rpartition(":")[2])

    def work(data: bytes) -> bool:
        answer = _asked(port, data)
        if _TOKEN.encode() not in data:
            assert not robot.wishes, "somebody without the token changed something"
        status = answer[9:12]
        known = not answer or status in (b"503", b"501") or status < b"500"
        assert known, f"answered with {answer[:80]!r}"
        connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWERED_S)
        connection.request("HEAD", "/icon.svg")
        assert connection.getresponse().status in (200, 405), "the page does not answer any more"
        connection.close()
        return status == b"200"

    try:
        yield work
    finally:
        server.close()


def _asked(port: int, data: bytes) -> bytes:
    """Send bytes, and nothing after them; return the beginning of what comes back."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=_ANSWERED_S) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while len(answer) < _MOST_ANSWER and (part := connection.recv(65536)):
                answer += part
                if answer.startswith(b"HTTP/1.1 200 OK") and b"event-stream" in answer[:2_000]:
                    break  # news have no end
        except (ConnectionResetError, BrokenPipeError):
            pass  # closed before it had read everything, as it may
    return answer


TARGET = Target(
    name="page",
    title="requests to the page",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=96 * 1024),
    opened=_opened,
    weight=0.6,
    brief=100,
)
