"""The work of the child process that turns messages into tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aegis_ros.errors import ConfigError, ModelError, StateError
from aegis_ros.network.generator.chat import rendered
from aegis_ros.network.generator.vision.prompting import chat_text, with_image
from aegis_ros.sandbox.verified import verified

__all__ = ["answer"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many tokens a prompt has, and those, if they are not more than it may have.

    Raises:
        ModelError: template or tokenizer do not do it.
        StateError: the tokenizer is not what was prepared.
    """
    from tokenizers import Tokenizer

    with verified(request["tokenizer"], request["digest"], StateError) as path:
        tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    image, messages = request["image"], request["messages"]
    if request["template"]:
        named = {"bos_token": request["begin_text"], "eos_token": request["end_text"]}

        def render(chat: Sequence[Mapping[str, Any]]) -> str:
            return rendered(request["template"], chat, named)

        text = render(messages) if image is None else chat_text(messages, request, render)
    else:
        text = "\n".join(message["content"] for message in messages)
        if request["shown"] and image["text"] not in text:
            text = image["text"] + text
    if image is not None:
        text = with_image(text, image, shown=request["shown"])
    tokens = list(tokenizer.encode(text, add_special_tokens=False).ids)
    if not request["template"] and request["begin"] >= 0:
        tokens.insert(0, request["begin"])
    if not tokens:
        raise ConfigError("the prompt has no tokens", where="prompt", expected="some text")
    if max(tokens) >= request["vocabulary"]:
        raise ModelError(
            "the tokenizer makes tokens that the network does not have",
            where="tokenizer",
            value=max(tokens),
            expected=f"tokens below {request['vocabulary']:,}",
        )
    count = len(tokens)
    return {"count": count, "tokens": tokens if count <= request["most"] else []}
