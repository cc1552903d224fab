"""What a chat asks of a robot, and what it hears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Answered", "Message", "Question", "Robot"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat, by ``system``, ``user`` or ``assistant`` (``role``).

    Attributes:
        role, content: who says what.
        with_image: whether the image of the chat belongs to it.
    """

    role: str
    content: str
    with_image: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A chat whose last message is to be answered; numbers as in ``Generate.action``.

    Attributes:
        model: name of the generator.
        messages: of the chat.
        max_tokens: longest answer; 0: what the generator says.
        temperature, top_p, seed: how tokens are chosen.
        stop: texts that end the answer.
        image: JPEG or PNG that the chat is about; empty for none.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    image: bytes = b""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as far as it has come.

    Attributes:
        text: all of it.
        ended: why it ended, in the words of ``Generate.action``; empty while it goes on.
        prompt_tokens, tokens: of the prompt and of the answer, once it has ended.
        kind, rule, sentence: why it was refused or cut off, as in ``Rationale.msg``.
    """

    text: str = ""
    ended: str = ""
    prompt_tokens: int = 0
    tokens: int = 0
    kind: str = ""
    rule: str = ""
    sentence: str = ""


class Robot(Protocol):
    """The orchestrator behind the API."""

    def models(self) -> Sequence[str]:
        """Return the names of the generators that may be asked.

        Raises:
            AegisError: it is not known now.
        """
        ...

    def ask(self, question: Question, hear: Callable[[Answered], None]) -> Callable[[], None]:
        """Begin to have a question answered; return what ends the answer early.

        Args:
            question: what is asked.
            hear: called from any thread with what there is of the answer, at last with one that has
                ended.
        """
        ...
