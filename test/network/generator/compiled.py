"""Small language models as files that an engine loads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import onnx

from aegis_ros.backends.generators import CompiledGenerator, steps_of
from aegis_ros.memory import KvShape
from aegis_ros.network.generator.facts import GeneratorFacts, Precision
from aegis_ros.network.generator.gguf_file import GgufFile
from aegis_ros.network.generator.graph import transformer
from aegis_ros.scheduling import GeneratorPlan
from aegis_ros.scheduling.generation import Shape
from test.network.generator.models import CONTEXT, write_gguf

SHAPES = (*(Shape(size, True) for size in (2, 8, 32)), *(Shape(size, False) for size in (1, 2, 4)))


def compiled(
    folder: Path,
    *,
    model: Path | None = None,
    parts: int = 2,
    precision: Precision = Precision.FLOAT32,
    ends: tuple[int, ...] = (),
    context: int = CONTEXT,
) -> CompiledGenerator:
    """Return a model in parts, made in this process.

    Args:
        folder: for its files.
        model: a GGUF file; ``None`` for one that is made up.
        parts: groups of layers.
        precision: of its products.
        ends: tokens that end an answer.
        context: longest sequence, tokens.
    """
    path = model or write_gguf(folder / "model.gguf")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        built = transformer(GgufFile(descriptor), context=context, precision=precision)
        pieces = built.parts(parts)
    finally:
        os.close(descriptor)
    paths = [folder / f"{path.stem}-{precision}-{parts}-{n}.onnx" for n in range(len(pieces))]
    for piece, place in zip(pieces, paths, strict=True):
        onnx.save_model(piece, str(place))
    facts = GeneratorFacts(
        layers=built.layers,
        kv_heads=built.kv_heads,
        head_dim=built.head_dim,
        vocabulary=built.vocabulary,
        context=context,
        kv_dtype="float32",
        grows=False,
        cached_by=parts,
        ends=ends,
    )
    return CompiledGenerator(
        "key",
        tuple(map(str, paths)),
        tuple(sha256(place.read_bytes()).hexdigest() for place in paths),
        facts,
        sum(place.stat().st_size for place in paths),
    )


def plan_of(
    model: CompiledGenerator, shapes: Sequence[Shape] = SHAPES, budget_ns: int = 10**10
) -> GeneratorPlan:
    """Return a plan with budgets that no machine is slow enough to exceed by chance."""
    begins, steps = steps_of(model, shapes)
    prefills = sum(shape.prefill for shape in shapes)
    return GeneratorPlan((budget_ns,) * steps, begins, prefills)


def cache_of(model: CompiledGenerator, slots: int = 4, max_len: int = 0) -> KvShape:
    """Return a cache with room for so many answers, each of the whole context if not said."""
    return KvShape(slots, max_len or model.facts.context, model.facts.kv_bytes_per_token)
