"""What is written in a line of text: greedy CTC decoding."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.options import TensorName
from aegis_ros.decoders.results import TextRegions
from aegis_ros.errors import ConfigError

__all__ = ["TextDecoder", "TextOptions"]


class TextOptions(Options):
    """Options of the ``text`` decoder."""

    characters: Annotated[str, Shown("those in the file, and a space")] = Field(
        "",
        description="the network's characters in order, without the blank; the file may name them "
        "as PP-OCR does (`character`, one a line)",
    )
    softmax: bool = Field(False, description="the output holds logits")
    threshold: float = Field(
        0.0, ge=0.0, le=1.0, description="a line with a lesser mean score is reported as empty"
    )
    tensor: TensorName = ""


class TextDecoder:
    """Reads [1, T, C], class 0 being the blank; the frame is one line of text."""

    OPTIONS = TextOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = parse(TextOptions, context.options)
        info = pick(context, self._options.tensor, 0, (3,))
        self._name = info.name
        if self._options.characters:
            known = list(self._options.characters)
        elif "character" in context.metadata:
            known = [*context.metadata["character"].split("\n"), " "]
        else:
            raise ConfigError(
                "the network file does not name its characters",
                where="output.options.characters",
                expected="all characters in the order of the network's classes",
            )
        self._characters = np.asarray(["", *known], dtype=object)
        classes = info.shape[2]
        if isinstance(classes, int) and classes != len(self._characters):
            raise ConfigError(
                f"{len(known)} characters for a network with {classes} classes",
                where="output.options.characters",
                expected=f"{classes - 1} characters and the blank",
            )

    def decode(self, outputs: Outputs, frame: FrameInfo) -> TextRegions:
        """Return one region, the whole frame, with its text; none where nothing is written."""
        steps = take(outputs, self._name, [1, None, len(self._characters)])[0]
        if not len(steps):
            return TextRegions(np.zeros((0, 4, 2), np.float32), (), np.zeros(0, np.float32))
        best = steps.argmax(axis=1)
        scores = steps[np.arange(len(steps)), best]
        if self._options.softmax:
            # The largest term of the sum is exp(0): no overflow, never zero.
            scores = 1.0 / np.exp(steps - scores[:, None]).sum(axis=1)
        fresh = np.concatenate([[True], best[1:] != best[:-1]]) & (best != 0)
        text = "".join(self._characters[best[fresh]])
        score = float(np.clip(scores[fresh].mean(), 0.0, 1.0)) if fresh.any() else 0.0
        if not text or score < self._options.threshold:
            return TextRegions(np.zeros((0, 4, 2), np.float32), (), np.zeros(0, np.float32))
        width, height = frame.width, frame.height
        quad = np.asarray([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
        return TextRegions(quad, (text,), np.asarray([score], np.float32))
