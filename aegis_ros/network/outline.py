"""Sees from a file's outline that it is no ONNX network, before anybody reads all of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "LARGE_BYTES",
    "MODEL",
    "SPARSE",
    "TENSOR",
    "Head",
    "Parts",
    "head_of",
    "is_outline_of_network",
]

Parts: TypeAlias = "Mapping[int, Parts]"
"""Fields of a message that hold messages, by their numbers in onnx.proto."""

_ATTRIBUTE: dict[int, Parts] = {}
TENSOR: Parts = {}
SPARSE: Parts = {1: TENSOR, 2: TENSOR}  # values, indices
_NODE: Parts = {5: _ATTRIBUTE}
_GRAPH: Parts = {1: _NODE, 5: TENSOR, 15: SPARSE}
_ATTRIBUTE |= {5: TENSOR, 6: _GRAPH, 10: TENSOR, 11: _GRAPH}  # t, g, tensors, graphs
MODEL: Parts = {7: _GRAPH, 25: {7: _NODE}}  # graph, functions

LARGE_BYTES = 1024 * 1024  # smaller parts are read as fast as looked at
_MOST_FIELDS = 100_000
_HEAD_BYTES = 20  # of a field: its key and its length, ten bytes each at most
_VARINT, _FIXED64, _LENGTH, _GROUP, _FIXED32 = 0, 1, 2, 3, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}

Read: TypeAlias = Callable[[int, int], bytes]
"""Returns so many bytes from a place on: (place, how many)."""


@dataclass(slots=True)
class Head:
    """How a field of a message begins.

    Attributes:
        number: of the field.
        begin: where its contents begin.
        end: where the next field begins.
        holds: how many bytes of text or of another message it holds; 0 for a number.
        is_group: whether another field ends it; nothing of ONNX is one.
    """

    number: int
    begin: int
    end: int
    holds: int = 0
    is_group: bool = False


def head_of(read: Read, at: int, end: int) -> Head | None:
    """Return the head of the field that begins somewhere; ``None`` where none does.

    Args:
        read: of what the field is a part.
        at: where it begins.
        end: of the message.
    """
    head = read(at, min(_HEAD_BYTES, end - at))
    key, used = _number(head, 0)
    number, kind = key >> 3, key & 7
    if used == 0 or number == 0:
        return None
    if kind == _GROUP:
        return Head(number, at + used, end, is_group=True)
    if kind in _FIXED_BYTES:
        found = Head(number, at + used, at + used + _FIXED_BYTES[kind])
    elif kind in (_VARINT, _LENGTH):
        value, after = _number(head, used)
        if after == 0:
            return None
        holds = value if kind == _LENGTH else 0
        found = Head(number, at + after, at + after + holds, holds)
    else:
        return None
    return found if found.end <= end else None


def is_outline_of_network(descriptor: int, size: int) -> bool:
    """Return whether lengths and keys of an open file can be those of a network.

    Gigabytes of nothing, another format or half a download are seen at once: what they hold is no
    message of protocol buffers, whose fields each begin with a key and a length. Little is read,
    whatever the size; whether the network is valid, somebody else finds out.

    Args:
        descriptor: of the file.
        size: its size in bytes.
    """
    waiting = [(0, size, MODEL)]
    looked_at = 0
    while waiting:
        at, end, parts = waiting.pop()
        while at < end:
            looked_at += 1
            if looked_at > _MOST_FIELDS:
                return True
            head = head_of(lambda place, count: os.pread(descriptor, count, place), at, end)
            if head is None:
                return False
            if head.is_group:
                return True
            if head.number in parts and head.holds > LARGE_BYTES:
                waiting.append((head.begin, head.end, parts[head.number]))
            at = head.end
    return True


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins in ``data`` and where it ends, which is 0 if it does not."""
    value = 0
    for index in range(at, min(at + 10, len(data))):
        value |= (data[index] & 0x7F) << 7 * (index - at)
        if data[index] < 0x80:
            return value, index + 1
    return 0, 0
