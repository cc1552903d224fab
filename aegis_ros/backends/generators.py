"""What a runtime must offer to run language models on the engine's lanes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import LoadedNetwork
from aegis_ros.errors import AegisError, BackendError
from aegis_ros.memory import Footprint, KvShape
from aegis_ros.network.generator.buckets import measured_shapes
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.vision.facts import NO_ROW
from aegis_ros.sandbox.verified import all_verified
from aegis_ros.scheduling.generation import Shape

if TYPE_CHECKING:
    from aegis_ros.network.generator.preparing import PreparedGenerator

__all__ = [
    "CompiledGenerator",
    "Generates",
    "Speech",
    "Turn",
    "generating",
    "shapes_of",
    "steps_of",
]


@dataclass(frozen=True, slots=True)
class CompiledGenerator:
    """A language model that a backend can load.

    Attributes:
        key: names it in profiles: the same model in the same parts and precision.
        paths: its parts, in order of execution, and those of its image encoder after them.
        digests: SHA-256 of each in hex; a file that has another one is not loaded.
        facts: what is known of it.
        weight_bytes: size of the parts.
    """

    key: str
    paths: tuple[str, ...]
    digests: tuple[str, ...]
    facts: GeneratorFacts
    weight_bytes: int = 0

    @property
    def parts(self) -> int:
        """How many parts a decode has."""
        return len(self.paths) - self.facts.encoder_parts

    @staticmethod
    def of(prepared: PreparedGenerator) -> CompiledGenerator:
        """Return what an engine loads of a model that was prepared.

        Raises:
            BackendError: a file is gone.
        """
        try:
            size = sum(Path(path).stat().st_size for path in prepared.parts)
        except OSError as error:
            raise BackendError("a part of the model is gone", value=error) from error
        return CompiledGenerator(
            prepared.key,
            tuple(map(str, prepared.parts)),
            prepared.digests[: len(prepared.parts)],
            prepared.facts,
            size,
        )

    @contextmanager
    def opened(self, kind: type[AegisError] = BackendError) -> Iterator[tuple[str, ...]]:
        """Yield names under which the files open, which are exactly those that were made.

        Args:
            kind: class of the error.

        Raises:
            AegisError: of that kind: a file is gone, or is not what was made.
        """
        with all_verified(zip(self.paths, self.digests, strict=True), kind) as files:
            yield files

    def footprint(self, cache: KvShape) -> Footprint:
        """Return what it takes with a cache; what its parts hand on is not known."""
        return self.without_cache(cache.slots) + cache.footprint

    def without_cache(self, slots: int) -> Footprint:
        """Return what it takes beside the cache of so many slots, each of which has an image."""
        image = self.facts.image
        if image is None:
            return Footprint(self.weight_bytes)
        pixels = 0 if self.facts.seen is None else (slots + 1) * prod(image.shape)
        return Footprint(self.weight_bytes, state=slots * image.bytes_per_slot, staging=pixels)

    def blind(self) -> CompiledGenerator:
        """Return it without its image encoder: prompts are then about no image."""
        image = self.facts.seen
        if image is None:
            return self
        kept = self.parts
        size = sum(Path(path).stat().st_size for path in self.paths[kept:])
        return replace(
            self,
            paths=self.paths[:kept],
            digests=self.digests[:kept],
            facts=replace(self.facts, image=replace(image, parts=0)),
            weight_bytes=max(0, self.weight_bytes - size),
        )


def shapes_of(facts: GeneratorFacts, slots: int) -> tuple[Shape, ...]:
    """Return what a model is measured with: chunks, an image where it takes one, and decodes.

    Args:
        facts: of the model.
        slots: sequences at once.

    Raises:
        ConfigError: the context has no room for the smallest chunk and a token.
    """
    sizes = measured_shapes(facts, slots)
    image = facts.seen
    seen = [] if image is None else [Shape(image.rows, prefill=True, image=True)]
    chunks = [Shape(size, True) for prefill, size in sizes if prefill]
    decodes = [Shape(size, False) for prefill, size in sizes if not prefill]
    return (*chunks, *seen, *decodes)


def steps_of(compiled: CompiledGenerator, shapes: Sequence[Shape]) -> tuple[tuple[int, ...], int]:
    """Return the first step of each bucket, and how many steps there are.

    A chunk of a prompt ends with the part that fills the cache; only a decode computes logits. An
    image goes through the parts of the encoder.
    """
    begins = []
    steps = 0
    for shape in shapes:
        begins.append(steps)
        if shape.image:
            steps += compiled.facts.encoder_parts
        else:
            steps += compiled.facts.cached_by if shape.prefill else compiled.parts
    return tuple(begins), steps


class Turn:
    """What a bucket runs with: the next tokens of sequences in slots that follow each other.

    Attributes:
        ids: int64 [batch, tokens].
        rows: int64 [batch, tokens], which row of its image each stands for, or ``NO_ROW``.
        past: int64 [batch], tokens in the cache of each before.
        slot: of the first; -1 where the bucket is for nobody and nothing runs, or nothing more:
            it may become so between two parts.
        pixels: of the image that the bucket makes the rows of; ``None`` for other buckets.
    """

    __slots__ = ("ids", "past", "pixels", "rows", "slot")

    def __init__(self, shape: Shape) -> None:
        """Begin with nobody."""
        size = (1, shape.tokens) if shape.prefill else (shape.tokens, 1)
        self.ids: npt.NDArray[np.int64] = np.zeros(size, np.int64)
        self.rows: npt.NDArray[np.int64] = np.full(size, NO_ROW)
        self.past: npt.NDArray[np.int64] = np.zeros(size[0], np.int64)
        self.slot = -1
        self.pixels: npt.NDArray[np.uint8] | None = None


class Speech(Protocol):
    """What a generator says, and to whom: :attr:`Part.state` of its work.

    Called on the lane's thread, inside the step that is measured.
    """

    def begin(self, bucket: int) -> Turn:
        """Return what a bucket runs with, before its first part."""
        ...

    def between(self) -> int | None:
        """Return the outcome of a part that is not the last; ``None`` ends the job.

        Asked once more before the next part runs, which may be much later; where that ends the job
        or leaves its bucket to nobody, the part does not run.
        """
        ...

    def refused(self) -> bool:
        """Note that memory for a part of the present bucket could not be taken.

        Returns:
            Whether the job goes on: nothing more of the bucket runs then, which is for nobody now.
        """
        ...

    def end(self, logits: npt.NDArray[np.float32]) -> int | None:
        """Return the outcome of a bucket: the one to go on with; ``None`` ends the job.

        Args:
            logits: float32 [batch, vocabulary] after the last token of each sequence; empty where
                the bucket computes none, or was for nobody.
        """
        ...


@runtime_checkable
class Generates(Protocol):
    """The part of a backend with :attr:`Capabilities.generators`, beside that of all others."""

    def load_generator(
        self, compiled: CompiledGenerator, lane: int, shapes: Sequence[Shape], cache: KvShape
    ) -> LoadedNetwork:
        """Allocate everything a language model needs, and run each of its buckets once.

        Its work has one part whose ``state`` is a :class:`Speech`; step by step it runs the parts
        of the bucket that the step belongs to, as :func:`steps_of` counts them, and what the speech
        answers is :attr:`Completion.outcome`. ``unload`` gives back what it took.

        Args:
            compiled: the model.
            lane: index of the lane.
            shapes: of its buckets.
            cache: its slots, and how long each is.

        Raises:
            BackendError: it cannot be loaded; nothing is left behind.
        """
        ...


def generating(backend: object, name: str = "") -> Generates:
    """Return a backend that runs language models.

    Args:
        backend: any backend, or several as one.
        name: its name, for people.

    Raises:
        BackendError: it runs none.
    """
    if isinstance(backend, Generates):
        return backend
    from aegis_ros.backends.registry import generator_backends  # which imports them

    raise BackendError(
        "the backend of this lane runs no language models",
        where="lane",
        value=name or getattr(backend, "name", type(backend).__name__),
        expected="a lane of backend " + " or ".join(generator_backends()),
        hint="Name another lane, or give one a backend of its own: "
        "`lanes: [{name: ..., backend: " + generator_backends()[0] + "}]`",
    )
