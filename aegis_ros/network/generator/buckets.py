"""The sizes of step that a language model runs in: each is measured, and no other one runs."""

from __future__ import annotations

from aegis_ros.errors import ConfigError

__all__ = ["BATCHES", "CHUNKS", "chunks"]

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
    if largest not in CHUNKS:
        raise ConfigError(
            "not a size of chunk",
            where="chunk",
            value=largest,
            expected=", ".join(map(str, CHUNKS)),
        )
    found: list[int] = []
    for size in (*(each for each in reversed(CHUNKS) if each <= largest), 1):
        count, tokens = divmod(tokens, size)
        found += [size] * count
    return found
