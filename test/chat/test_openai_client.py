"""The client of OpenAI itself understands what is served, its errors included."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `chat` is not installed")
pytest.importorskip("uvicorn", reason="the extra `chat` is not installed")
pytest.importorskip("openai", reason="pip install openai")

import openai

from aegis_ros.chat import Answered
from test.chat.robot import TOKEN, WAIT_S, Served, served

_CHAT = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def api() -> Iterator[Served]:
    with served(token=TOKEN) as one:
        yield one


def _client(api: Served, key: str = TOKEN) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{api.server.url}v1", api_key=key, max_retries=0, timeout=WAIT_S)


def test_an_answer_is_read_whole(api: Served) -> None:
    with _client(api) as client:
        found = client.chat.completions.create(
            model="llm", messages=_CHAT, max_tokens=5, seed=1, stop=["x"], temperature=0.5
        )
        # what it returned is what the next question holds
        client.chat.completions.create(
            model="llm", messages=[*_CHAT, found.choices[0].message, *_CHAT]
        )
    assert found.choices[0].message.content == "Hello"
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None and found.usage.total_tokens == 7
    first, second = (each.question for each in api.robot.asked)
    assert (first.max_tokens, first.seed, first.stop) == (5, 1, ("x",))
    assert [each.role for each in second.messages] == ["user", "assistant", "user"]


def test_an_image_is_sent_and_one_elsewhere_is_refused(api: Served) -> None:
    def about(url: str) -> Any:
        part = {"type": "image_url", "image_url": {"url": url}}
        return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]

    png = b"\x89PNG\r\n\x1a\n" + bytes(3_000_000)
    with _client(api) as client:
        create = client.chat.completions.create
        create(
            model="llm", messages=about(f"data:image/png;base64,{base64.b64encode(png).decode()}")
        )
        assert api.robot.asked[-1].question.image == png
        with pytest.raises(openai.BadRequestError, match="nothing is fetched") as found:
            create(model="llm", messages=about("http://127.0.0.1/secret.png"))
    assert found.value.param == "messages[0].content[1].image_url.url"


def test_an_answer_is_read_in_pieces(api: Served) -> None:
    with _client(api) as client:
        pieces = list(
            client.chat.completions.create(
                model="llm",
                messages=_CHAT,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    said = [choice.delta.content or "" for each in pieces for choice in each.choices]
    assert "".join(said) == "Hello"
    assert pieces[-2].choices[0].finish_reason == "stop"
    assert pieces[-1].usage is not None and pieces[-1].usage.completion_tokens == 2


def test_a_stream_that_is_closed_ends_the_answer(api: Served) -> None:
    api.robot.answer = lambda asked: asked.hear(Answered("Hel"))
    with _client(api) as client:
        stream = client.chat.completions.create(model="llm", messages=_CHAT, stream=True)
        assert next(iter(stream)).choices[0].delta.role == "assistant"
        stream.close()
        assert api.robot.wait().cancelled.wait(WAIT_S)


def test_a_stream_that_is_cut_short_is_an_error(api: Served) -> None:
    api.robot.answer = lambda asked: asked.hear(Answered("Hel"))
    with _client(api) as client:
        stream = client.chat.completions.create(model="llm", messages=_CHAT, stream=True)
        api.robot.wait().hear(Answered("Hel", "lost", sentence="The engine was lost."))
        with pytest.raises(openai.APIError, match="The engine was lost"):
            list(stream)


def test_errors_are_of_their_kinds(api: Served) -> None:
    create = _client(api).chat.completions.create
    with pytest.raises(openai.BadRequestError) as found:
        create(model="llm", messages=_CHAT, n=2)
    assert found.value.param == "n"
    refused = Answered(ended="refused", kind="unknown_generator", sentence="There is no gpt.")
    api.robot.answer = lambda asked: asked.hear(refused)
    with pytest.raises(openai.NotFoundError, match="There is no gpt") as missing:
        create(model="gpt", messages=_CHAT)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        _client(api, "another key than that").models.list()


def test_who_is_to_wait_asks_again_by_himself(api: Served) -> None:
    refused = Answered(ended="refused", kind="too_many_requests", sentence="Full.")
    answers = iter((refused, Answered("Hello", "end", 5, 2)))
    api.robot.answer = lambda asked: asked.hear(next(answers))
    with _client(api).with_options(max_retries=1) as client:
        found = client.chat.completions.create(model="llm", messages=_CHAT)
    assert found.choices[0].message.content == "Hello"
    assert len(api.robot.asked) == 2


def test_models_are_listed(api: Served) -> None:
    with _client(api) as client:
        assert [each.id for each in client.models.list()] == ["llm", "poet"]
        assert client.models.retrieve("poet").owned_by == "aegis_ros"
