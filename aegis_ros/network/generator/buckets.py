"""The sizes of step that a language model runs in: each is measured, and no other one runs."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.errors import ConfigError
from aegis_ros.network.generator.facts import GeneratorFacts

__all__ = ["BATCHES", "CHUNKS", "batches", "chunks", "measured_shapes"]

CHUNKS = (2, 4, 8, 16, 32)
"""Tokens of a prompt that one step puts into the cache."""
BATCHES = (1, 2, 4)
"""Sequences that one step gives one more token each."""


def chunks(tokens: int, largest: int = CHUNKS[-1]) -> list[int]:
    """Return the steps that put tokens into a cache, the largest first.

    A single token that is left is a step of its own: runtimes multiply one row with other kernels
    than several, and which token that is must not depend on the largest chunk.

    Args:
        tokens: how many.
        largest: chunk that may be used.

    Raises:
        ConfigError: ``largest`` is no chunk.
    """
    return _sizes(tokens, largest, CHUNKS, "chunk")


def batches(sequences: int, largest: int = BATCHES[-1]) -> list[int]:
    """Return the steps that give sequences one more token each, the largest first.

    Args:
        sequences: how many.
        largest: batch that may be used.

    Raises:
        ConfigError: ``largest`` is no batch.
    """
    return _sizes(sequences, largest, BATCHES, "batch")


def measured_shapes(facts: GeneratorFacts, slots: int) -> list[tuple[bool, int]]:
    """Return what is measured: whether it is a chunk, and how many tokens or sequences it has.

    Args:
        facts: of the model.
        slots: sequences at once.

    Raises:
        ConfigError: the context has no room for the smallest chunk and a token.
    """
    chunks = [size for size in CHUNKS if size < facts.context]
    if not chunks:
        raise ConfigError(
            "too short for a chunk of a prompt",
            where="context",
            value=facts.context,
            expected=f"more than {CHUNKS[0]} tokens",
        )
    most = 1 if facts.grows else slots
    batches = [size for size in BATCHES if size <= most]
    return [(True, size) for size in chunks] + [(False, size) for size in batches]


def _sizes(count: int, largest: int, known: Sequence[int], where: str) -> list[int]:
    if largest not in known:
        raise ConfigError(
            f"not a size of {where}",
            where=where,
            value=largest,
            expected=", ".join(map(str, known)),
        )
    found: list[int] = []
    for size in sorted({1, *(each for each in known if each <= largest)}, reverse=True):
        times, count = divmod(count, size)
        found += [size] * times
    return found
