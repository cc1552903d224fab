"""What a program may ask, and the name of what it may not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from aegis_ros.chat import Message, Question, image_url
from aegis_ros.chat.request import read_request
from aegis_ros.errors import ConfigError

_LEAST: dict[str, Any] = {"model": "llm", "messages": [{"role": "user", "content": "Hi"}]}


def _read(**changes: Any) -> Question:
    return read_request(json.dumps(_LEAST | changes).encode()).question()


def test_all_that_is_known_reaches_the_robot() -> None:
    parts = [{"type": "text", "text": "Ho"}, {"type": "text", "text": "hum"}]
    asked = read_request(
        json.dumps(
            {
                "model": "poet",
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": parts},
                ],
                "max_completion_tokens": 7,
                "temperature": 0.5,
                "top_p": 0.9,
                "seed": 11,
                "stop": ["a", "b"],
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
    )
    assert asked.stream and asked.wants_usage
    assert asked.question() == Question(
        "poet",
        (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Hohum")),
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        seed=11,
        stop=("a", "b"),
    )


def test_what_is_not_said_is_left_to_the_generator_and_the_draws_are_new_each_time() -> None:
    first, second = _read(), _read()
    assert (first.max_tokens, first.temperature, first.top_p, first.stop) == (0, 0.0, 1.0, ())
    assert first.seed != second.seed
    assert _read(seed=0).seed == 0


def test_nothing_and_what_asks_for_nothing_are_taken() -> None:
    nothing = dict.fromkeys(
        ("max_tokens", "temperature", "top_p", "seed", "stop", "stream", "stream_options", "n")
    )
    neutral = {
        "n": 1,
        "user": "me",
        "logprobs": False,
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "response_format": {"type": "text"},
    }
    assert _read(**nothing).messages == _read(**neutral).messages
    assert _read(max_tokens=5, max_completion_tokens=5).max_tokens == 5
    assert _read(stop="end").stop == ("end",)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"tools": []}, "tools"),
        ({"temprature": 1}, "temprature"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 0.1}, "presence_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**32}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 10.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": float("inf")}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ""}, "stop[0]"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": ["a\0"]}, "stop[0]"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"speed": 1}}, "stream_options.speed"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"stream": True, "stream_options": "usage"}, "stream_options"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": "x", "tool_calls": []}]},
            "messages[0].tool_calls",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "text": "http://x"}]}
                ]
            },
            "messages[0].content[0].text",
        ),
    ],
)
def test_what_is_not_known_or_cannot_be_done_is_refused_by_its_name(
    changes: dict[str, Any], where: str
) -> None:
    with pytest.raises(ConfigError) as found:
        _read(**changes)
    assert found.value.where == where


def _about(url: Any, role: str = "user", count: int = 1) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "auto"}}] * count
    return [{"role": role, "content": [{"type": "text", "text": "What is it?"}, *parts]}]


def _url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


PNG = b"\x89PNG\r\n\x1a\n..."


def test_an_image_in_the_request_reaches_the_robot_with_its_message() -> None:
    later = {"role": "user", "content": "And now?"}
    asked = _read(messages=[*_about(_url(PNG)), later])
    assert asked.image == PNG
    assert [each.with_image for each in asked.messages] == [True, False]
    assert [each.content for each in asked.messages] == ["What is it?", "And now?"]
    jpeg = b"\xff\xd8\xff..."
    assert _read(messages=_about(_url(jpeg, "JPG"))).image == jpeg


@pytest.mark.parametrize(
    ("messages", "where", "problem"),
    [
        (_about("https://example.org/a.png"), "url", "nothing is fetched"),
        (_about("file:///etc/passwd"), "url", "nothing is fetched"),
        (_about("FILE:/etc/passwd"), "url", "nothing is fetched"),
        (_about(_url(PNG, "gif")), "url", "holds no PNG or JPEG"),
        (_about("data:image/png,x"), "url", "holds no PNG or JPEG"),
        (_about(_url(PNG, "jpeg")), "url", "holds no JPEG"),
        (_about(_url(PNG) + "!"), "url", "is no base64"),
        (_about("data:image/png;base64,é"), "url", "is no base64"),
        (_about(_url(PNG + bytes(image_url.MOST_BYTES))), "url", "is too long"),
        (_about(7), "url", "expected"),
        (_about(_url(PNG), role="assistant"), "content", "sent by the user"),
        (_about(_url(PNG), count=2), "", "at most one"),
    ],
    ids=range(12),
)
def test_what_is_no_image_of_the_request_itself_is_refused(
    messages: list[dict[str, Any]], where: str, problem: str
) -> None:
    places = {"": "messages", "content": "messages[0].content"}
    with pytest.raises(ConfigError) as found:
        _read(messages=messages)
    assert found.value.where == places.get(where, "messages[0].content[1].image_url.url")
    assert problem in str(found.value) and len(str(found.value)) < 500


def test_several_mistakes_are_all_named() -> None:
    with pytest.raises(ConfigError, match=r"(?s)2 mistakes.*tools.*seed"):
        _read(tools=[], seed="x")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"Hi"',
        b"\xff\xfe",
        b'{"model": "\xc3\x28"}',
        b'{"model": "\\ud800", "messages": []}',
        b"[" * 100_000,
        b'{"messages":' + b'[{"content":' * 50_000,
        b'{"model": "llm", "messages": [' + b"1," * 200_000 + b"1]}",
        b'{"seed": ' + b"9" * 100_000 + b"}",
    ],
    ids=range(11),
)
def test_what_is_no_request_is_refused_in_few_words(body: bytes) -> None:
    with pytest.raises(ConfigError) as found:
        read_request(body)
    assert len(str(found.value)) < 20_000


def test_what_is_no_json_is_called_so_without_the_whole_of_it() -> None:
    with pytest.raises(ConfigError) as refused:
        read_request(b'{"model": "a", "messages": [')
    assert str(refused.value) == "no JSON: EOF while parsing a list at line 1 column 28."
