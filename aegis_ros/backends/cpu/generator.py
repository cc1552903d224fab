"""A language model of ONNX Runtime on one lane, run part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aegis_ros.backends.generators import CompiledGenerator, Speech, Turn, steps_of
from aegis_ros.errors import BackendError, MemoryRefused
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.scheduling.generation import Shape

if TYPE_CHECKING:
    from aegis_ros.network.generator.decoder import Decoder

__all__ = ["OrtGenerator", "load_generator"]

_NO_LOGITS = np.empty((0, 0), np.float32)


class OrtGenerator:
    """Runs the parts of buckets as a speech asks for them.

    Args:
        decoder: with the slots of the cache.
        steps: of each step: its bucket, the part, and whether that is the bucket's last.
        image: the bucket that makes the rows of an image; -1 for none.
    """

    def __init__(
        self, decoder: Decoder, steps: Sequence[tuple[int, int, bool]], image: int = -1
    ) -> None:
        """Run nothing yet."""
        self._image = image
        self._decoder: Decoder | None = decoder
        self._steps = tuple(steps)
        self._turn: Turn | None = None  # what the present bucket runs with

    @property
    def segments(self) -> int:
        """Parts of all buckets."""
        return len(self._steps)

    @property
    def note(self) -> str:
        """Nothing is chosen when it is loaded."""
        return ""

    def run(self, step: int, speech: Speech) -> int | None:
        """Run a step; return its outcome.

        Raises:
            BackendError: the runtime fails.
        """
        bucket, part, last = self._steps[step]
        decoder = self._decoder
        assert decoder is not None
        if bucket == self._image:
            return self._see(decoder, part, speech, last=last)
        if part == 0:
            turn = self._turn = speech.begin(bucket)
            slot = turn.slot
            if slot >= 0:
                decoder.lengths[slot : slot + len(turn.past)] = turn.past
                decoder.begin(turn.ids, slot, turn.rows)
        elif speech.between() is None:
            return None
        runs = self._turn is not None and self._turn.slot >= 0
        if runs:
            try:
                decoder.run(part)
            except MemoryRefused:
                if not speech.refused():
                    raise
                runs = False
        if not last:
            return speech.between()
        return speech.end(decoder.end() if runs else _NO_LOGITS)

    def _see(self, decoder: Decoder, part: int, speech: Speech, *, last: bool) -> int | None:
        """Run a part of the image encoder; return its outcome."""
        encoder = decoder.encoder
        assert encoder is not None
        if part == 0:
            turn = self._turn = speech.begin(self._image)
            if turn.slot >= 0 and turn.pixels is not None:
                encoder.begin(turn.pixels)
        elif speech.between() is None:
            return None
        slot = -1 if self._turn is None else self._turn.slot
        if slot >= 0:
            encoder.run(part)
        if not last:
            return speech.between()
        if slot >= 0:
            decoder.show(encoder.end(), slot)
        return speech.end(_NO_LOGITS)

    def close(self) -> None:
        """Drop the sessions and the cache."""
        self._decoder = None


def load_generator(
    compiled: CompiledGenerator, files: Sequence[str], shapes: Sequence[Shape], cache: KvShape
) -> OrtGenerator:
    """Return a model whose buckets have all run once, in all slots.

    Args:
        compiled: the model.
        files: names under which its files open.
        shapes: of its buckets.
        cache: its slots.

    Raises:
        BackendError: ONNX Runtime refuses it, or a bucket does not fit the cache.
    """
    from aegis_ros.network.generator.decoder import Decoder  # what other engines have no use for

    facts = compiled.facts
    most = 1 if facts.grows else cache.slots
    for shape in shapes:
        if shape.image:
            _require_rows(shape, facts)
        elif shape.tokens > (cache.max_len if shape.prefill else most):
            kind = "prefill" if shape.prefill else "decode"
            raise BackendError(
                f"a bucket does not fit the cache: {kind} {shape.tokens}",
                where="shapes",
                value=shape.tokens,
                expected=f"at most {cache.max_len if shape.prefill else most}",
            )
    if cache.max_len > facts.context:
        raise BackendError(
            "longer than the context of the model",
            where="max_len",
            value=cache.max_len,
            expected=f"at most {facts.context} tokens",
        )
    decoder = Decoder(facts, files, context=cache.max_len, slots=cache.slots)
    decoder.touch()
    begins, steps = steps_of(compiled, shapes)
    ends = (*begins[1:], steps)
    listed: list[tuple[int, int, bool]] = []
    image = -1
    for bucket, (shape, begin, end) in enumerate(zip(shapes, begins, ends, strict=True)):
        parts = end - begin
        listed += [(bucket, part, part == parts - 1) for part in range(parts)]
        if shape.image and decoder.encoder is not None and facts.image is not None:
            image = bucket
            decoder.encoder.encode(np.zeros(facts.image.shape, np.uint8))
            continue
        size = (1, shape.tokens) if shape.prefill else (shape.tokens, 1)
        for slot in range(cache.slots - size[0] + 1):
            decoder.lengths[:] = cache.max_len - size[1]  # where it takes most memory
            decoder.begin(np.zeros(size, np.int64), slot)
            for part in range(parts):
                decoder.run(part)
    decoder.lengths[:] = 0
    return OrtGenerator(decoder, listed, image)


def _require_rows(shape: Shape, facts: GeneratorFacts) -> None:
    """Refuse a bucket for other images than the model takes."""
    rows = 0 if facts.seen is None else facts.seen.rows
    if shape.tokens != rows:
        raise BackendError(
            "a bucket does not fit the images of the model",
            where="shapes",
            value=shape.tokens,
            expected=f"{rows} rows" if rows else "none: it takes no images",
        )
