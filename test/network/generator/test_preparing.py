"""From a file to a model that answers, through the contained child processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.errors import AegisError, ConfigError, ModelError
from aegis_ros.network.generator import conversion_child
from aegis_ros.network.generator.answering import Answer, Question, answered
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.facts import Precision
from aegis_ros.network.generator.preparing import (
    PreparedGenerator,
    TokenizerFiles,
    prepare_generator,
    tokenizer_of,
)
from aegis_ros.network.generator.prompt import Message, encoded
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.network.model_file import ModelFile
from test.network.generator.export import write_export
from test.network.generator.models import CONTEXT, tokens, write_gguf
from test.network.generator.reference import Reference

Prepare = Callable[..., PreparedGenerator]


@pytest.fixture(scope="module")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    cache = tmp_path_factory.mktemp("cache")

    def prepared(path: Path, **options: Any) -> PreparedGenerator:
        with ModelFile(path) as file:
            return prepare_generator(file, cache_dir=cache, **options)

    return prepared


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("model") / "model.gguf")


@pytest.fixture(scope="module")
def model(prepare: Prepare, path: Path) -> PreparedGenerator:
    return prepare(path, parts=2, precision=Precision.FLOAT32)


def answers(
    model: PreparedGenerator, prompts: list[list[int]], *, slots: int = 1, **options: Any
) -> list[tuple[str, Answer]]:
    with model.opened() as paths:
        decoder = Decoder(model.facts, paths, context=model.facts.context, slots=slots)
    sampling = Sampling(**options.pop("sampling", {}))
    asked = [Question(tokens=ids, sampling=sampling, **{"most": 24} | options) for ids in prompts]
    found = [Answer(model.facts, model.pieces, question) for question in asked]
    texts = dict.fromkeys(found, "")
    for one, text in answered(decoder, found):
        texts[one] += text
    return [(texts[one], one) for one in found]


def answer(model: PreparedGenerator, ids: list[int], **options: Any) -> tuple[str, Answer]:
    return answers(model, [ids], **options)[0]


def test_an_answer_is_that_of_the_reference(model: PreparedGenerator, path: Path) -> None:
    ids = encoded(model, [Message("user", "What is in the box?")])
    shown = "".join(tokens()[each] for each in ids).replace("Ġ", " ").replace("Ċ", "\n")
    assert shown == "<|start|>user\nWhat is in the box?<|end|>\n<|start|>assistant\n"
    text, found = answer(model, ids)
    wanted = Reference(path).greedy(ids, 24, model.facts.ends)
    assert found.tokens == wanted and found.ending in (Ending.LENGTH, Ending.END)
    assert text == b"".join(model.pieces[each] for each in wanted).decode(errors="replace")


def test_it_is_prepared_once(prepare: Prepare, path: Path, model: PreparedGenerator) -> None:
    again = prepare(path, parts=2, precision=Precision.FLOAT32)
    assert again == model
    assert len(model.parts) == 3  # two groups of layers, and the logits
    assert model.facts.context == CONTEXT and model.facts.cached_by == 2


def test_an_answer_ends_where_it_must(model: PreparedGenerator) -> None:
    ids = encoded(model, [Message("user", "in the")], template=False)
    long, found = answer(model, ids, most=60)
    assert len(found.tokens) <= 60
    stop = long[4:7]
    text, found = answer(model, ids, most=60, stops=(stop,))
    assert (text, found.ending) == (long[: long.index(stop)], Ending.STOP)
    # As many tokens as the context has room for: the last one is never put into the cache.
    _, found = answer(model, [7] * (CONTEXT - 3), most=60)
    if found.ending is not Ending.END:
        assert (found.ending, len(found.tokens)) == (Ending.CONTEXT, 4)
    with pytest.raises(ConfigError, match="max_tokens"):
        answer(model, ids, most=0)


@pytest.mark.parametrize("slots", [1, 2, 3, 4])
def test_many_at_once_are_answered_as_each_alone(model: PreparedGenerator, slots: int) -> None:
    """In float32: those that end make room for those that wait, whatever their lengths."""
    prompts = [[5 + 7 * number] * (1 + 3 * number % 11) for number in range(9)]
    # A stop ends some of them early, so that slots change hands.
    alone = [answer(model, ids) for ids in prompts]
    stop = alone[4][0][5]
    alone = [answer(model, ids, stops=(stop,)) for ids in prompts]
    assert {one.ending for _, one in alone} >= {Ending.STOP, Ending.LENGTH}
    together = answers(model, prompts, slots=slots, stops=(stop,))
    for (text, one), (wanted, other) in zip(together, alone, strict=True):
        assert (text, one.tokens, one.ending) == (wanted, other.tokens, other.ending)


def test_a_seed_repeats_an_answer(model: PreparedGenerator) -> None:
    drawn = {"temperature": 1.5, "top_p": 0.95, "seed": 3}
    _, one = answer(model, [1, 2, 3], sampling=drawn)
    _, two = answer(model, [1, 2, 3], sampling=drawn, chunk=2)
    _, other = answer(model, [1, 2, 3], sampling=drawn | {"seed": 4})
    assert one.tokens == two.tokens != other.tokens


def test_an_export_needs_and_finds_the_files_beside_it(
    prepare: Prepare, model: PreparedGenerator, tmp_path: Path
) -> None:
    path = write_export(tmp_path / "whole", model.tokenizer.read_text(encoding="utf-8"))
    beside = tokenizer_of(str(path), [str(path.parent)])
    ready = prepare(path, tokenizer=beside, parts=3)
    assert ready.facts.grows and ready.facts.context == 128
    assert ready.facts.template == model.facts.template
    text, found = answer(ready, encoded(ready, [Message("user", "in the")]))
    assert found.tokens and isinstance(text, str)
    prompts = [[5, 6, 7], [80], [9] * 20]
    together = answers(ready, prompts, slots=2)
    for ids, (_, one) in zip(prompts, together, strict=True):
        assert one.tokens == answer(ready, ids)[1].tokens
    alone = write_export(tmp_path / "alone", "")
    assert tokenizer_of(str(alone), [str(alone.parent)]) is None
    with pytest.raises(ModelError, match="holds no tokenizer") as told:
        prepare(alone)
    assert told.value.where == "tokenizer"


def test_another_tokenizer_stands_for_that_of_a_gguf_file(
    prepare: Prepare, model: PreparedGenerator, path: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.json"
    own.write_bytes(model.tokenizer.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    files = tokenizer_of(str(path), [], own, embedded=True)
    ready = prepare(path, tokenizer=files)
    assert ready.facts.template == "" and ready.pieces == model.pieces
    with pytest.raises(ModelError, match="no chat template") as told:
        encoded(ready, [Message("user", "x")])
    assert told.value.where == "tokenizer.chat_template"


@pytest.mark.parametrize(
    ("said", "tensors", "options", "where", "says"),
    [
        ({"llama.block_count": None}, {}, {}, "llama.block_count", "not valid"),
        ({"llama.block_count": 4}, {}, {}, "model", "no tensor 'blk.3.attn_norm.weight'"),
        ({"llama.embedding_length": 32}, {}, {}, "model", "does not fit"),
        ({"llama.attention.head_count_kv": 3}, {}, {}, "llama.attention.head_count_kv", "fit each"),
        ({"llama.expert_count": 8}, {}, {}, "llama.expert_count", "not supported"),
        ({"llama.rope.scaling.type": "yarn"}, {}, {}, "llama.rope.scaling.type", "not supported"),
        ({"llama.rope.freq_base": "x"}, {}, {}, "llama.rope.freq_base", "not valid"),
        ({}, {"output_norm.weight": None}, {}, "model", "no tensor 'output_norm.weight'"),
        ({}, {"blk.0.surprise.weight": np.ones(4, np.float32)}, {}, "model", "does not know"),
        (
            {},
            {"output_norm.weight": np.full(64, np.nan, np.float32)},
            {},
            "model",
            "no finite numbers",
        ),
        ({}, {}, {"context": CONTEXT + 1}, "context", "longer than the model's"),
        ({}, {}, {"parts": 4}, "parts", "so many parts"),
        ({"tokenizer.ggml.tokens": None}, {}, {}, "tokenizer.ggml.tokens", "no tokenizer"),
    ],
)
def test_a_model_that_cannot_run_is_refused_by_its_field(
    tmp_path: Path,
    said: dict[str, Any],
    tensors: dict[str, Any],
    options: dict[str, Any],
    where: str,
    says: str,
) -> None:
    """What the child process refuses, asked in this one."""
    path = write_gguf(tmp_path / "model.gguf", said=said, tensors=tensors)
    with ModelFile(path) as file, pytest.raises(ModelError) as told:
        conversion_child.answer(
            {
                "descriptor": file.descriptor,
                "digest": file.digest,
                "name": path.name,
                "gguf": True,
                "folder": str(tmp_path),
                "tokenizer": None,
                "precision": "quantised",
                "context": 0,
                "parts": 1,
            }
            | options
        )
    assert told.value.where == where and says in told.value.problem


def test_an_unknown_architecture_is_told(prepare: Prepare, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf", architecture="mamba")
    with pytest.raises(ModelError) as told:
        prepare(path)
    assert told.value.where == "general.architecture" and "mamba" in told.value.value


def test_a_file_that_is_cut_anywhere_is_refused_and_harms_nothing(
    prepare: Prepare, path: Path, tmp_path: Path
) -> None:
    content = path.read_bytes()
    for share in (0.0001, 0.02, 0.999):  # in a key, among the tensors' names, in the weights
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ModelError):
            prepare(cut)


def test_lengths_that_make_no_sense_end_in_an_error(
    prepare: Prepare, path: Path, tmp_path: Path
) -> None:
    """Each number in the head, as large as can be."""
    content = bytearray(path.read_bytes())
    bent = tmp_path / "bent.gguf"
    for at in (8, 16, 24):  # tensors, keys, characters of the first key
        bent.write_bytes(content[:at] + b"\xff" * 7 + b"\x7f" + content[at + 8 :])
        with pytest.raises(ModelError):
            prepare(bent, timeout_s=60)


def test_text_that_is_no_utf8_in_a_file_is_told(
    prepare: Prepare, path: Path, tmp_path: Path
) -> None:
    bent = tmp_path / "bent.gguf"
    bent.write_bytes(path.read_bytes().replace(b"{% for message", b"{% for\xff\xfemessag"))
    with pytest.raises(ModelError, match="not UTF-8") as told:
        prepare(bent)
    assert told.value.where == "tokenizer.chat_template"


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("", "prompt", "empty"),
        (" \n\t", "prompt", "empty"),
        ("a\udcff", "prompt", "not valid UTF-8"),
        ("x" * (1024 * 1024 + 1), "prompt", "too long"),
        ("x" * (1024 * 1024), "prompt", "does not fit into the context"),
    ],
)
def test_a_prompt_that_cannot_be_answered_is_told(
    model: PreparedGenerator, text: str, where: str, says: str
) -> None:
    with pytest.raises(ConfigError) as told:
        encoded(model, [Message("user", text)])
    assert told.value.where == where and says in told.value.problem


def test_messages_are_named_by_their_number(model: PreparedGenerator) -> None:
    with pytest.raises(ConfigError, match=r"^messages\[1\]: the prompt is empty"):
        encoded(model, [Message("system", "Be brief."), Message("user", "")])
    with pytest.raises(ConfigError, match=r"^prompt\.role: unknown role"):
        encoded(model, [Message("wizard", "x")])


def test_a_prompt_may_fill_the_context_but_for_one_token(model: PreparedGenerator) -> None:
    assert (
        len(encoded(model, [Message("user", "x" * (CONTEXT - 1))], template=False)) == CONTEXT - 1
    )
    with pytest.raises(ConfigError, match=f"at most {CONTEXT - 1} tokens"):
        encoded(model, [Message("user", "x" * CONTEXT)], template=False)


def test_a_template_that_loops_is_ended(prepare: Prepare, path: Path, tmp_path: Path) -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    endless = prepare(write_gguf(tmp_path / "model.gguf", said={"tokenizer.chat_template": loop}))
    with pytest.raises(AegisError, match="longer than 1 s"):
        encoded(endless, [Message("user", "x")], timeout_s=1)


def test_files_beside_a_model_are_bounded_and_must_make_sense(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ModelError, match=r"config\.json"):
        tokenizer_of(str(path), [str(tmp_path)])
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 99}))
    assert tokenizer_of(str(path), [str(tmp_path)]) == TokenizerFiles("{}", "", 99)
    (tmp_path / "tokenizer.json").unlink()
    os.symlink("/etc/hostname", tmp_path / "tokenizer.json")
    assert tokenizer_of(str(path), [str(tmp_path)]) is None  # it lies outside the roots
    with pytest.raises(ModelError) as told:
        tokenizer_of(str(path), [], tmp_path / "nosuch.json")
    assert told.value.where == "--tokenizer"
