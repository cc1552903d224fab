"""Packs networks for streaming, and holds what was made to the networks it was made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aegis_ros.backends import CompiledNetwork
from aegis_ros.backends.cpu.stream_child import pack, tried
from aegis_ros.backends.weights import SegmentWeights
from aegis_ros.memory import Footprint
from benchmarks.memory.shapes import columns

__all__ = ["built"]


def built(name: str, index: int, folder: Path) -> tuple[CompiledNetwork, CompiledNetwork]:
    """Write a network of a set, and pack it; to be called in a process of its own.

    Its memory is locked, as the engine's is: what is reserved counts, not what is touched.

    Returns:
        The network with its weights in its graphs, and with them in files of their own, one segment
        resident and measured footprint.

    Raises:
        SystemExit: what was packed computes something else.
    """
    cut = columns(name, index, folder)
    packed = pack(cut, folder)
    made = replace(
        cut,
        paths=tuple(packed["graphs"]),
        weights=tuple(
            SegmentWeights(path, "", nbytes, 0, 0)
            for path, nbytes in zip(packed["weights"], packed["nbytes"], strict=True)
        ),
        resident=1,
        storage="warm",
    )
    facts = tried(cut, made)
    if "refused" in facts:
        raise SystemExit(f"{cut.key}: {facts['refused']}")
    largest = max(packed["nbytes"])
    return cut, replace(
        made,
        footprint=Footprint(weights=largest, activations=max(0, facts["bytes"] - largest)),
        weights=tuple(
            replace(each, cold_ns=cold, warm_ns=warm)
            for each, cold, warm in zip(
                made.weights, facts["cold_ns"], facts["warm_ns"], strict=True
            )
        ),
    )
