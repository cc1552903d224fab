"""Reads an ONNX file without the values of its large tensors, which decide nothing about validity.

What the checker of ONNX finds wrong with a network of gigabytes is wrong with these few kilobytes,
too; it copies what it is given several times. A tensor that is left out keeps its name and type and
has no elements. Only values that are written as plain bytes are left out, and only where they are
as many as the tensor's shape needs: the rest is as it was.
"""

from __future__ import annotations

import math
import os

import onnx

from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.outline import LARGE_BYTES, MODEL, SPARSE, TENSOR, Head, Parts, Read, head_of
from aegis_ros.network.plain_text import plain
from aegis_ros.rationale.loading import GraphInvalid

__all__ = ["content_without_weights", "file_without_weights"]

_MOST_FIELDS = 1_000_000
_MOST_BYTES = 256 * 1024**2  # what is left of the largest networks is a tenth of that
_MOST_DEPTH = 64  # of bodies in bodies
_MOST_EXTENTS = 64  # of a tensor
_RAW_DATA = 9
# Bytes an element, of the types whose elements fill whole bytes.
_WIDTHS = {
    onnx.TensorProto.FLOAT: 4,
    onnx.TensorProto.UINT8: 1,
    onnx.TensorProto.INT8: 1,
    onnx.TensorProto.UINT16: 2,
    onnx.TensorProto.INT16: 2,
    onnx.TensorProto.INT32: 4,
    onnx.TensorProto.INT64: 8,
    onnx.TensorProto.BOOL: 1,
    onnx.TensorProto.FLOAT16: 2,
    onnx.TensorProto.DOUBLE: 8,
    onnx.TensorProto.UINT32: 4,
    onnx.TensorProto.UINT64: 8,
    onnx.TensorProto.BFLOAT16: 2,
}


def file_without_weights(descriptor: int, size: int, name: str) -> bytes | None:
    """Return what an open file holds beside the values of its large tensors.

    Args:
        descriptor: of the file; little of it is read.
        size: its size in bytes.
        name: of the file, for messages.

    Returns:
        A network as a file holds it; ``None`` where lengths and keys make no sense, or are very
        many: whoever reads the whole file finds out what it is.

    Raises:
        ModelError: a large tensor has more or fewer values than its shape needs.
    """
    return _Reader(lambda at, count: os.pread(descriptor, count, at), name).all_of(size)


def content_without_weights(content: bytes, name: str) -> bytes | None:
    """Return what :func:`file_without_weights` does, of the contents of a file.

    Raises:
        ModelError: as :func:`file_without_weights`.
    """
    return _Reader(lambda at, count: content[at : at + count], name).all_of(len(content))


class _NotReadError(Exception):
    """The bytes are no message of protocol buffers, or one that is not looked into."""


class _Reader:
    """Goes through one network, whose parts are copied unless they are large."""

    def __init__(self, read: Read, name: str) -> None:
        self._read = read
        self._name = name
        self._fields = self._kept = 0

    def all_of(self, size: int) -> bytes | None:
        try:
            return self._part(0, size, MODEL, 0)
        except _NotReadError:
            return None

    def _part(self, at: int, end: int, parts: Parts, depth: int) -> bytes:
        """Return a message without what is left out of the messages inside it."""
        if depth > _MOST_DEPTH:
            raise _NotReadError
        found = bytearray()
        copied = at
        while at < end:
            head = self._head(at, end)
            inside = parts.get(head.number)
            # Of sparse tensors the checker reads the indices.
            if head.holds > LARGE_BYTES and inside is not None and inside is not SPARSE:
                found += self._copied(copied, at)
                message = (
                    self._tensor(head.begin, head.end)
                    if inside is TENSOR
                    else self._part(head.begin, head.end, inside, depth + 1)
                )
                found += _field(head.number, message)
                copied = head.end
            at = head.end
        return bytes(found + self._copied(copied, end))

    def _tensor(self, at: int, end: int) -> bytes:
        """Return a tensor without elements, or as it is where that would change what it means."""
        begin, rest, values = at, bytearray(), -1
        while at < end:
            head = self._head(at, end)
            if head.number == _RAW_DATA and values < 0:
                values = head.holds
            elif head.holds > LARGE_BYTES or head.number == _RAW_DATA:
                return self._copied(begin, end)
            else:
                rest += self._read(at, head.end - at)
            at = head.end
        try:
            tensor = onnx.TensorProto.FromString(bytes(rest))
        except Exception as error:  # of the library of protocol buffers, which has several
            raise _NotReadError from error
        width = _WIDTHS.get(tensor.data_type)
        sensible = len(tensor.dims) <= _MOST_EXTENTS and min(tensor.dims, default=0) >= 0
        if width is None or values < 0 or not sensible:
            return self._copied(begin, end)
        needed = width * math.prod(tensor.dims)
        if values != needed:
            raise load_error(
                GraphInvalid(
                    plain(
                        f"tensor {tensor.name!r} holds {values:,} bytes of values, and its shape "
                        f"{list(tensor.dims)} needs {needed:,}"
                    )
                ),
                ModelError,
                self._name,
            )
        del tensor.dims[:]
        tensor.dims.append(0)
        return bytes(tensor.SerializeToString())

    def _head(self, at: int, end: int) -> Head:
        self._fields += 1
        head = head_of(self._read, at, end)
        if head is None or head.is_group or self._fields > _MOST_FIELDS:
            raise _NotReadError
        return head

    def _copied(self, at: int, end: int) -> bytes:
        self._kept += end - at
        if self._kept > _MOST_BYTES:
            raise _NotReadError
        return self._read(at, end - at)


def _field(number: int, message: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(message)) + message


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
