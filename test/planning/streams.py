"""A simulated backend whose networks can have weights that take turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.backends import CompiledNetwork
from aegis_ros.backends.testing.simulated import SimulatedBackend, lasting
from aegis_ros.backends.weights import SegmentWeights
from aegis_ros.memory import Footprint
from aegis_ros.network import PreparedNetwork

__all__ = ["LOAD_MS", "MIB", "RUN_MS", "let_it_stream"]

MIB = 1024 * 1024
RUN_MS, LOAD_MS = 5, 20  # of each segment; loading is twice as fast from warm storage
_MS = 1_000_000
_WEIGHTS = 10 * MIB


def let_it_stream(patch: pytest.MonkeyPatch, *, most_parts: int = 64) -> None:
    """Have the simulated backend make networks whose weights take 10 MiB a segment.

    Args:
        patch: undoes it.
        most_parts: networks cannot be cut into more.
    """

    def whole(
        self: SimulatedBackend, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        return replace(
            made(self, prepared, cache_dir, segments), footprint=Footprint(40 * MIB, MIB)
        )

    def streamed(
        self: SimulatedBackend, prepared: PreparedNetwork, cache_dir: Path, segments: int
    ) -> CompiledNetwork:
        if segments > most_parts:
            return replace(
                whole(self, prepared, cache_dir), note=f"not cut into {segments} segments: short"
            )
        return replace(
            whole(self, prepared, cache_dir, segments),
            paths=lasting("streamed", *(RUN_MS * _MS,) * segments),
            footprint=Footprint(_WEIGHTS, MIB),
            weights=tuple(
                SegmentWeights(f"{index}", "", _WEIGHTS, LOAD_MS * _MS, LOAD_MS * _MS // 2)
                for index in range(segments)
            ),
            resident=1,
            storage="cold",
        )

    made = SimulatedBackend.compile
    able = replace(SimulatedBackend.capabilities, streams_weights=True)
    patch.setattr(SimulatedBackend, "capabilities", able)
    patch.setattr(SimulatedBackend, "compile", whole)
    patch.setattr(SimulatedBackend, "compile_streamed", streamed, raising=False)
