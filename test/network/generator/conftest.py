"""Language models in parts, as decoders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.facts import GeneratorFacts, Precision
from aegis_ros.network.generator.gguf_file import GgufFile
from aegis_ros.network.generator.graph import transformer

Decoders = Callable[..., Decoder]


@pytest.fixture
def decoder(tmp_path: Path) -> Decoders:
    """A decoder of a GGUF file, made in this process."""
    from test.network.generator.models import CONTEXT  # which needs what may not be installed

    def make(
        path: Path,
        *,
        parts: int = 1,
        precision: Precision = Precision.FLOAT32,
        slots: int = 1,
    ) -> Decoder:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            built = transformer(GgufFile(descriptor), context=CONTEXT, precision=precision)
            pieces = built.parts(parts)
        finally:
            os.close(descriptor)
        paths = [str(tmp_path / f"{path.stem}-{parts}-{n}.onnx") for n in range(len(pieces))]
        for piece, place in zip(pieces, paths, strict=True):
            onnx.save_model(piece, place)
        facts = GeneratorFacts(
            layers=built.layers,
            kv_heads=built.kv_heads,
            head_dim=built.head_dim,
            vocabulary=built.vocabulary,
            context=CONTEXT,
            kv_dtype="float32",
            grows=False,
            cached_by=parts,
            ends=(),
        )
        return Decoder(facts, paths, context=CONTEXT, slots=slots)

    return make
