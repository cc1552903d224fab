"""What a frame looks like, as one vector: for re-identification, search and place recognition."""

from __future__ import annotations

from math import prod

import numpy as np
from pydantic import Field

from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.options import TensorName
from aegis_ros.decoders.results import Embedding
from aegis_ros.errors import DecodeError

__all__ = ["EmbeddingDecoder", "EmbeddingOptions"]

_MOST_NUMBERS = 16_384


class EmbeddingOptions(Options):
    """Options of the ``embedding`` decoder."""

    normalize: bool = Field(
        True, description="scale the vector to length 1, so that a dot product is a similarity"
    )
    tensor: TensorName = ""


class EmbeddingDecoder:
    """Reads [1, D], or [1, D] with extents of 1 behind."""

    OPTIONS = EmbeddingOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = parse(EmbeddingOptions, context.options)
        info = pick(context, self._options.tensor, 0, (1, 2, 3, 4))
        self._name = info.name
        self._shape: list[int | None] = [
            extent if isinstance(extent, int) else None for extent in info.shape
        ]
        known = [extent for extent in self._shape if extent is not None]
        if sum(extent != 1 for extent in known) > 1 or not 0 < prod(known) <= _MOST_NUMBERS:
            raise DecodeError(
                f"output {info.name!r} of shape {list(info.shape)} is not one vector",
                where="output.decoder",
                expected=f"[1, D] with D up to {_MOST_NUMBERS}",
                hint="Let the network end with its pooling",
            )

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Embedding:
        """Return the vector; one of zeros stays as it is."""
        values = take(outputs, self._name, self._shape).reshape(-1)
        if not 0 < values.size <= _MOST_NUMBERS or not np.isfinite(values).all():
            raise DecodeError(
                "the output is not one finite vector",
                where=f"outputs.{self._name}",
                value=f"{values.size} values",
                expected=f"1 to {_MOST_NUMBERS} finite numbers",
            )
        vector = values.astype(np.float64)
        length = float(np.linalg.norm(vector))
        if self._options.normalize and length > 0.0:
            vector = vector / length
        return Embedding(vector.astype(np.float32))
