"""Language models in parts, as decoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.facts import Precision

Decoders = Callable[..., Decoder]


@pytest.fixture
def decoder(tmp_path: Path) -> Decoders:
    """A decoder of a GGUF file, made in this process."""
    from test.network.generator.compiled import compiled  # which needs what may not be installed
    from test.network.generator.models import CONTEXT

    def make(
        path: Path,
        *,
        parts: int = 1,
        precision: Precision = Precision.FLOAT32,
        slots: int = 1,
    ) -> Decoder:
        made = compiled(tmp_path, model=path, parts=parts, precision=precision)
        return Decoder(made.facts, made.paths, context=CONTEXT, slots=slots)

    return make
