"""Reads a request of the chat API; what is not known, or cannot be done, is refused by its name."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from aegis_ros.chat.image_url import image_in
from aegis_ros.chat.robot import Message, Question
from aegis_ros.config.mistakes import Unfit, read_as
from aegis_ros.network.generator.answer_text import MOST_CHARACTERS, MOST_STOPS
from aegis_ros.network.generator.sampling import Sampling

__all__ = ["ChatRequest", "read_request"]

_MOST_MESSAGES = 1024
_MOST_TOKENS = 2**32 - 1
_SEEDS = 2**63


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _parts(value: Any) -> Any:
    if isinstance(value, str):
        return ({"type": "text", "text": value},)
    if not isinstance(value, list):
        raise ValueError("expected text, or a list of parts of type text or image_url")
    return tuple(value)


def _without_nul(value: str) -> str:
    # A message of ROS would end there.
    if "\0" in value:
        raise Unfit("holds a character that no text has", value="\\u0000", expected="text")
    return value


_Text = Annotated[str, AfterValidator(_without_nul)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _ImageUrl(_Model):
    url: Annotated[bytes, BeforeValidator(image_in)]
    detail: Literal["auto", "low", "high"] | None = None  # an image is one tile


class _Part(_Model):
    type: Literal["text", "image_url"]
    text: _Text | None = None
    image_url: _ImageUrl | None = None

    @model_validator(mode="after")
    def _is_what_it_says(self) -> _Part:
        for name in ("text", "image_url"):
            given = getattr(self, name) is not None
            if given != (name == self.type):
                raise Unfit(
                    "is given" if given else "is missing",
                    path=(name,),
                    expected=f"it left out in a part of type {self.type}"
                    if given
                    else "a value, as type says",
                )
        return self


class _Message(_Model):
    role: Literal["system", "user", "assistant"]
    content: Annotated[tuple[_Part, ...], Field(max_length=_MOST_MESSAGES), BeforeValidator(_parts)]

    @model_validator(mode="after")
    def _users_send_images(self) -> _Message:
        if self.images and self.role != "user":
            raise Unfit(
                "holds an image", path=("content",), expected="text; images are sent by the user"
            )
        return self

    @property
    def images(self) -> list[bytes]:
        """What it holds beside text."""
        return [part.image_url.url for part in self.content if part.image_url is not None]


class _StreamOptions(_Model):
    include_usage: bool | None = None


class _ResponseFormat(_Model):
    type: Literal["text"]


class ChatRequest(_Model):
    """The body of ``POST /v1/chat/completions``; ``null`` is as good as nothing.

    What a generator cannot do may be given with the value that asks for nothing, as programs do.
    """

    model: Annotated[_Text, Field(min_length=1, max_length=256)]
    messages: Annotated[tuple[_Message, ...], Field(max_length=_MOST_MESSAGES)]
    max_tokens: Annotated[int, Field(ge=1, le=_MOST_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=_MOST_TOKENS)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: Annotated[int, Field(ge=0, lt=_SEEDS)] | None = None
    stop: (
        Annotated[
            tuple[Annotated[_Text, Field(min_length=1, max_length=MOST_CHARACTERS)], ...],
            Field(max_length=MOST_STOPS),
            BeforeValidator(_texts),
        ]
        | None
    ) = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Literal[1] | None = None
    user: Annotated[str, Field(max_length=256)] | None = None
    logprobs: Literal[False] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    response_format: _ResponseFormat | None = None

    @model_validator(mode="after")
    def _agree(self) -> ChatRequest:
        if not self.messages:
            raise Unfit("is empty", path=("messages",), expected="at least 1 message")
        images = sum(len(each.images) for each in self.messages)
        if images > 1:
            raise Unfit(
                "hold several images",
                path=("messages",),
                value=f"{images} images",
                expected="at most one in all of a chat",
            )
        most = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(most) > 1:
            raise Unfit(
                "differs from max_tokens",
                path=("max_completion_tokens",),
                value=self.max_completion_tokens,
                expected="one of them",
            )
        if self.stream_options is not None and not self.stream:
            raise Unfit(
                "has no effect without stream", path=("stream_options",), expected="stream: true"
            )
        return self

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with the number of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def question(self) -> Question:
        """Return what it asks. Without a seed, each answer is drawn anew.

        Raises:
            ConfigError: names the field that is out of its range.
        """
        sampling = Sampling(
            self.temperature or 0.0,
            1.0 if self.top_p is None else self.top_p,
            secrets.randbelow(_SEEDS) if self.seed is None else self.seed,
        )
        return Question(
            model=self.model,
            messages=tuple(
                Message(
                    each.role, "".join(part.text or "" for part in each.content), bool(each.images)
                )
                for each in self.messages
            ),
            max_tokens=self.max_completion_tokens or self.max_tokens or 0,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop=self.stop or (),
            image=b"".join(image for each in self.messages for image in each.images),
        )


def read_request(body: bytes) -> ChatRequest:
    """Read a request from JSON.

    Raises:
        ConfigError: names every field that is wrong.
    """
    return read_as(ChatRequest, body)
