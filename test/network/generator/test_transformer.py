"""What a GGUF file becomes computes what its definition says, in any parts, chunks and batches."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

import gguf

from aegis_ros.network.generator.buckets import BATCHES, CHUNKS, batches, chunks
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.facts import Precision
from aegis_ros.network.generator.gguf_file import GgufFile
from aegis_ros.network.generator.graph import transformer
from aegis_ros.network.generator.weights import in_blocks
from test.network.generator import models
from test.network.generator.conftest import Decoders
from test.network.generator.models import (
    CONTEXT,
    HEAD_DIM,
    KV_HEADS,
    LAYERS,
    noise,
    tokens,
    write_gguf,
)
from test.network.generator.reference import Reference

_VOCABULARY = len(tokens())


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(7)
    return [list(map(int, random.integers(0, _VOCABULARY, 1 + 3 * n))) for n in range(count)]


def after(decoder: Decoder, prompt: list[int], *, chunk: int = 32, slot: int = 0) -> np.ndarray:
    """Logits after a prompt."""
    decoder.forget(slot)
    *first, last = prompt
    at = 0
    for size in chunks(len(first), chunk):
        decoder.prefill(first[at : at + size], slot=slot)
        at += size
    return decoder.decode([last], slot=slot)[0]


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.QUANTISED])
@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("llama", "F32"), ("llama", "Q4_1"), ("llama", "F16"), ("qwen2", "Q8_0"), ("qwen2", "Q4_0")],
)
def test_greedy_text_is_that_of_the_reference(
    decoder: Decoders, tmp_path: Path, architecture: str, kind: str, precision: Precision
) -> None:
    path = write_gguf(tmp_path / "model.gguf", kind, architecture=architecture)
    ours, reference = decoder(path, precision=precision), Reference(path)
    for prompt in prompts(20):
        logits = after(ours, prompt)
        found = []
        for _ in range(32):
            found.append(int(np.argmax(logits)))
            (logits,) = ours.decode(found[-1:], slot=0)
        assert found == reference.greedy(prompt, 32)


def test_parts_and_chunks_do_not_change_a_bit(decoder: Decoders, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf")
    whole = decoder(path)
    for parts in range(1, LAYERS + 1):
        ours = decoder(path, parts=parts)
        for chunk in CHUNKS:
            for prompt in ([5], list(range(2)), list(range(64)), list(range(77))):
                assert np.array_equal(after(ours, prompt, chunk=chunk), after(whole, prompt))


def test_the_parts_are_the_graph_that_was_cut(decoder: Decoders, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf")
    descriptor = os.open(path, os.O_RDONLY)
    built = transformer(GgufFile(descriptor), context=CONTEXT, precision=Precision.FLOAT32)
    os.close(descriptor)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(built.graph.SerializeToString(), options)
    prompt = list(range(40, 73))
    cache = np.zeros((1, KV_HEADS, CONTEXT, HEAD_DIM), np.float32)
    fed = {
        "input_ids": np.array([prompt[:-1]], np.int64),
        "seqlens_k": np.array([len(prompt) - 2], np.int32),
        "total_sequence_length": np.array([len(prompt) - 1], np.int32),
    }
    names = [f"{layer}.{which}" for layer in range(LAYERS) for which in ("key", "value")]
    caches = {f"past_key_values.{name}": cache for name in names}
    kept = session.run([f"present.{name}" for name in names], fed | caches)
    caches = {f"past_key_values.{name}": value for name, value in zip(names, kept, strict=True)}
    fed = {
        "input_ids": np.array([prompt[-1:]], np.int64),
        "seqlens_k": np.array([len(prompt) - 1], np.int32),
        "total_sequence_length": np.array([len(prompt)], np.int32),
    }
    (logits,) = session.run(["logits"], fed | caches)
    for parts in range(1, LAYERS + 1):
        assert np.array_equal(after(decoder(path, parts=parts), prompt), logits[0, 0])


@pytest.mark.parametrize("batch", BATCHES)
def test_a_batch_of_different_lengths_gives_the_bits_of_each_alone(
    decoder: Decoders, tmp_path: Path, batch: int
) -> None:
    path = write_gguf(tmp_path / "model.gguf")
    alone, together = decoder(path, slots=batch), decoder(path, slots=batch, parts=2)
    for slot, prompt in enumerate(prompts(12)[4 : 4 + 2 * batch : 2]):
        after(together, prompt, slot=slot)
        after(alone, prompt, slot=slot)
    for token in (3, 99, 200):
        ids = [token + slot for slot in range(batch)]
        found = together.decode(ids, slot=0)
        for slot in range(batch):
            (wanted,) = alone.decode(ids[slot : slot + 1], slot=slot)
            assert np.array_equal(found[slot], wanted)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"])
def test_blocks_are_the_weights_of_the_file(kind: str) -> None:
    matrix = np.random.default_rng(1).standard_normal((6, 512), np.float32)
    of = getattr(gguf.GGMLQuantizationType, kind)
    packed = noise(kind, 6, 512) if kind.endswith("K") else gguf.quantize(matrix, of)
    blocks = in_blocks(kind, packed)
    assert blocks is not None
    if blocks.bits == 4:
        numbers = np.stack((blocks.packed & 15, blocks.packed >> 4), -1)
        numbers = numbers.reshape(6, -1, blocks.size)
    else:
        numbers = blocks.packed
    centred = numbers.astype(np.float32) - 2 ** (blocks.bits - 1)
    found = centred * blocks.scales[..., None]
    if blocks.offsets is not None:
        found += blocks.offsets[..., None]
    np.testing.assert_allclose(
        found.reshape(6, 512), gguf.dequantize(packed, of), rtol=1e-5, atol=1e-6
    )
    assert in_blocks("Q5_K", packed) is None


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.QUANTISED])
@pytest.mark.parametrize("kind", ["Q4_K", "Q6_K"])
def test_blocks_of_other_sizes_give_the_text_of_the_reference(
    decoder: Decoders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    precision: Precision,
) -> None:
    for name, extent in (("HIDDEN", 256), ("INNER", 512), ("HEAD_DIM", 64)):
        monkeypatch.setattr(models, name, extent)
    path = write_gguf(tmp_path / "model.gguf", kind)
    ours, reference = decoder(path, precision=precision), Reference(path)
    for prompt in prompts(6):
        logits = after(ours, prompt)
        found = []
        for _ in range(16):
            found.append(int(np.argmax(logits)))
            (logits,) = ours.decode(found[-1:], slot=0)
        assert found == reference.greedy(prompt, 16)


def test_blocks_of_8_bits_are_the_sum_of_two_of_4() -> None:
    matrix = np.random.default_rng(1).standard_normal((6, 128), np.float32)
    blocks = in_blocks("Q8_0", gguf.quantize(matrix, gguf.GGMLQuantizationType.Q8_0))
    assert blocks is not None
    total = np.zeros((6, 4, 32), np.float64)
    for half in blocks.nibbles():
        numbers = np.stack((half.packed & 15, half.packed >> 4), -1).reshape(6, 4, 32)
        total += (numbers - 8.0) * half.scales[..., None]
        if half.offsets is not None:
            total += half.offsets[..., None]
    whole = (blocks.packed - 128.0) * blocks.scales[..., None]
    np.testing.assert_allclose(total, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "F16"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_products_of_int8_are_close_to_those_of_the_same_weights(
    decoder: Decoders, tmp_path: Path, kind: str, architecture: str
) -> None:
    path = write_gguf(tmp_path / "model.gguf", kind, architecture=architecture)
    ours, reference = decoder(path, precision=Precision.INT8), Reference(path)
    for prompt in prompts(8):
        reference.forget()
        wanted = reference.read(prompt)
        found = after(ours, prompt)
        assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.1 * wanted.std()


@pytest.mark.parametrize("precision", [Precision.QUANTISED, Precision.INT8])
def test_parts_of_other_precisions_do_not_change_a_bit_either(
    decoder: Decoders, tmp_path: Path, precision: Precision
) -> None:
    path = write_gguf(tmp_path / "model.gguf", "Q4_1")
    whole, cut = decoder(path, precision=precision), decoder(path, parts=3, precision=precision)
    for prompt in prompts(8):
        assert np.array_equal(after(cut, prompt), after(whole, prompt))


def test_positions_that_are_scaled_reach_the_network(decoder: Decoders, tmp_path: Path) -> None:
    """By a factor, and by one of each frequency."""
    said = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    path = write_gguf(tmp_path / "linear.gguf", said=said)
    rates = {"rope_freqs.weight": np.full(HEAD_DIM // 2, 4, np.float32)}
    other = write_gguf(tmp_path / "rates.gguf", tensors=rates)
    plain = write_gguf(tmp_path / "plain.gguf")
    prompt = prompts(9)[-1]
    reference = Reference(plain)
    turned = reference._turned
    reference._turned = lambda x, at: turned(x, at / 4)  # type: ignore[method-assign]
    wanted = reference.read(prompt)
    for one in (path, other):
        np.testing.assert_allclose(after(decoder(one), prompt), wanted, atol=1e-3)
    assert np.abs(after(decoder(plain), prompt) - wanted).max() > 0.1


@pytest.mark.parametrize("count", range(100))
def test_chunks_make_up_what_is_asked_for(count: int) -> None:
    for largest in CHUNKS:
        sizes = chunks(count, largest)
        assert sum(sizes) == count
        assert set(sizes) <= {1, *(each for each in CHUNKS if each <= largest)}
        assert sizes == sorted(sizes, reverse=True) and sizes.count(1) <= 1


@pytest.mark.parametrize("count", range(12))
def test_batches_take_every_sequence_once(count: int) -> None:
    for largest in BATCHES:
        sizes = batches(count, largest)
        assert sum(sizes) == count and set(sizes) <= {size for size in BATCHES if size <= largest}
