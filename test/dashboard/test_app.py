from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `dashboard` is not installed")
pytest.importorskip("uvicorn", reason="the extra `dashboard` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `dashboard` is not installed")

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from aegis_ros.dashboard import Feed, Settings
from aegis_ros.dashboard.server import Server
from aegis_ros.errors import ConfigError, StateError
from aegis_ros.serving.connections import bounded
from test.dashboard.robot import FakeRobot, fill

TOKEN = "0123456789abcdef"
_QUESTION = {"name": "rear", "like": "obstacles", "period_ms": 100}


class Served:
    """A served page and who asks for it."""

    def __init__(self, **settings: Any) -> None:
        self.feed, self.robot = Feed(), FakeRobot()
        self.server = Server(self.feed, self.robot, Settings(port=0, **settings))
        self.port = int(self.server.url.rstrip("/").rpartition(":")[2])

    def open(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[HTTPConnection, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=100.0)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection.request(method, path, data, sent)
        return connection, connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection, answer = self.open(method, path, body, **headers)
        with closing(connection):
            text = answer.read()
            kind = answer.headers["Content-Type"]
            return answer.status, json.loads(text) if "json" in kind else text.decode()


@contextmanager
def served(**settings: Any) -> Iterator[Served]:
    one = Served(**settings)
    try:
        yield one
    finally:
        one.server.close()


@pytest.fixture(scope="module")
def page() -> Iterator[Served]:
    with served() as one:
        fill(one.feed, time.time() * 1e3)
        yield one


def _events(answer: Any, wanted: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    name = "message"
    while len(found) < wanted:
        line = answer.readline().decode().rstrip("\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            found.append((name, json.loads(line[6:])))
            name = "message"
    return found


def test_the_page_and_all_it_needs_come_from_here(page: Served) -> None:
    status, text = page.ask("GET", "/")
    assert status == 200
    assert "http" not in text
    for name in ("page.js", "timeline.js", "tasks.js", "text.js", "page.css", "icon.svg"):
        status, text = page.ask("GET", f"/{name}")
        assert status == 200
        assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), name


def test_every_answer_forbids_what_comes_from_elsewhere(page: Served) -> None:
    for path in ("/", "/nothing", "/page.js"):
        connection, answer = page.open("GET", path)
        with closing(connection):
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["Cache-Control"] == "no-store"


def test_news_begin_with_all_that_is_known_and_go_on_in_batches(page: Served) -> None:
    connection, answer = page.open("GET", "/news")
    with closing(connection):
        (hello, about), (_, first), (_, second) = _events(answer, 3)
    assert hello == "hello"
    assert about == {"target": "/orchestrator", "may_change": False}
    assert len(first["jobs"]) == 600
    assert first["status"]["tasks"][0]["name"] == "face_detector"
    assert second["status"] is None
    assert second["jobs"] == []


def test_only_so_many_browsers_watch_and_room_is_made_when_one_leaves() -> None:
    with served(readers=1, batch_s=0.05) as one:
        connection, answer = one.open("GET", "/news")
        with closing(connection):
            _events(answer, 1)
            assert one.ask("GET", "/news")[0] == 503
        end = time.monotonic() + 100.0
        while True:
            connection, answer = one.open("GET", "/news")
            with closing(connection):
                if answer.status == 200:
                    break
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_name_for_this_machine_is_refused(page: Served, name: str) -> None:
    assert page.ask("GET", "/", Host=name)[0] == 421


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:1", "127.0.0.1:8470", "[::1]:9"])
def test_the_names_of_loopback_are_served(page: Served, name: str) -> None:
    assert page.ask("GET", "/", Host=name)[0] == 200


def test_a_question_is_answered_with_the_inequality_and_what_would_pass(page: Served) -> None:
    status, answer = page.ask("POST", "/what-if", _QUESTION)
    assert status == 200
    assert answer["admitted"] is False
    assert answer["decision"]["relation"] == ">"
    assert answer["decision"]["counterfactuals"][0]["value"] == 140.0
    assert page.robot.questions[-1].like == "obstacles"
    assert page.robot.questions[-1].deadline_ms == 0.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "Rear"}, "name"),
        ({"name": None}, "name"),
        ({"period_ms": -1}, "period_ms"),
        ({"period_ms": float("nan")}, "period_ms"),
        ({"topic": "/a b"}, "topic"),
        ({"criticality": "urgent"}, "criticality"),
        ({"without": ["<b>"]}, "without[0]"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_question_that_is_wrong_is_refused_by_the_name_of_its_field(
    page: Served, change: dict[str, Any], named: str
) -> None:
    asked = len(page.robot.questions)
    status, answer = page.ask("POST", "/what-if", {**_QUESTION, **change})
    assert status == 422
    assert answer["error"].startswith(named)
    assert len(page.robot.questions) == asked


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"\xff", "application/json", 422),
        (b"{}", "text/plain", 415),
        (b" " * 70_000, "application/json", 413),
    ],
)
def test_a_body_that_is_no_question_is_refused(
    page: Served, body: bytes, kind: str, status: int
) -> None:
    assert page.ask("POST", "/what-if", body, Content_Type=kind)[0] == status


