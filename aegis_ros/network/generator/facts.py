"""What is known of a language model that is ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from aegis_ros.network.generator.vision.facts import ImageFacts

__all__ = ["GeneratorFacts", "Precision"]


class Precision(StrEnum):
    """How the products of a GGUF model are computed; an ONNX export stays as it is."""

    FLOAT32 = "float32"
    """Weights become float32: parts, chunks and batches give the same bits."""
    QUANTISED = "quantised"
    """Weights of 4 and 8 bits stay as they are and are multiplied in float32: a fifth of the
    memory; a single token is multiplied by another kernel than several."""
    INT8 = "int8"
    """As quantised, and what weights are multiplied with is rounded to 8 bits: the fastest, and
    the text differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorFacts:
    """A language model that is ready to run.

    Attributes:
        layers: how many have a cache.
        kv_heads: of a layer.
        head_dim: numbers a head.
        vocabulary: how many logits there are.
        context: longest sequence, prompt and answer together, in tokens.
        kv_dtype: element type of the cache.
        grows: a step returns the cache one step longer, in other memory; else it writes into it.
        cached_by: number of parts of a step until its tokens are in the cache; later ones only
            compute logits.
        ends: tokens that end an answer.
        begin: token in front of a text without template, -1 for none.
        begin_text: text of the token that templates put in front; may be empty.
        end_text: text of the token that ends an answer; may be empty.
        template: of a chat, in Jinja; empty for none.
        image: how an image comes into a prompt; ``None`` for a model that takes none.
    """

    layers: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    kv_dtype: str
    grows: bool
    cached_by: int
    ends: tuple[int, ...]
    begin: int = -1
    begin_text: str = ""
    end_text: str = ""
    template: str = ""
    image: ImageFacts | None = None

    @property
    def seen(self) -> ImageFacts | None:
        """How the images come into prompts that it can encode; ``None`` without an encoder."""
        return self.image if self.encoder_parts else None

    @property
    def encoder_parts(self) -> int:
        """How many of the model's files, the last ones, are those of its image encoder."""
        return 0 if self.image is None else self.image.parts

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Extents of the image that prompts may be about; none where there is no encoder."""
        return () if self.seen is None else self.seen.shape

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of the cache for each token; a cache that grows is held twice."""
        one = 2 * self.layers * self.kv_heads * self.head_dim * np.dtype(self.kv_dtype).itemsize
        return one * (2 if self.grows else 1)
