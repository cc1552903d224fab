"""Turns messages into the tokens of a prompt, in a child process.

Template and tokenizer are text out of files: a template can loop, and the patterns of a tokenizer
can take very long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from aegis_ros.errors import ConfigError, ModelError
from aegis_ros.network.generator.preparing import PreparedGenerator
from aegis_ros.rationale.loading import ReadTooLong
from aegis_ros.sandbox.children import run_child
from aegis_ros.sandbox.containment import Containment, memory_limit

__all__ = ["MOST_BYTES", "Message", "encoded", "instructed", "require_answerable"]

MOST_BYTES = 1024 * 1024  # of a prompt
_ROLES = ("system", "user", "assistant")
_SHORTEST = "x"  # prompt
_PATIENCE_S = 60.0  # on a busy machine the child alone takes seconds to start


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat, by ``system``, ``user`` or ``assistant`` (``role``)."""

    role: str
    content: str


def encoded(
    model: PreparedGenerator,
    messages: Sequence[Message],
    *,
    template: bool = True,
    image: bool = False,
    image_at: int = -1,
    longer: str = "prepare the model with a longer --context",
    timeout_s: float = _PATIENCE_S,
) -> list[int]:
    """Return the tokens of a prompt, at least one, with room for one more in the context.

    Args:
        model: whose tokens.
        messages: of the chat; without a template they are put together as they are.
        template: whether the model's chat template is used.
        image: whether the chat is about an image; its tokens are then part of the prompt.
        image_at: message that the image belongs to, counted from the end.
        longer: what to do where it does not fit into the context.
        timeout_s: how long it may take.

    Raises:
        ConfigError: the prompt is empty, too long, or no text.
        ModelError: the template is missing or fails, or the tokenizer does.
    """
    for number, message in enumerate(messages):
        _require_text(message, f"messages[{number}]" if len(messages) > 1 else "prompt")
    if not messages:
        raise ConfigError("the prompt is empty", where="prompt", expected="some text")
    if image and model.facts.image is None:
        raise ConfigError(
            "the model takes no images",
            where="image",
            expected="a model with vision_encoder.onnx and embed_tokens.onnx beside its decoder",
        )
    most = model.facts.context - 1
    count, tokens = _read(
        model, messages, template=template, image=image, image_at=image_at, timeout_s=timeout_s
    )
    if count > most:
        raise ConfigError(
            "the prompt does not fit into the context",
            where="prompt",
            value=f"{count:,} tokens",
            expected=f"at most {most:,} tokens",
            hint=f"Shorten it, or {longer}",
        )
    return tokens


def instructed(messages: Sequence[Message], instruction: str) -> Sequence[Message]:
    """Return a chat with a standing instruction in front, where it has none of its own."""
    if not instruction or any(each.role == "system" for each in messages):
        return messages
    return [Message("system", instruction), *messages]


def require_answerable(
    model: PreparedGenerator,
    instruction: str = "",
    *,
    around: tuple[str, str] = ("", ""),
    field: str = "system",
    image: bool = False,
    timeout_s: float = _PATIENCE_S,
) -> None:
    """Try the chat template and a standing instruction with the shortest prompt that there is.

    Args:
        model: whose template.
        instruction: in front of every prompt; empty for none.
        around: texts in front of each message and behind it.
        field: that declares what stands around prompts.
        image: whether each prompt is about an image.
        timeout_s: how long it may take.

    Raises:
        ConfigError: they leave no room for a prompt and an answer, or the instruction is no text.
        ModelError: the template is missing or fails, or the tokenizer does.
    """
    if instruction:
        _require_text(Message("system", instruction), field)
    most = model.facts.context - 1
    chat = instructed([Message("user", _SHORTEST.join(around))], instruction)
    count, _ = _read(model, chat, template=True, image=image, timeout_s=timeout_s)
    if count > most:
        standing = bool(instruction or any(around))
        raise ConfigError(
            "the chat template and the standing instruction leave no room for an answer",
            where=field if standing else "max_len",
            value=f"{count:,} tokens with a prompt of one character",
            expected=f"at most {most:,} tokens",
            hint=f"Shorten {field}, or raise max_len" if standing else "Raise max_len",
        )


def _read(
    model: PreparedGenerator,
    messages: Sequence[Message],
    *,
    template: bool,
    image: bool,
    image_at: int = -1,
    timeout_s: float,
) -> tuple[int, list[int]]:
    """Return how many tokens a chat has, and those, if there is room for one more."""
    facts = model.facts
    if template and not facts.template:
        raise ModelError(
            "the model has no chat template",
            where="tokenizer.chat_template",
            hint="Use a model that was tuned for chats, or give it plain text with --plain",
        )
    answer = run_child(
        "aegis_ros.network.generator.prompt_child",
        {
            "tokenizer": str(model.tokenizer),
            "digest": model.digests[-1],
            "messages": [asdict(message) for message in messages],
            "template": facts.template if template else "",
            "begin": facts.begin,
            "begin_text": facts.begin_text,
            "end_text": facts.end_text,
            "vocabulary": facts.vocabulary,
            "most": facts.context - 1,
            "image": None if facts.image is None else asdict(facts.image),
            "shown": image,
            "shown_at": image_at,
        },
        allowed=Containment(memory_bytes=memory_limit(0), reads=(str(model.tokenizer),)),
        timeout_s=timeout_s,
        subject="prompt",
        too_long=ReadTooLong,
    )
    return int(answer["count"]), [int(token) for token in answer["tokens"]]


def _require_text(message: Message, where: str) -> None:
    if message.role not in _ROLES:
        raise ConfigError(
            "unknown role", where=f"{where}.role", value=message.role, expected=", ".join(_ROLES)
        )
    if not message.content.strip():
        raise ConfigError("the prompt is empty", where=where, expected="some text")
    try:
        size = len(message.content.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(
            "the prompt is not valid UTF-8",
            where=where,
            value=f"a stray byte at character {error.start}",
            expected="text in UTF-8",
        ) from None
    if size > MOST_BYTES:
        raise ConfigError(
            "the prompt is too long",
            where=where,
            value=f"{size:,} bytes",
            expected=f"at most {MOST_BYTES:,} bytes",
        )