def test_one_question_at_a_time_is_answered() -> None:
    asked, answered = threading.Event(), threading.Event()

    def evaluate(question: Any) -> Any:
        asked.set()
        assert answered.wait(100.0)
        raise StateError("too late")

    with served() as one:
        one.robot.evaluate = evaluate  # type: ignore[method-assign]
        first = threading.Thread(target=one.ask, args=("POST", "/what-if", _QUESTION))
        first.start()
        try:
            assert asked.wait(100.0)
            assert one.ask("POST", "/what-if", _QUESTION)[0] == 429
        finally:
            answered.set()
            first.join()


def test_an_orchestrator_that_does_not_answer_is_reported() -> None:
    with served() as one:
        one.robot.silent = True
        status, answer = one.ask("POST", "/what-if", _QUESTION)
        assert status == 503
        assert "does not answer" in answer["error"]


def test_without_a_token_nothing_can_be_changed(page: Served) -> None:
    wish = {"task": "obstacles", "enabled": False}
    assert page.ask("POST", "/enabled", wish)[0] == 403
    assert page.ask("POST", "/enabled", wish, Authorization="Bearer ")[0] == 403
    assert page.robot.wishes == []


def test_only_the_right_token_stops_a_task() -> None:
    wish = {"task": "obstacles", "enabled": False}
    with served(token=TOKEN) as one:
        for given in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer \xe4"):
            assert one.ask("POST", "/enabled", wish, Authorization=given)[0] == 401
        assert one.robot.wishes == []
        status, answer = one.ask("POST", "/enabled", wish, Authorization=f"Bearer {TOKEN}")
        assert (status, answer["done"]) == (200, True)
        assert one.robot.wishes == [("obstacles", False)]


def test_who_gives_many_wrong_tokens_has_to_wait() -> None:
    with served(token=TOKEN) as one:
        body = {"task": "obstacles", "enabled": False}
        given = [
            one.ask("POST", "/enabled", body, Authorization=f"Bearer {number:016}")[0]
            for number in range(12)
        ]
        assert given == [401] * 10 + [429] * 2
        connection, answer = one.open("POST", "/enabled", body, Authorization=f"Bearer {TOKEN}")
        with closing(connection):
            assert answer.status == 429  # else the right one could be told by its answer
            assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert one.robot.wishes == []


def test_nobody_guesses_on_under_addresses_that_he_makes_up() -> None:
    with served(token=TOKEN) as one:
        body = {"task": "obstacles", "enabled": False}
        given = [
            one.ask(
                "POST",
                "/enabled",
                body,
                Authorization=f"Bearer {number:016}",
                X_Forwarded_For=f"192.0.2.{number}",
            )[0]
            for number in range(12)
        ]
        assert given == [401] * 10 + [429] * 2


def test_asking_without_a_token_is_no_guess() -> None:
    with served(token=TOKEN) as one:
        body = {"task": "obstacles", "enabled": False}
        assert {one.ask("POST", "/enabled", body)[0] for _ in range(12)} == {401}
        assert one.ask("POST", "/enabled", body, Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: loc",
        b"POST /what-if HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "half a header", "half a body"],
)
def test_a_request_that_does_not_end_is_ended(half: bytes) -> None:
    with served(request_s=0.3) as one, _connected(one) as client:
        client.sendall(half)
        assert _ended(client)


def test_a_request_that_drips_is_ended_however_long_it_drips() -> None:
    with served(request_s=0.5) as one, _connected(one) as client:
        end = time.monotonic() + 100.0
        with pytest.raises(OSError):
            while time.monotonic() < end:
                client.sendall(b"G")
                time.sleep(0.05)


