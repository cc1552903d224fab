"""Class scores of a whole frame."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names, name_of
from aegis_ros.decoders.options import Labels, TensorName
from aegis_ros.decoders.results import Classification

__all__ = ["ClassificationDecoder", "ClassificationOptions"]


class ClassificationOptions(Options):
    """Options of the ``classification`` decoder."""

    top: int = Field(5, ge=1, le=1000, description="how many classes to report")
    softmax: bool = Field(False, description="the output holds logits")
    threshold: float = Field(0.0, description="classes with a lesser score are left out")
    labels: Labels = ""
    tensor: TensorName = ""


class ClassificationDecoder:
    """Reads scores [1, C] (or [1, C, 1, 1])."""

    OPTIONS = ClassificationOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = parse(ClassificationOptions, context.options)
        self._info = pick(context, self._options.tensor, 0, (1, 2, 4))
        extent = self._info.shape[0] if len(self._info.shape) == 1 else self._info.shape[1]
        self._count = extent if isinstance(extent, int) else None
        self._names = class_names(self._options.labels, context.metadata, self._count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Classification:
        """Return the best classes."""
        shape: list[int | None] = [1, self._count]
        if len(self._info.shape) == 4:
            shape += [1, 1]
        scores = take(outputs, self._info.name, shape).reshape(-1)
        if self._options.softmax and scores.size:
            exponents = np.exp(scores - scores.max())
            scores = exponents / exponents.sum()
        best = np.argsort(-scores, kind="stable")[: self._options.top]
        best = best[scores[best] >= self._options.threshold]
        return Classification(
            labels=tuple(name_of(self._names, int(index)) for index in best),
            scores=np.asarray(scores[best], np.float32),
        )
