"""Turns a chat into a question that a generator can be asked, whichever way it came."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.network.generator.prompt import Message, encoded, instructed
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.orchestrator.request import Question
from aegis_ros.planning.generator_preparation import GeneratorCandidate

__all__ = ["read_question"]


def read_question(
    candidate: GeneratorCandidate,
    messages: Sequence[Message],
    *,
    system: str,
    most: int,
    sampling: Sampling,
    stops: tuple[str, ...],
    image: npt.NDArray[np.uint8] | None = None,
    image_at: int = -1,
) -> Question:
    """Return a question; its tokens are made in a child process, which takes a while.

    Args:
        candidate: the generator.
        messages: the chat.
        system: standing instruction where the chat has none; empty for none.
        most: longest answer, tokens; 0 for what the generator says.
        sampling: how tokens are chosen.
        stops: texts that end the answer.
        image: what the chat is about, as the model takes it; ``None`` for no image.
        image_at: message that the image belongs to, counted from the end.

    Raises:
        ConfigError: a message is empty, too long, or no text.
        ModelError: the template is missing or fails, or the tokenizer does.
    """
    tokens = encoded(
        candidate.prepared,
        instructed(messages, system),
        image=image is not None,
        image_at=image_at,
        longer="raise max_len of the generator",
    )
    return Question(tokens, most or candidate.spec.max_tokens, sampling, stops, image)
