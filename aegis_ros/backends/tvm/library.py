"""The file that holds one compiled segment: object files, and the names of what it takes and makes.

TVM would link a shared library, with a compiler that a robot lacks and that no build of ours may
start. Object files need neither: a loader links them into the process that runs them.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aegis_ros.errors import BackendError

__all__ = ["Library", "Signature", "read_library", "write_library"]

_SIGNATURE = "signature.json"
_CODE = "code.so"
_MOST_OBJECTS = 16


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a segment takes and makes.

    Attributes:
        inputs: names of the tensors it takes, in order.
        outputs: names of those it makes, in order.
        pooled: whether every run takes the same memory, which is then kept for the next one.
        behind: function of a library that was compiled elsewhere, which takes what the object files
            make, in their order, and makes the outputs; empty where there is none.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    pooled: bool = True
    behind: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    """One compiled segment.

    Attributes:
        signature: what it takes and makes.
        objects: its object files.
        code: the library behind them; empty where there is none.
    """

    signature: Signature
    objects: tuple[bytes, ...]
    code: bytes = b""


def write_library(
    path: Path, signature: Signature, objects: Mapping[str, Path], code: Path | None = None
) -> None:
    """Write a segment to a file.

    Args:
        path: of the file, a tar archive.
        signature: what the segment takes and makes.
        objects: its object files, by the name they get.
        code: the library behind them.
    """
    files = dict(objects) if code is None else {**objects, _CODE: code}
    with tarfile.open(path, "w") as archive:
        content = msgspec.json.encode(signature)
        entry = tarfile.TarInfo(_SIGNATURE)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        for name, file in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = file.stat().st_size
            with file.open("rb") as stream:
                archive.addfile(entry, stream)


def read_library(path: str) -> Library:
    """Return what :func:`write_library` wrote.

    Raises:
        BackendError: the file holds something else.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            found: dict[str, bytes] = {}
            for entry in archive:
                content = archive.extractfile(entry)
                if content is None or len(found) > _MOST_OBJECTS:
                    raise tarfile.ReadError("what is in it is not what was built")
                found[entry.name] = content.read()
        signature = msgspec.json.decode(found.pop(_SIGNATURE), type=Signature)
    except (tarfile.TarError, KeyError, msgspec.DecodeError, EOFError) as error:
        raise BackendError(f"the file is no compiled network ({error})") from error
    code = found.pop(_CODE, b"")
    return Library(signature, tuple(found.values()), code)
