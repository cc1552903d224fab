"""What a generator came to in one cycle: one bucket, from its first part to its last."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figures", "MemoryFailure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFailure:
    """A request that memory could not be taken for.

    Attributes:
        request: its number; 0 for one that has ended.
        need_bytes: that it needs; 0 for unknown.
        tried: how often it was tried by now.
        prefill: whether it was for a chunk of a prompt.
        size: of the bucket that had no memory, as :attr:`Figures.size`; 0 for a slot.
    """

    request: int
    need_bytes: int = 0
    tried: int = 1
    prefill: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A cycle, and what there was of requests and memory when it ended.

    Attributes:
        now_ns: when it ended, monotonic.
        prefill: whether it was a chunk of a prompt.
        size: of the bucket: tokens of the chunk, or answers that it has room for.
        precision: that it ran with.
        answers: that were decoded in it; 0 in a chunk.
        context: longest sequence in it, tokens.
        tokens: that it generated.
        duration_ns: from its beginning to its end.
        running: requests that have slots.
        waiting: requests that wait for one.
        arena_used_bytes: by everything on the device, with what running requests have reserved.
        arena_bytes: size of the arena; 0 for no limit.
    """

    now_ns: int
    prefill: bool
    size: int
    precision: str
    answers: int
    context: int
    tokens: int
    duration_ns: int
    running: int
    waiting: int
    arena_used_bytes: int
    arena_bytes: int
