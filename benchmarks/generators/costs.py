"""What the steps of a language model take here: its buckets, measured as `aegis buckets` does."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from aegis_ros.memory import KvShape
from aegis_ros.network.generator.facts import Precision
from aegis_ros.network.generator.measuring import WARM_UP, measure_prepared
from aegis_ros.network.generator.preparing import (
    SUFFIXES,
    PreparedGenerator,
    prepare_generator,
)
from aegis_ros.network.locate import open_model
from aegis_ros.planning.generator import Bucket
from benchmarks.progress import Shown

__all__ = ["MADE_UP", "Costs", "measured_costs", "prepared_model"]

MADE_UP = "made up"
"""Stands for a tiny language model of noise, which needs no download."""


@dataclass(frozen=True, slots=True)
class Costs:
    """A language model's buckets.

    Attributes:
        buckets: with the medians of their parts, at the end of a full context.
        cache: its slots.
    """

    buckets: tuple[Bucket, ...]
    cache: KvShape


def prepared_model(
    model: str, cache_dir: Path, *, context: int, parts: int, precision: str
) -> PreparedGenerator:
    """Return a language model in parts.

    Args:
        model: address or path; :data:`MADE_UP` for the tiny one of the tests.
        cache_dir: where what is made is kept.
        context: longest sequence, tokens.
        parts: groups of layers.
        precision: name of one.
    """
    uri, roots = model, [str(Path(model).resolve().parent)]
    if model == MADE_UP:
        models = import_module("test.network.generator.models")
        context = min(context, int(models.CONTEXT))
        roots = [str(cache_dir)]
        uri = str(models.write_gguf(cache_dir / "model.gguf", "Q4_1"))
    elif "://" not in uri:
        uri = str(Path(model).resolve())
    with open_model(uri, roots, SUFFIXES) as file:
        return prepare_generator(
            file, cache_dir=cache_dir, context=context, parts=parts, precision=Precision(precision)
        )


def measured_costs(
    model: str, *, context: int, slots: int, precision: str, runs: int, shown: Shown
) -> Costs:
    """Measure the buckets of a model on one thread.

    Args:
        model: as for :func:`prepared_model`, and so with the rest.
        context: longest sequence, tokens.
        slots: answers at once: one of the sizes of batch.
        precision: name of one.
        runs: of each bucket.
        shown: where progress is shown.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepared_model(
            model, Path(folder), context=context, parts=1, precision=precision
        )
        facts = prepared.facts
        row = shown.add_task("buckets", total=runs + WARM_UP)
        found = measure_prepared(
            prepared,
            slots=slots,
            runs=runs,
            progress=lambda done: shown.update(row, completed=done),
        )
        shown.remove_task(row)
    buckets = tuple(
        Bucket(
            each.tokens,
            each.prefill,
            tuple(int(part) for part in np.median(each.samples_ns, axis=0)),
        )
        for each in found
    )
    return Costs(buckets, KvShape(slots, facts.context, facts.kv_bytes_per_token))
