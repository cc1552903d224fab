"""Steps are measured in turns, each at the end of a full context."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.measuring import WARM_UP, TimedDecoder, measure_buckets

FACTS = GeneratorFacts(
    layers=1,
    kv_heads=1,
    head_dim=1,
    vocabulary=4,
    context=20,
    kv_dtype="float32",
    grows=False,
    cached_by=1,
    ends=(),
)


class Counted(TimedDecoder):
    """Computes nothing, and keeps what was asked: kind, tokens, and how full the cache was."""

    def __init__(self, slots: int) -> None:
        self.lengths = np.zeros(slots, np.int64)
        self.asked: list[tuple[str, int, list[int]]] = []
        self.parts_ns = []

    def prefill(self, tokens: object, *, slot: int) -> None:
        self._note("prefill", len(tokens), [int(self.lengths[slot])])  # type: ignore[arg-type]

    def decode(self, tokens: object, *, slot: int) -> object:  # type: ignore[override]
        count = len(tokens)  # type: ignore[arg-type]
        self._note("decode", count, self.lengths[slot : slot + count].tolist())
        return None

    def _note(self, kind: str, tokens: int, lengths: list[int]) -> None:
        self.asked.append((kind, tokens, lengths))
        self.parts_ns = [len(self.asked), tokens]


def test_every_step_that_fits_is_measured_where_it_takes_longest() -> None:
    decoder = Counted(2)
    done: list[int] = []
    found = measure_buckets(decoder, FACTS, slots=2, runs=4, progress=done.append)
    assert [(each.prefill, each.tokens) for each in found] == [
        (True, 2), (True, 4), (True, 8), (True, 16), (False, 1), (False, 2),
    ]  # fmt: skip
    for kind, tokens, lengths in decoder.asked:
        taken = tokens if kind == "prefill" else 1
        assert all(length + taken == FACTS.context for length in lengths)
    assert done == list(range(1, WARM_UP + 4 + 1))
    # In turns: of each step, the runs are as far apart as there are steps.
    for number, each in enumerate(found):
        first = WARM_UP * len(found) + number + 1
        assert each.samples_ns[:, 0].tolist() == [first + len(found) * run for run in range(4)]
        assert each.samples_ns[:, 1].tolist() == [each.tokens] * 4


def test_an_export_whose_cache_grows_decodes_one_at_a_time() -> None:
    found = measure_buckets(Counted(4), replace(FACTS, grows=True), slots=4, runs=1)
    assert [each.tokens for each in found if not each.prefill] == [1]
