"""Puts the tokens of an image into the text of a prompt; runs in a child."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aegis_ros.errors import ConfigError, ModelError

__all__ = ["chat_text", "with_image"]

_PROBE = "x"
_Messages = Sequence[Mapping[str, Any]]


def chat_text(
    messages: Sequence[Mapping[str, str]],
    request: Mapping[str, Any],
    render: Callable[[_Messages], str],
) -> str:
    """Return a chat as the template of a vision-language model writes it.

    Some templates take what a message consists of, others a text in which a token stands for the
    image. Which of them it is, is tried out.

    Args:
        messages: of the chat.
        request: ``image``, facts of the model's images, ``shown``, whether there is one, and
            ``shown_at``, which message it belongs to, counted from the end.
        render: the template.

    Raises:
        ModelError: it writes nothing that stands for an image.
        ConfigError: a message has the token of an image in it.
    """
    text, shown = request["image"]["text"], request["shown"]
    for message in messages:
        if text in message["content"]:
            raise ConfigError(
                "the prompt has the token of an image in it",
                where="prompt",
                value=text,
                expected="text; the image is put in front of its message",
            )
    probe = [{"role": "user", "content": _consists(_PROBE, image=True)}]
    of_lists = _times(render, probe, text) == 1
    found: list[Mapping[str, Any]] = []
    for number, message in enumerate(messages):
        content = message["content"]
        image = shown and number == len(messages) + request["shown_at"]
        if of_lists:
            found.append({**message, "content": _consists(content, image=image)})
        else:
            found.append({**message, "content": f"{text}\n{content}" if image else content})
    written = render(found)
    if written.count(text) != int(shown):
        raise ModelError(
            "the chat template does not say where the image is",
            where="tokenizer.chat_template",
            value=f"{written.count(text)} times {text}",
            expected="once",
            hint="Use the chat template that the model was published with",
        )
    return written


def with_image(text: str, image: Mapping[str, Any], *, shown: bool) -> str:
    """Return a prompt with as many tokens as an image has rows where one stands for it.

    Args:
        text: of the prompt.
        image: facts of the model's images.
        shown: whether there is one.

    Raises:
        ConfigError: the prompt has a place for an image, and there is none; or several.
    """
    count = text.count(image["text"])
    if count != int(shown):
        raise ConfigError(
            "the prompt has not as many places for an image as there are images",
            where="prompt",
            value=f"{count} times {image['text']}",
            expected="once" if shown else "none, or an image",
        )
    rows = image["text"] * int(image["rows"])
    return text.replace(image["text"], f"{image['before']}{rows}{image['after']}")


def _times(render: Callable[[_Messages], str], messages: _Messages, text: str) -> int:
    """Return how often a template writes a text; -1 where it fails."""
    try:
        return render(messages).count(text)
    except ModelError:
        return -1


def _consists(text: str, *, image: bool) -> list[dict[str, str]]:
    """Return what a message consists of."""
    told = [{"type": "text", "text": text}]
    return [{"type": "image"}, *told] if image else told
