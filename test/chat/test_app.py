"""The chat API over real connections, with a robot that answers as a test has it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `chat` is not installed")
pytest.importorskip("uvicorn", reason="the extra `chat` is not installed")

from aegis_ros.chat import Answered, Settings
from aegis_ros.chat.app import _MOST_BODY, _MOST_LARGE
from aegis_ros.errors import ConfigError
from test.chat.robot import QUESTION, TOKEN, WAIT_S, Asked, Served, hello, keep, served
from test.waiting import until


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as one:
        yield one


def _events(text: str) -> list[Any]:
    lines = [line for line in text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def _said(events: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content", "")
        for event in events
        if event != "data: [DONE]"
        for choice in event["choices"]
    )


def test_a_whole_answer_has_its_reason_and_its_tokens(api: Served) -> None:
    status, answer = api.ask(QUESTION)
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "llm"
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello"}
    assert choice["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    asked = api.robot.asked[-1].question
    assert (asked.model, asked.messages[0].content) == ("llm", "Hi")


def test_a_stream_brings_pieces_a_reason_and_an_end(api: Served) -> None:
    connection, answer = api.open(QUESTION | {"stream": True})
    with closing(connection):
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        events = _events(answer.read().decode())
    assert events[-1] == "data: [DONE]"
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert _said(events) == "Hello"
    assert [each["choices"][0]["finish_reason"] for each in events[:-1]][-1] == "stop"
    assert len({each["id"] for each in events[:-1]}) == 1
    assert all(each["object"] == "chat.completion.chunk" for each in events[:-1])
    assert all("usage" not in each for each in events[:-1])


def test_a_stream_ends_with_its_tokens_where_they_are_asked_for(api: Served) -> None:
    asked = QUESTION | {"stream": True, "stream_options": {"include_usage": True}}
    events = _events(api.ask(asked)[1])
    assert events[-2]["choices"] == []
    assert events[-2]["usage"]["total_tokens"] == 7
    assert all(each["usage"] is None for each in events[:-2])


def test_pieces_come_as_they_are_said() -> None:
    with served(keep) as one:
        with ThreadPoolExecutor() as threads:
            opening = threads.submit(one.open, QUESTION | {"stream": True})
            asked = one.robot.wait()
            asked.hear(Answered("One"))
            connection, answer = opening.result()
        with closing(connection):
            said: list[Any] = []
            while _said(said) != "One":
                said += _events(answer.readline().decode())
            asked.hear(Answered("One two"))
            while _said(said) != "One two":
                said += _events(answer.readline().decode())
            asked.hear(Answered("One two.", "length", 1, 3))
            asked.hear(Answered("One"))  # feedback may come after the result
            said += _events(answer.read().decode())
    assert _said(said) == "One two."
    assert said[-2]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("ended", "reason"),
    [("end", "stop"), ("stop", "stop"), ("length", "length"), ("context", "length")],
)
def test_why_an_answer_ended_is_said_in_the_words_of_the_api(ended: str, reason: str) -> None:
    with served(lambda asked: asked.hear(Answered("x", ended))) as one:
        assert one.ask(QUESTION)[1]["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answered", "status", "code"),
    [
        (Answered(ended="refused", kind="too_many_requests"), 429, "rate_limit_exceeded"),
        (Answered(ended="refused", kind="unknown_generator"), 404, "model_not_found"),
        (Answered(ended="refused", kind="prompt_too_long"), 400, "context_length_exceeded"),
        (Answered(ended="refused", rule="schema"), 400, None),
        (Answered(ended="refused", rule="model_valid"), 500, None),
        (Answered(ended="refused", rule="state"), 503, None),
        (Answered("Hel", ended="lost"), 503, None),
        (Answered("Hel", ended="lost", kind="model_failed", rule="run_failed"), 500, None),
        (Answered("Hel", ended="cancelled"), 503, None),
    ],
)
def test_a_refusal_has_its_status_and_its_reason(
    answered: Answered, status: int, code: str | None, stream: bool
) -> None:
    with served(lambda asked: asked.hear(answered)) as one:
        connection, answer = one.open(QUESTION | {"stream": stream})
        with closing(connection):
            error = json.loads(answer.read())["error"]
    assert (answer.status, error["code"]) == (status, code)
    assert error["message"] and error["type"]
    assert ("Retry-After" in answer.headers) == (status in (429, 503))


def test_a_stream_that_is_cut_short_says_why_and_has_no_end() -> None:
    def lose(asked: Asked) -> None:
        asked.hear(Answered("Hel"))
        threading.Timer(0.1, asked.hear, [Answered("Hel", "lost", sentence="The engine…")]).start()

    with served(lose) as one:
        status, text = one.ask(QUESTION | {"stream": True})
    events = _events(text)
    assert status == 200
    assert events[-1]["error"] == {
        "message": "The engine…",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    assert _said(events[:-1]) == "Hel"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_goes_away_ends_its_answer_and_gives_back_its_place(
    stream: bool, begun: bool
) -> None:
    with served(keep, requests=1) as one:
        connection = _sent(one, QUESTION | {"stream": stream})
        asked = one.robot.wait()
        if begun:
            asked.hear(Answered("Hel"))
        connection.close()
        assert asked.cancelled.wait(WAIT_S)
        one.robot.answer = lambda asked: asked.hear(Answered("x", "end"))
        until(lambda: one.ask(QUESTION)[0] == 200)


def _sent(one: Served, body: Any) -> HTTPConnection:
    connection = HTTPConnection("127.0.0.1", one.port, timeout=WAIT_S)
    kind = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), kind)
    return connection


def test_an_answer_that_has_ended_is_not_cancelled(api: Served) -> None:
    assert api.ask(QUESTION)[0] == 200
    assert not api.robot.asked[-1].cancelled.is_set()


def test_requests_beyond_the_limit_are_refused_in_words() -> None:
    with served(keep, requests=2) as one, ThreadPoolExecutor() as threads:
        held = [threads.submit(one.ask, QUESTION) for _ in range(2)]
        one.robot.wait(2)
        connection, answer = one.open(QUESTION)
        with closing(connection):
            assert answer.status == 429
            assert answer.headers["Retry-After"] == "1"
            assert "2 requests are in hand" in json.loads(answer.read())["error"]["message"]
        for asked in one.robot.asked:
            asked.hear(Answered("x", "end"))
        assert [each.result()[0] for each in held] == [200, 200]


def test_of_a_hundred_clients_each_is_answered_or_told_to_wait() -> None:
    with served(keep, requests=10) as one, ThreadPoolExecutor(100) as threads:
        asking = [threads.submit(one.ask, QUESTION) for _ in range(100)]
        one.robot.wait(10)
        until(lambda: sum(not each.done() for each in asking) == 10)
        for asked in one.robot.asked:
            asked.hear(Answered("x", "end"))
        found = sorted(each.result()[0] for each in asking)
    assert found == [200] * 10 + [429] * 90


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * (_MOST_BODY + 1), "application/json", 413),
    ],
    ids=["cut", "no text", "deep", "plain", "long"],
)
def test_a_body_that_is_no_request_is_refused_in_the_format_of_the_api(
    api: Served, body: bytes, kind: str, status: int
) -> None:
    asked = len(api.robot.asked)
    found, answer = api.ask(body, Content_Type=kind)
    assert found == status
    assert answer["error"]["type"] == "invalid_request_error"
    assert len(api.robot.asked) == asked


def test_a_prompt_of_a_megabyte_reaches_the_robot_whole(api: Served) -> None:
    text = "é" * 500_000
    body = {"model": "llm", "messages": [{"role": "user", "content": text}]}
    assert api.ask(json.dumps(body, ensure_ascii=False).encode())[0] == 200
    assert api.robot.asked[-1].question.messages[0].content == text


def test_a_field_that_is_not_known_is_named(api: Served) -> None:
    status, answer = api.ask(QUESTION | {"tools": []})
    assert (status, answer["error"]["param"]) == (400, "tools")


def test_the_generators_are_listed_and_shown(api: Served) -> None:
    status, answer = api.ask(path="/v1/models")
    assert status == 200
    assert [each["id"] for each in answer["data"]] == ["llm", "poet"]
    assert api.ask(path="/v1/models/poet")[1]["object"] == "model"
    status, answer = api.ask(path="/v1/models/gpt")
    assert (status, answer["error"]["code"]) == (404, "model_not_found")


def test_without_an_orchestrator_that_is_said() -> None:
    with served() as one:
        one.robot.silent = True
        status, answer = one.ask(path="/v1/models")
    assert status == 503
    assert "not there" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/", None, 404), ("/v1/embeddings", QUESTION, 404), ("/v1/chat/completions", None, 405)],
)
def test_what_is_not_served_is_refused_with_what_is(
    api: Served, path: str, body: Any, status: int
) -> None:
    found, answer = api.ask(body, path)
    assert found == status
    assert "/v1/chat/completions" in answer["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/llm", "/v1/chat/completions"])
def test_whoever_needs_a_token_gets_nothing_without_it(path: str) -> None:
    body = QUESTION if path.endswith("completions") else None
    with served(host="0.0.0.0", token=TOKEN) as one:
        for given in ("", TOKEN, f"Bearer {TOKEN[:-1]}"):
            status, answer = one.ask(body, path, Authorization=given)
            assert (status, answer["error"]["type"]) == (401, "authentication_error")
        assert one.robot.asked == []
        assert one.ask(body, path, Authorization=f"Bearer {TOKEN}")[0] == 200


def test_who_gives_many_wrong_tokens_has_to_wait() -> None:
    with served(token=TOKEN) as one:
        given = [one.ask(QUESTION, Authorization=f"Bearer {number:016}")[0] for number in range(12)]
        assert given == [401] * 10 + [429] * 2
        assert one.ask(QUESTION, Authorization=f"Bearer {TOKEN}")[0] == 429


def test_another_name_for_this_machine_is_refused(api: Served) -> None:
    assert api.ask(QUESTION, Host="evil.example")[0] == 421


def test_nobody_is_served_beyond_this_machine_without_a_token() -> None:
    assert Settings().loopback
    with pytest.raises(ConfigError, match="host: whoever reaches this address"):
        Settings(host="0.0.0.0")


def test_closing_ends_answers_that_go_on() -> None:
    with served(keep) as one:
        connection = _sent(one, QUESTION | {"stream": True})
        asked = one.robot.wait()
        with closing(connection):
            one.server.close()
            assert asked.cancelled.wait(WAIT_S)
            asked.hear(Answered("too late", "end"))  # nobody hears it, and nothing fails


def test_few_bodies_may_be_longer_than_text_is_and_others_are_served() -> None:
    padded = json.dumps(QUESTION).encode() + b" " * (2 * 1024 * 1024)
    with served(keep) as one, ThreadPoolExecutor() as threads:
        held = [threads.submit(one.ask, padded) for _ in range(_MOST_LARGE)]
        one.robot.wait(_MOST_LARGE)
        status, answer = one.ask(padded)
        assert status == 429 and "4 large images" in answer["error"]["message"]
        one.robot.answer = hello
        assert one.ask(QUESTION)[0] == 200
        for asked in one.robot.asked[:_MOST_LARGE]:
            asked.hear(Answered("x", "end"))
        assert [each.result()[0] for each in held] == [200] * _MOST_LARGE
        assert one.ask(padded)[0] == 200
