"""What a generator came to in one cycle: one bucket, from its first part to its last."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figures"]


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
