"""Measures the parts of every step of a language model at its largest context."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aegis_ros.network.generator.buckets import measured_shapes
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.vision.encoder import Encoder

if TYPE_CHECKING:  # an engine loads this file, and nothing that prepares
    from aegis_ros.network.generator.preparing import PreparedGenerator

__all__ = [
    "WARM_UP",
    "MeasuredBucket",
    "TimedDecoder",
    "measure_buckets",
    "measure_prepared",
]

WARM_UP = 3
"""Rounds that are not kept: memory is taken, caches are filled."""


@dataclass(frozen=True, slots=True)
class MeasuredBucket:
    """A chunk of a prompt, or one decode for several sequences.

    Attributes:
        prefill: whether it is a chunk.
        tokens: of the chunk; else how many sequences.
        samples_ns: int64 [runs, parts], in the order of measurement.
        image: whether it makes the rows of an image, ``tokens`` of them.
    """

    prefill: bool
    tokens: int
    samples_ns: npt.NDArray[np.int64]
    image: bool = False


class TimedDecoder(Decoder):
    """A decoder that notes how long each part of its last step took.

    Attributes:
        parts_ns: of the last step.
    """

    def __init__(
        self, facts: GeneratorFacts, paths: Sequence[str], *, context: int, slots: int
    ) -> None:
        """Load the parts, as for any decoder."""
        super().__init__(facts, paths, context=context, slots=slots)
        self.parts_ns: list[int] = []

    def run(self, part: int) -> None:
        """Run a part, as any decoder does."""
        if part == 0:
            self.parts_ns = []
        begun = time.perf_counter_ns()
        super().run(part)
        self.parts_ns.append(max(1, time.perf_counter_ns() - begun))


def measure_buckets(
    decoder: TimedDecoder,
    facts: GeneratorFacts,
    *,
    slots: int,
    runs: int,
    progress: Callable[[int], None] | None = None,
) -> list[MeasuredBucket]:
    """Run every chunk and every decode that fits, in turns, each at the end of a full context.

    So is the image encoder, where there is one.

    A step takes longest there, so that it takes no longer anywhere else. In turns, a slow moment of
    the machine hits all of them.

    Args:
        decoder: with room for ``slots`` sequences of the whole context.
        facts: of its model.
        slots: sequences at once.
        runs: of each, at least 1.
        progress: called with the number of rounds done.

    Raises:
        ConfigError: the context has no room for the smallest chunk and a token.
        BackendError: the runtime fails.
    """
    shapes = measured_shapes(facts, slots)
    taken: list[list[list[int]]] = [[] for _ in shapes]
    seen: list[list[int]] = []
    pixels = np.zeros(facts.image_shape, np.uint8)
    for count in range(WARM_UP + runs):
        for kept, (prefill, size) in zip(taken, shapes, strict=True):
            if prefill:
                decoder.lengths[0] = facts.context - size
                decoder.prefill([0] * size, slot=0)
            else:
                decoder.lengths[:size] = facts.context - 1
                decoder.decode([0] * size, slot=0)
            if count >= WARM_UP:
                kept.append(decoder.parts_ns)
        if facts.image_shape and decoder.encoder is not None:
            parts_ns = _encoded(decoder.encoder, pixels)
            if count >= WARM_UP:
                seen.append(parts_ns)
        if progress is not None:
            progress(count + 1)
    found = [
        MeasuredBucket(prefill, size, np.array(kept, np.int64))
        for kept, (prefill, size) in zip(taken, shapes, strict=True)
    ]
    if facts.image is not None and seen:
        samples = np.array(seen, np.int64)
        found.append(MeasuredBucket(True, facts.image.rows, samples, image=True))
    return found


def _encoded(encoder: Encoder, pixels: npt.NDArray[np.uint8]) -> list[int]:
    """Have an image encoded; return how long each part took."""
    taken = []
    for part in range(encoder.parts):
        begun = time.perf_counter_ns()
        if part == 0:
            encoder.begin(pixels)
        encoder.run(part)
        taken.append(max(1, time.perf_counter_ns() - begun))
    encoder.end()
    return taken


def measure_prepared(
    prepared: PreparedGenerator,
    *,
    slots: int,
    runs: int,
    progress: Callable[[int], None] | None = None,
) -> list[MeasuredBucket]:
    """Load a model, here and on one thread, and run every chunk and every decode that fits.

    The arguments and errors are those of :func:`measure_buckets`.
    """
    facts = prepared.facts
    with prepared.opened() as paths:
        decoder = TimedDecoder(facts, paths, context=facts.context, slots=slots)
    return measure_buckets(decoder, facts, slots=slots, runs=runs, progress=progress)
