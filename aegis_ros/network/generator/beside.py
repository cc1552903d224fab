"""Reads the files that are published beside a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from aegis_ros.config import read_text
from aegis_ros.errors import ConfigError, ModelError
from aegis_ros.network.locate import resolve_resource

__all__ = ["addresses", "text_beside", "text_of"]


def addresses(uri: str, name: str) -> list[str]:
    """Return the addresses that a file beside a model may have.

    Exports for several runtimes keep their graphs in a folder ``onnx`` below all other files.

    Args:
        uri: of the model.
        name: of the file.
    """
    scheme, found, path = uri.rpartition("://")
    place = PurePosixPath(path)
    folders = [place.parent, *([place.parent.parent] if place.parent.name == "onnx" else [])]
    return [f"{scheme}{found}{folder / name}" for folder in folders]


def text_beside(uri: str, roots: Sequence[str], name: str, most_bytes: int) -> str:
    """Return the text of a file beside a model; empty where there is none.

    Args:
        uri: of the model.
        roots: folders that models may be loaded from.
        name: of the file.
        most_bytes: longest text that is read.

    Raises:
        ModelError: it cannot be read, or is too large.
    """
    for address in addresses(uri, name):
        try:
            place = resolve_resource(address, roots)
        except ModelError:
            continue
        return text_of(place, name, most_bytes)
    return ""


def text_of(path: Path, where: str, most_bytes: int) -> str:
    """Return the text of a file.

    Raises:
        ModelError: it cannot be read, or is too large; ``where`` names it.
    """
    try:
        return read_text(path, most_bytes=most_bytes)
    except ConfigError as error:
        raise ModelError(
            error.problem, where=where, value=path, expected=error.expected, hint=error.hint
        ) from error
