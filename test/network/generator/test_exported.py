"""ONNX exports whose cache is an input and an output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.errors import BackendError, ModelError
from aegis_ros.network.generator.buckets import chunks
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.exported import Exported, exported
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.graph import checked_graph
from test.network.generator.export import CONTEXT, LAYERS, graph, greedy


def decoder(found: Exported, folder: Path, slots: int = 1) -> Decoder:
    paths = [str(folder / f"{number}.onnx") for number in range(len(found.parts))]
    for part, path in zip(found.parts, paths, strict=True):
        onnx.save_model(part, path)
    facts = GeneratorFacts(
        layers=found.layers,
        kv_heads=found.kv_heads,
        head_dim=found.head_dim,
        vocabulary=found.vocabulary,
        context=CONTEXT,
        kv_dtype=found.kv_dtype,
        grows=True,
        cached_by=found.cached_by,
        ends=(),
    )
    made = Decoder(facts, paths, context=CONTEXT, slots=slots)
    assert made.kv_bytes == CONTEXT * facts.kv_bytes_per_token * slots
    return made


def of(model: onnx.ModelProto, folder: Path, parts: int = 1) -> Exported:
    return exported(checked_graph(model.SerializeToString(), Path("model.onnx")), folder, parts)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_an_export_says_step_by_step_what_it_says_at_once(tmp_path: Path, dtype: type) -> None:
    model = graph(dtype=dtype)
    ours = decoder(of(model, tmp_path), tmp_path, slots=2)
    random = np.random.default_rng(5)
    for length in (1, 2, 3, 17, 40):
        prompt = list(map(int, random.integers(0, 200, length)))
        for slot in (0, 1):
            ours.forget(slot)
            *first, token = prompt
            at = 0
            for size in chunks(len(first)):
                ours.prefill(first[at : at + size], slot=slot)
                at += size
            found = []
            for _ in range(20):
                (logits,) = ours.decode([token], slot=slot)
                token = int(np.argmax(logits))
                found.append(token)
            assert found == greedy(model, prompt, 20)


def test_its_parts_do_not_change_a_bit(tmp_path: Path) -> None:
    model = graph()
    whole = decoder(of(model, tmp_path), tmp_path)
    ids = list(range(30))
    for parts in (2, 3, 5):
        found = of(model, tmp_path, parts)
        assert len(found.parts) == parts and found.layers == LAYERS
        (folder := tmp_path / str(parts)).mkdir()
        cut = decoder(found, folder)
        for each in (whole, cut):
            each.forget(0)
            each.prefill(ids, slot=0)
        for token in (1, 2, 3):
            assert np.array_equal(cut.decode([token], slot=0), whole.decode([token], slot=0))


def test_a_cache_that_grows_holds_one_sequence_a_step_and_not_more_than_it_can(
    tmp_path: Path,
) -> None:
    ours = decoder(of(graph(), tmp_path), tmp_path, slots=2)
    with pytest.raises(BackendError, match="one sequence at a time"):
        ours.decode([1, 2], slot=0)
    ours.prefill([1] * CONTEXT, slot=1)
    with pytest.raises(BackendError, match=f"at most {CONTEXT} tokens"):
        ours.decode([1], slot=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"drop": ["present.1.key"]}, r"no 'present\.1\.key'"),
        ({"drop": ["past_key_values.2.value"]}, r"no 'past_key_values\.2\.value'"),
        ({"drop": ["logits"]}, "no 'logits'"),
        ({"extra": ["use_cache_branch"]}, "'use_cache_branch'"),
    ],
)
def test_what_is_no_decoder_is_refused_by_the_name_that_is_missing(
    tmp_path: Path, options: dict[str, list[str]], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        of(graph(**options), tmp_path)
