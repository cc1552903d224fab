"""Sees from a file's outline that it is no ONNX network, before anybody reads all of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["is_outline_of_network"]

_Parts: TypeAlias = "Mapping[int, _Parts]"

# Fields that hold messages, by their numbers in onnx.proto.
_TENSOR: _Parts = {}
_NODE: _Parts = {5: {5: _TENSOR}}  # attribute: t
_GRAPH: _Parts = {1: _NODE, 5: _TENSOR, 15: {1: _TENSOR, 2: _TENSOR}}
_MODEL: _Parts = {7: _GRAPH, 25: {7: _NODE}}  # graph, functions

_MOST_FIELDS = 100_000
_LOOKED_INTO_BYTES = 1024 * 1024  # smaller parts are read as fast as looked at
_HEAD_BYTES = 20  # of a field: its key and its length, ten bytes each at most
_VARINT, _FIXED64, _LENGTH, _GROUP, _FIXED32 = 0, 1, 2, 3, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}


def is_outline_of_network(descriptor: int, size: int) -> bool:
    """Return whether lengths and keys of an open file can be those of a network.

    Gigabytes of nothing, another format or half a download are seen at once: what they hold is no
    message of protocol buffers, whose fields each begin with a key and a length. Little is read,
    whatever the size; whether the network is valid, somebody else finds out.

    Args:
        descriptor: of the file.
        size: its size in bytes.
    """
    waiting = [(0, size, _MODEL)]
    looked_at = 0
    while waiting:
        at, end, parts = waiting.pop()
        while at < end:
            looked_at += 1
            if looked_at > _MOST_FIELDS:
                return True
            head = os.pread(descriptor, min(_HEAD_BYTES, end - at), at)
            key, used = _number(head, 0)
            kind = key & 7
            if used == 0 or key >> 3 == 0:
                return False
            if kind == _GROUP:  # ended by a field of its own; nothing of ONNX has one
                return True
            if kind in _FIXED_BYTES:
                begin, length = at + used, _FIXED_BYTES[kind]
            elif kind in (_VARINT, _LENGTH):
                value, after = _number(head, used)
                if after == 0:
                    return False
                begin, length = at + after, value if kind == _LENGTH else 0
            else:
                return False
            at = begin + length
            if at > end:
                return False
            if kind == _LENGTH and key >> 3 in parts and length > _LOOKED_INTO_BYTES:
                waiting.append((begin, at, parts[key >> 3]))
    return True


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins in ``data`` and where it ends, which is 0 if it does not."""
    value = 0
    for index in range(at, min(at + 10, len(data))):
        value |= (data[index] & 0x7F) << 7 * (index - at)
        if data[index] < 0x80:
            return value, index + 1
    return 0, 0
