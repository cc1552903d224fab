"""Which libraries a shared library needs that this machine lacks, without loading it.

ONNX Runtime finds out at its first session, long after a configuration was accepted. Its provider
must not be loaded to find out before: it asks for its host while it is loaded, and only then.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["missing_libraries"]

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian: x86-64 and AArch64
_HEADER = struct.Struct("<32xQ14xHH")  # where segments are told, how long each is, how many
_SEGMENT = struct.Struct("<I4xQQ8xQ")  # type, where in the file, where in memory, how long
_ENTRY = struct.Struct("<qQ")
_LOADED, _DYNAMIC = 1, 2  # types of segments
_NEEDED, _STRINGS, _STRINGS_BYTES, _RPATH, _RUNPATH = 1, 5, 10, 15, 29  # types of entries


def missing_libraries(library: Path) -> tuple[str, ...]:
    """Return the libraries that one needs directly and that cannot be loaded here.

    Args:
        library: in the format of 64-bit Linux; of any other file, nothing is known to be missing.
    """
    try:
        with library.open("rb") as file:
            needed, folders = _needs(file)
    except (OSError, struct.error, ValueError):  # damaged: loading it says more
        return ()
    beside = [
        Path(each.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", str(library.parent)))
        for each in folders
    ]
    return tuple(
        name
        for name in needed
        if not any((folder / name).exists() for folder in beside) and not _loads(name)
    )


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _needs(file: BinaryIO) -> tuple[list[str], list[str]]:
    """Return the names of needed libraries, and the folders that are searched for them."""
    if not file.read(len(_MAGIC)).startswith(_MAGIC):
        return [], []
    file.seek(0)
    begin, nbytes, count = _HEADER.unpack(file.read(_HEADER.size))
    file.seek(begin)
    segments = [_SEGMENT.unpack_from(file.read(nbytes)) for _ in range(count)]
    entries = [
        entry
        for kind, offset, _, size in segments
        if kind == _DYNAMIC
        for entry in _entries(file, offset, size)
    ]
    told = dict(entries)
    if _STRINGS not in told:
        return [], []
    for kind, offset, address, size in segments:
        if kind == _LOADED and address <= told[_STRINGS] < address + size:
            file.seek(offset + told[_STRINGS] - address)
            break
    else:
        return [], []
    strings = file.read(told.get(_STRINGS_BYTES, 0))

    def named(*kinds: int) -> list[str]:
        return [
            strings[at : strings.index(b"\0", at)].decode() for kind, at in entries if kind in kinds
        ]

    searched = named(_RPATH, _RUNPATH)
    return named(_NEEDED), [folder for each in searched for folder in each.split(":") if folder]


def _entries(file: BinaryIO, offset: int, nbytes: int) -> Iterator[tuple[int, int]]:
    file.seek(offset)
    for kind, value in _ENTRY.iter_unpack(file.read(nbytes // _ENTRY.size * _ENTRY.size)):
        if not kind:
            return
        yield kind, value
