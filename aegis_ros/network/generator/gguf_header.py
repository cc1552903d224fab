"""Holds what a GGUF file lists against what it can hold; runs in a child process.

A library that reads such files makes objects of all the elements that a list claims, whether the
file has them or not.
"""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from typing import Literal, NoReturn

from aegis_ros.errors import ModelError

__all__ = ["require_held"]

_TEXT, _LIST = 8, 9  # kinds of values
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of the others
_LEAST_SIZES = _SIZES | {_TEXT: 8}  # of an element in a list: a text has its length in front
_MOST_ELEMENTS = 8 * 1024 * 1024  # of all lists together; the largest vocabularies have a few
_MOST_KEYS = _MOST_TENSORS = 65_536
_MOST_EXTENTS = 4
_LEAST_KEY, _LEAST_TENSOR = 8 + 4 + 1, 8 + 4 + 4 + 8  # bytes


def require_held(descriptor: int) -> None:
    """Refuse a GGUF file that lists more than it can hold; takes no memory for what it lists.

    Args:
        descriptor: of the open file, which begins as GGUF files do.

    Raises:
        ModelError: names the key.
    """
    with mmap(descriptor, 0, access=ACCESS_READ) as content:
        _Walk(content).header()


class _Walk:
    def __init__(self, content: mmap) -> None:
        self._content = content
        self._size = len(content)
        self._at = 4
        # The version is small: where its lower half is zero, the bytes are the other way round.
        self._order: Literal["little", "big"] = "little"
        if self._number(4, "model") & 0xFFFF == 0:
            self._order = "big"
        self._elements = 0

    def header(self) -> None:
        """Go over all keys and tensors."""
        tensors, keys = self._number(8, "model"), self._number(8, "model")
        self._require("model", "tensors", tensors, size=_LEAST_TENSOR, most=_MOST_TENSORS)
        self._require("model", "keys", keys, size=_LEAST_KEY, most=_MOST_KEYS)
        for _ in range(keys):
            self._key()
        for _ in range(tensors):
            name = self._name()
            extents = self._number(4, name)
            self._require(name, "extents", extents, size=8, most=_MOST_EXTENTS)
            self._skip(extents * 8 + 4 + 8, name)

    def _key(self) -> None:
        key = self._name()
        kind = self._number(4, key)
        if kind == _TEXT:
            self._text(key)
        elif kind in _SIZES:
            self._skip(_SIZES[kind], key)
        elif kind == _LIST:
            self._list(key)
        else:
            _refuse(key, f"a value of kind {kind}", "a kind that GGUF has")

    def _list(self, key: str) -> None:
        kind, count = self._number(4, key), self._number(8, key)
        if kind not in _LEAST_SIZES:
            _refuse(key, f"a list of kind {kind}", "a list of texts or of numbers")
        most = _MOST_ELEMENTS - self._elements
        self._require(key, "elements", count, size=_LEAST_SIZES[kind], most=most)
        self._elements += count
        if kind != _TEXT:
            self._skip(count * _SIZES[kind], key)
            return
        for _ in range(count):
            self._text(key)

    def _name(self) -> str:
        begin = self._at + 8
        self._text("model")
        return self._content[begin : min(self._at, begin + 64)].decode(errors="replace")

    def _text(self, where: str) -> None:
        length = self._number(8, where)
        self._require(where, "bytes", length, size=1, most=self._size)
        self._at += length

    def _number(self, size: int, where: str) -> int:
        begin = self._at
        self._skip(size, where)
        return int.from_bytes(self._content[begin : self._at], self._order)

    def _skip(self, size: int, where: str) -> None:
        if size > self._size - self._at:
            raise ModelError(
                "the GGUF file is damaged or cut short",
                where=where,
                value=f"{self._size - self._at:,} bytes left",
                expected=f"at least {size:,}",
                hint="Copy the file again, and compare its SHA-256 with the original",
            )
        self._at += size

    def _require(self, where: str, what: str, count: int, *, size: int, most: int) -> None:
        """Refuse a count of what takes at least ``size`` bytes each."""
        held = (self._size - self._at) // size
        if count > held:
            _refuse(where, f"{count:,} {what}", f"at most {held:,}: the file holds no more")
        if count > most:
            _refuse(where, f"{count:,} {what}", f"at most {most:,}")


def _refuse(where: str, found: str, expected: str) -> NoReturn:
    raise ModelError(
        "the GGUF file lists what it does not hold, or more than any model needs",
        where=where,
        value=found,
        expected=expected,
        hint="Copy the file again, and compare its SHA-256 with the original",
    )
