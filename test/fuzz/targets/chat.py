"""Bodies of requests to the chat API, sent to the real server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from aegis_ros.chat import Answered, Question
from test.chat.robot import QUESTION, Asked, hello, served
from test.fuzz.mutation import Mutator
from test.fuzz.target import Target, Try

__all__ = ["TARGET"]

_MOST_SAID = 64 * 1024  # characters of an error
_KEYS = (
    *("model", "messages", "role", "content", "type", "text", "max_tokens", "temperature", "top_p"),
    *("max_completion_tokens", "seed", "stop", "stream", "stream_options", "include_usage", "n"),
    *("user", "logprobs", "presence_penalty", "response_format", "tools", "name", "__class__"),
)
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        0.5,
        1e-46,
        1e308,
        2**32 - 1,
        2**32,
        2**63 - 1,
        2**63,
        10**30,
    ),
    *(float("nan"), float("inf"), "", "llm", "poet", "system", "user", "assistant", "tool", "text"),
    *("\0", "\ud800", "\ufeff", "\u202e", "a" * 5_000, [], {}, [[]], ["x"] * 5, ["", "x"], [None]),
    *([{"type": "text", "text": "Hi"}], [{"type": "image_url", "image_url": {}}], [{}] * 2_000),
)
_WORDS = (
    *(f'"{key}": '.encode() for key in _KEYS),
    *(json.dumps(value).encode() for value in _VALUES if value != [{}] * 2_000),
    *(b"[" * 3_000, b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\u0000", b"\\ud800", b"1e999"),
)
_BYTES = Mutator(_WORDS, most_bytes=96 * 1024, text=True)


def _seeds() -> Sequence[bytes]:
    parts = [{"type": "text", "text": "Describe "}, {"type": "text", "text": "it."}]
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    sampling = {"temperature": 0.7, "top_p": 0.9, "seed": 7, "stop": ["\n", "END"], "n": 1}
    requests: Sequence[Any] = (
        QUESTION,
        QUESTION | {"stream": True, "stream_options": {"include_usage": True}},
        QUESTION | sampling | {"max_tokens": 20, "max_completion_tokens": 20, "user": "me"},
        QUESTION | {"messages": chat, "stop": "x", "response_format": {"type": "text"}},
        QUESTION | {"model": "poet", "stream": True},
        QUESTION | {"tools": [], "logprobs": True},
    )
    return [json.dumps(each).encode() for each in requests]


def _mutate(seeds: Sequence[bytes], rng: Random) -> bytes:
    if rng.random() < 0.5:
        return _BYTES(seeds, rng)
    request = json.loads(rng.choice(seeds))
    for _ in range(rng.randint(1, 3)):
        _bend(request, rng)
    return json.dumps(request).encode()


def _bend(values: dict[str, Any], rng: Random) -> None:
    """Change a field of a request, or of what lies in it."""
    inside = [each for each in values.values() if isinstance(each, dict)]
    for each in values.values():
        if isinstance(each, list):
            inside += [item for item in each if isinstance(item, dict)]
    if inside and rng.random() < 0.5:
        _bend(rng.choice(inside), rng)
    elif values and rng.random() < 0.1:
        del values[rng.choice(sorted(values))]
    else:
        known = sorted(values) if values and rng.random() < 0.7 else _KEYS
        # A copy, in which no part stands twice: what is put into it later stays there.
        values[rng.choice(known)] = json.loads(json.dumps(rng.choice(_VALUES)))


def _answer(asked: Asked) -> None:
    """Answer, break off, or refuse, as the name of the model has it."""
    if asked.question.model == "llm":
        hello(asked)
    elif asked.question.model == "poet":
        asked.hear(Answered("Hel"))
        asked.hear(Answered("Hel", "lost", sentence="the engine was lost"))
    else:
        asked.hear(Answered(ended="refused", kind="unknown_generator", sentence="there is none"))


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    with served(_answer) as api:

        def work(data: bytes) -> bool:
            api.robot.asked.clear()
            status, answer = api.ask(data)
            asked = [each.question for each in api.robot.asked]
            for question in asked:
                _require_question(question)
            if status == 200:
                assert len(asked) == 1, f"{len(asked)} questions were asked"
                _require_answer(answer)
                return True
            # Only what the robot breaks off or refuses was asked.
            assert status == (400 if not asked else 503 if asked[0].model == "poet" else 404)
            _require_error(answer["error"])
            return False

        yield work


def _require_question(question: Question) -> None:
    """See that a question can be a goal of the action."""
    texts = [question.model, *question.stop]
    for message in question.messages:
        assert message.role in ("system", "user", "assistant")
        texts.append(message.content)
    for text in texts:
        assert "\0" not in text
        text.encode()
    assert all(question.stop), "an empty text would end every answer"
    assert question.messages
    assert 0 <= question.max_tokens < 2**32
    assert 0 <= question.seed < 2**63
    assert 0.0 <= question.temperature <= 10.0
    assert 0.0 < question.top_p <= 1.0


def _require_answer(answer: Any) -> None:
    """See that an answer, whole or as events, has ended as the API has it."""
    if not isinstance(answer, str):
        assert answer["choices"][0]["message"]["content"] == "Hello"
        return
    *events, last, rest = answer.split("\n\n")
    assert rest == ""
    assert all(each.startswith("data: ") for each in (*events, last))
    said = [json.loads(each.removeprefix("data: ")) for each in events]
    if last == "data: [DONE]":
        pieces = [choice["delta"] for each in said for choice in each["choices"]]
        assert "".join(piece.get("content", "") for piece in pieces) == "Hello"
    else:
        _require_error(json.loads(last.removeprefix("data: "))["error"])


def _require_error(error: Any) -> None:
    assert set(error) == {"message", "type", "param", "code"}
    assert 0 < len(error["message"]) <= _MOST_SAID


TARGET = Target(
    name="chat",
    title="requests to the chat API",
    seeds=_seeds,
    mutate=_mutate,
    opened=_opened,
    weight=0.6,
    brief=150,
)
