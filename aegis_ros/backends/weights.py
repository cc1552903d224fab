"""Weights of one segment in a file of their own, so that they need not always be in memory."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SegmentWeights"]


@dataclass(frozen=True, slots=True)
class SegmentWeights:
    """What a segment's kernels read, as it lies in a file.

    Attributes:
        path: of the file.
        digest: its SHA-256 in hex; a file that has another one is not loaded.
        nbytes: what they take in memory, whole pages.
        cold_ns: the longest that loading them took from storage.
        warm_ns: the longest that it took from the page cache.
    """

    path: str
    digest: str
    nbytes: int
    cold_ns: int
    warm_ns: int
