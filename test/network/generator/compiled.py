"""Small language models as files that an engine loads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

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


def hungry(model: CompiledGenerator, token: int, above: int) -> CompiledGenerator:
    """Have a step ask for 2**60 bytes that is for a token, and for more tokens than ``above``."""
    first = Path(model.paths[0])
    graph = onnx.load(str(first))
    for node in graph.graph.node:
        for at, name in enumerate(node.input):
            if name == "input_ids":
                node.input[at] = "fed_ids"
    numbers = {"token": token, "above": above, "many": 1 << 58, "none": 0, "one": [1]}
    graph.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), f"hungry/{name}")
        for name, value in numbers.items()
    )
    integer = onnx.TensorProto.INT64
    added = [
        helper.make_node(kind, [*map(_hungry, inputs)], [_hungry(output)], **fields)
        for kind, inputs, output, fields in (
            ("Equal", ["input_ids", "token"], "equal", {}),
            ("Cast", ["equal"], "equal_number", {"to": integer}),
            ("ReduceMax", ["equal_number"], "there", {"keepdims": 0}),
            ("Size", ["input_ids"], "size", {}),
            ("Greater", ["size", "above"], "more", {}),
            ("Cast", ["more"], "more_number", {"to": integer}),
            ("Mul", ["there", "more_number"], "asks", {}),
            ("Mul", ["asks", "many"], "count", {}),
            ("Reshape", ["count", "one"], "extents", {}),
            ("ConstantOfShape", ["extents"], "taken", {}),
            ("Size", ["taken"], "taken_size", {}),
            ("Mul", ["taken_size", "none"], "zero", {}),
            ("Add", ["input_ids", "zero"], "fed_ids", {}),
        )
    ]
    nodes = [*added, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    place = first.with_name(f"hungry-{first.name}")
    onnx.save_model(graph, str(place))
    return replace(
        model,
        paths=(str(place), *model.paths[1:]),
        digests=(sha256(place.read_bytes()).hexdigest(), *model.digests[1:]),
    )


def _hungry(name: str) -> str:
    return name if name in ("input_ids", "fed_ids") else f"hungry/{name}"


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