def test_a_second_request_that_does_not_end_is_ended() -> None:
    with served(request_s=0.3) as one, _connected(one) as client:
        client.sendall(b"GET /icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = HTTPResponse(client)
        answer.begin()
        assert answer.read()
        client.sendall(b"GET / HTTP/1.1\r\nHost: loc")  # sooner than an idle connection is closed
        assert _ended(client)


def test_who_does_not_read_the_answers_is_not_waited_for() -> None:
    request = b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(request_s=0.3) as one, _connected(one) as client, pytest.raises(ConnectionError):
        while True:  # until both ends are full of answers; without a limit, this waits in vain
            client.sendall(100 * request)


class _Loop:
    """Notes what a protocol wants to be called later."""

    def __init__(self) -> None:
        self.waiting: list[_Handle] = []

    def call_later(self, seconds: float, call: Any) -> _Handle:
        handle = _Handle(self, seconds)
        self.waiting.append(handle)
        return handle


class _Handle:
    def __init__(self, loop: _Loop, seconds: float) -> None:
        self._loop, self.seconds = loop, seconds

    def cancel(self) -> None:
        self._loop.waiting.remove(self)


class _Flow:
    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


def test_who_reads_on_has_all_the_time_again() -> None:
    protocol: Any = object.__new__(bounded(Settings(request_s=7.0)))
    protocol.loop, protocol.flow = _Loop(), _Flow()
    protocol.transport = SimpleNamespace(abort=lambda: None)
    for _ in range(2):
        protocol.pause_writing()
        assert [each.seconds for each in protocol.loop.waiting] == [7.0]
        protocol.resume_writing()
        assert protocol.loop.waiting == []


def test_a_byte_more_gives_who_does_not_read_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(H11Protocol, "data_received", lambda self, data: None)
    protocol: Any = object.__new__(bounded(Settings(request_s=7.0)))
    protocol.loop, protocol.flow = _Loop(), _Flow()
    protocol.transport = SimpleNamespace(abort=lambda: None)
    protocol.conn = SimpleNamespace(their_state=h11.DONE)
    protocol.pause_writing()
    (limit,) = protocol.loop.waiting
    protocol.data_received(b"G")
    assert protocol.loop.waiting == [limit]


def test_news_are_not_ended_by_the_limit_of_requests() -> None:
    with served(request_s=0.3, batch_s=0.05) as one:
        connection, answer = one.open("GET", "/news")
        with closing(connection):
            assert len(_events(answer, 20)) == 20  # more than a second of them


def test_connections_beyond_the_limit_are_closed_and_the_others_served() -> None:
    # No other limit may close them first.
    with served(connections=3, request_s=3600.0) as one, ExitStack() as opened:
        held = [opened.enter_context(_connected(one)) for _ in range(3)]
        for client in held:  # each is served once, so that all three are known to be there
            client.sendall(b"GET /page.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        with _connected(one) as client:
            assert _ended(client)
        held.pop().close()
        end = time.monotonic() + 100.0
        while True:
            try:
                assert one.ask("GET", "/page.css")[0] == 200
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)


def _connected(one: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", one.port), timeout=100.0)


def _ended(client: socket.socket) -> bool:
    """Whether the server closes the connection without a word."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_who_is_not_on_this_machine_needs_the_token_to_ask() -> None:
    with served(host="0.0.0.0", token=TOKEN) as one:
        assert one.ask("POST", "/what-if", _QUESTION)[0] == 401
        right = f"Bearer {TOKEN}"
        assert one.ask("POST", "/what-if", _QUESTION, Authorization=right)[0] == 200
        assert one.ask("GET", "/", Host="robot.example")[0] == 200


def test_there_are_no_metrics_unless_they_are_asked_for(page: Served) -> None:
    assert page.ask("GET", "/metrics")[0] == 404


def test_metrics_can_be_served_without_the_page() -> None:
    with served(page=False, metrics=True) as one:
        assert one.ask("GET", "/metrics")[0] == 200
        assert one.ask("GET", "/")[0] == 404


def test_a_port_that_is_taken_is_reported_by_its_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
            Server(Feed(), FakeRobot(), Settings(port=port))


def test_nobody_reaches_the_page_from_elsewhere_unless_that_is_asked_for() -> None:
    assert Settings().loopback


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70_000},
        {"token": "short"},
        {"token": "größer als sechzehn"},
        {"batch_s": 0.0},
        {"page": False},
    ],
    ids=str,
)
def test_settings_that_would_not_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Settings(**wrong)


def test_closing_ends_open_streams() -> None:
    with served() as one:
        connection, answer = one.open("GET", "/news")
        with closing(connection):
            _events(answer, 2)
            one.server.close()
            assert answer.read() is not None  # it ends


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /what-if HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 50\r\n\r\n{",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
    ids=["ends early", "goes on wrongly", "is none"],
)
def test_a_request_that_is_broken_leaves_nothing_in_the_log(
    page: Served, request_text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A traceback for each would let every client fill the disk of the robot."""
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", page.port), timeout=100.0) as connection:
            connection.sendall(request_text.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    assert page.ask("GET", "/")[0] == 200
    assert caplog.messages == []


def test_a_mistake_of_ours_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with served() as one:
        one.robot.evaluate = None  # type: ignore[assignment]
        for _ in range(3):
            assert one.ask("POST", "/what-if", _QUESTION)[0] == 500
    assert caplog.messages == ["a bug in the page"]
