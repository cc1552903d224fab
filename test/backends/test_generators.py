"""Language models on a lane compute what a decoder does, part by part, whoever refuses them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.backends import Completion, LoadedNetwork, Part, Work, create_backend
from aegis_ros.backends.cpu.onnxruntime import OnnxRuntimeBackend
from aegis_ros.backends.generators import CompiledGenerator, Turn, generating, steps_of
from aegis_ros.backends.registry import backend_names, capabilities_of
from aegis_ros.engine.client.weighing import weighed
from aegis_ros.errors import AegisError, BackendError, ModelError
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import LaneSpec
from test.engine.bench import TIMEOUT_S
from test.network.generator.compiled import SHAPES, cache_of, compiled


class Script:
    """Runs buckets as a test says, and keeps what they compute."""

    def __init__(self, *turns: tuple[int, int, Sequence[Sequence[int]], Sequence[int]]) -> None:
        self.turns = list(turns)  # bucket, first slot, tokens of each sequence, past of each
        self.logits: list[np.ndarray] = []
        self.parts = 0

    def begin(self, bucket: int) -> Turn:
        number, slot, ids, past = self.turns.pop(0)
        assert number == bucket
        turn = Turn(SHAPES[bucket])
        turn.slot = slot
        turn.ids[:] = ids
        turn.past[:] = past
        return turn

    def between(self) -> int | None:
        self.parts += 1
        return 0

    def refused(self) -> bool:
        return False

    def end(self, logits: np.ndarray) -> int | None:
        self.logits.append(logits.copy())
        return self.turns[0][0] if self.turns else None


@pytest.fixture
def lane() -> Iterator[tuple[OnnxRuntimeBackend, list[Completion]]]:
    backend = OnnxRuntimeBackend()
    ended = threading.Semaphore(0)
    completions: list[Completion] = []

    def end(token: int, completion: Completion) -> None:
        completions.append(replace(completion))
        ended.release()

    backend.open([LaneSpec("main")], end, 0)
    backend.ended = ended  # type: ignore[attr-defined]  # for `play`
    yield backend, completions
    backend.close()


def play(
    backend: OnnxRuntimeBackend, model: CompiledGenerator, network: LoadedNetwork, script: Script
) -> None:
    """Run what a script says on the lane, step by step as outcomes say."""
    begins, _ = steps_of(model, SHAPES)
    while script.turns:
        bucket = script.turns[0][0]
        parts = model.facts.cached_by if SHAPES[bucket].prefill else len(model.paths)
        for step in range(begins[bucket], begins[bucket] + parts):
            backend.start(0, Work([Part(network, [], (), script)], step=step))
            assert backend.ended.acquire(timeout=TIMEOUT_S)  # type: ignore[attr-defined]


def test_every_bucket_in_every_slot_gives_the_bits_of_a_decoder(
    lane: tuple[OnnxRuntimeBackend, list[Completion]], tmp_path: Path
) -> None:
    backend, completions = lane
    model = compiled(tmp_path, parts=3)
    network = backend.load_generator(model, 0, SHAPES, cache_of(model))
    assert network.segments == 3 * 3 + 3 * 4
    random = np.random.default_rng(1)
    whole = Decoder(model.facts, model.paths, context=model.facts.context, slots=4)
    turns = []
    wanted = []
    for slot in range(4):  # a prompt of another length in each
        for bucket in (0, 1, 2)[: 1 + slot % 3]:
            ids = random.integers(0, model.facts.vocabulary, SHAPES[bucket].tokens).tolist()
            turns.append((bucket, slot, [ids], [int(whole.lengths[slot])]))
            whole.prefill(ids, slot=slot)
            wanted.append(np.empty((0, 0)))
    for bucket, size in ((3, 1), (4, 2), (5, 4)):
        for slot in range(4 - size + 1):
            ids = random.integers(0, model.facts.vocabulary, size).tolist()
            past = whole.lengths[slot : slot + size].tolist()
            turns.append((bucket, slot, [[each] for each in ids], past))
            wanted.append(whole.decode(ids, slot=slot))
    script = Script(*turns)
    play(backend, model, network, script)
    assert [each.error for each in completions] == [""] * len(completions)
    assert all(np.array_equal(one, other) for one, other in zip(script.logits, wanted, strict=True))
    assert completions[-1].outcome is None and completions[0].outcome == 0
    backend.unload(network)


def test_a_bucket_for_nobody_runs_nothing_and_one_given_up_leaves_no_trace(
    lane: tuple[OnnxRuntimeBackend, list[Completion]], tmp_path: Path
) -> None:
    backend, _ = lane
    model = compiled(tmp_path)
    network = backend.load_generator(model, 0, SHAPES, cache_of(model))
    whole = Decoder(model.facts, model.paths, context=model.facts.context, slots=4)
    whole.prefill([1, 2], slot=2)
    given_up = Script((1, 2, [[7] * 8], [2]))
    script = Script(
        (0, -1, [[9, 9]], [0]), (0, 2, [[1, 2]], [0]), (0, -1, [[5, 5]], [2]), (3, 2, [[3]], [2])
    )
    play(backend, model, network, Script((0, 2, [[8, 8]], [0])))
    backend.start(0, Work([Part(network, [], (), given_up)], step=steps_of(model, SHAPES)[0][1]))
    assert backend.ended.acquire(timeout=TIMEOUT_S)  # type: ignore[attr-defined]
    play(backend, model, network, script)
    assert np.array_equal(script.logits[-1], whole.decode([3], slot=2))


@pytest.mark.parametrize(
    ("shape", "slots", "max_len", "where"),
    [
        (Shape(4, False), 2, 256, "shapes"),
        (Shape(64, True), 2, 32, "shapes"),
        (Shape(2, False), 2, 100_000, "max_len"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, shape: Shape, slots: int, max_len: int, where: str
) -> None:
    model = compiled(tmp_path)
    with pytest.raises(BackendError) as error:
        shapes = (shape,) if shape.prefill else (Shape(2, True), shape)
        OnnxRuntimeBackend().load_generator(model, 0, shapes, cache_of(model, slots, max_len))
    assert error.value.where == where


def test_a_file_that_is_not_what_was_made_is_not_loaded(tmp_path: Path) -> None:
    model = compiled(tmp_path)
    Path(model.paths[1]).write_bytes(Path(model.paths[0]).read_bytes())
    with pytest.raises(BackendError, match=r"damaged|not what"):
        OnnxRuntimeBackend().load_generator(model, 0, SHAPES, cache_of(model))


def test_backends_say_whether_they_run_language_models() -> None:
    for name in backend_names():
        try:
            backend = create_backend(name)
        except AegisError:  # what it needs is not installed
            continue
        if capabilities_of(name).generators:
            assert generating(backend) is backend
            continue
        with pytest.raises(BackendError, match="runs no language models") as error:
            generating(backend, name)
        assert name in str(error.value) and "onnxruntime" in error.value.expected


def test_a_child_process_says_what_a_model_takes_once_all_its_buckets_have_run(
    tmp_path: Path,
) -> None:
    model = compiled(tmp_path)
    small, large = cache_of(model), replace(cache_of(model), slots=64 * cache_of(model).slots)
    shapes = [shape for shape in SHAPES if shape.tokens <= small.slots or shape.prefill]
    more = weighed(model, shapes, large, "onnxruntime")
    assert more.peak_bytes >= more.nbytes >= model.footprint(large).total
    broken = replace(model, digests=("0" * 64, *model.digests[1:]))
    with pytest.raises(ModelError, match="is damaged"):
        weighed(broken, shapes, small, "onnxruntime")
