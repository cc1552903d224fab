"""What a build notes of the network it made; kept beside the files and read with care."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from aegis_ros.backends.base import Advice

__all__ = ["BuildFacts", "facts_of"]


class BuildFacts(msgspec.Struct, frozen=True):
    """Facts of a network as a backend built it, whole or cut.

    Attributes:
        bytes: what it takes when loaded.
        dynamic: names of outputs whose extents are known only after a run.
        shares: part of the execution time of each segment.
        cuts: identifies where it was cut.
        activation_bytes: those of ``bytes`` that are activations.
        staging_bytes: those of ``bytes`` that inputs and outputs lie in.
        crossing_bytes: of the tensors that one segment hands to the next.
        complete_after: index of the segment with whose end each output is complete.
        advice: for each segment; empty for none.
        refused: why it was not built; empty where it was.
    """

    bytes: int = 0
    dynamic: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    cuts: str = ""
    activation_bytes: int = 0
    staging_bytes: int = 0
    crossing_bytes: int = 0
    complete_after: tuple[int, ...] = ()
    advice: tuple[Advice, ...] = ()
    refused: str = ""


def facts_of(noted: Mapping[str, Any]) -> BuildFacts | None:
    """Return what was noted; ``None`` where another version wrote it in another form."""
    if not {"bytes", "refused"} & noted.keys():
        return None
    try:
        return msgspec.convert(noted, BuildFacts)
    except msgspec.ValidationError:
        return None
