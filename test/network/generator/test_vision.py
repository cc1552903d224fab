"""Vision-language models: an export of three graphs that answers about an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.errors import ConfigError, InputError, ModelError
from aegis_ros.network.generator.answering import Answer, Question, answered
from aegis_ros.network.generator.chat import rendered
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.network.generator.vision.facts import ImageFacts, image_rows
from aegis_ros.network.generator.vision.pixels import pixels_of
from aegis_ros.network.generator.vision.prompting import chat_text, with_image
from aegis_ros.network.generator.vision.published import vision_of
from test.network.generator.models import CHAT
from test.network.generator.vision import (
    AROUND,
    EDGE,
    GLOBAL,
    IMAGE,
    LISTS,
    ROWS,
    TOKEN,
    encoder,
    greedy,
    made,
    picture,
    prompt,
    write_vlm,
)

PROMPT = prompt()


def decoder(model: CompiledGenerator, slots: int = 1) -> Decoder:
    return Decoder(model.facts, model.paths, context=model.facts.context, slots=slots)


def answer(model: CompiledGenerator, image: np.ndarray | None, chunk: int = 32) -> list[int]:
    question = Question(tokens=PROMPT, sampling=Sampling(), most=16, chunk=chunk, image=image)
    one = Answer(model.facts, [b""] * model.facts.vocabulary, question)
    for _ in answered(decoder(model), [one]):
        pass
    return one.tokens


@pytest.mark.parametrize("kind", ["smolvlm", "llava"])
def test_an_answer_about_an_image_is_that_of_the_three_graphs(tmp_path: Path, kind: str) -> None:
    path = write_vlm(tmp_path / "model", kind=kind)
    model = made(path, tmp_path / "made", parts=2, image_parts=3)
    assert model.facts.image is not None and len(model.paths) == 5
    assert (model.facts.image.rows, model.facts.image.parts) == (ROWS, 3)
    images = [picture(1), picture(2)]
    found = [answer(model, image) for image in images]
    assert found == [greedy(path.parent.parent, PROMPT, image, 16) for image in images]
    assert found[0] != found[1]


def test_chunks_and_parts_do_not_change_a_bit_of_what_is_made_of_an_image(tmp_path: Path) -> None:
    path = write_vlm(tmp_path / "model")
    whole = made(path, tmp_path / "whole")
    cut = made(path, tmp_path / "cut", parts=3, image_parts=4)
    logits = []
    for model, sizes in ((whole, [22]), (cut, [22]), (cut, [2] * 11), (cut, [8, 8, 4, 2])):
        running = decoder(model, slots=2)
        image = model.facts.image
        assert image is not None and running.encoder is not None
        running.show(running.encoder.encode(picture(2)), slot=0)
        running.show(running.encoder.encode(picture(1)), slot=1)
        rows = image_rows(PROMPT, image)
        at = 0
        for size in sizes:
            for slot in (0, 1):  # one does not see the image of the other
                running.prefill(PROMPT[at : at + size], slot=slot, rows=rows[at : at + size])
            at += size
        logits.append([running.decode([70], slot=slot) for slot in (0, 1)])
    assert all(np.array_equal(one, logits[0]) for one in logits[1:])
    assert not np.array_equal(*logits[0])


def test_a_prompt_without_an_image_is_that_of_a_language_model(tmp_path: Path) -> None:
    path = write_vlm(tmp_path / "model")
    running = decoder(made(path, tmp_path / "made"), slots=2)
    assert running.encoder is not None
    running.show(running.encoder.encode(picture(1)), slot=1)
    for slot in (0, 1):
        running.prefill([5, 6, 7], slot=slot)
    logits = [running.decode([8], slot=slot) for slot in (0, 1)]
    assert np.array_equal(*logits)


@pytest.mark.parametrize(
    ("changed", "options", "where", "says"),
    [
        ({}, {"width": 24}, "vision_encoder: image_features", "not that of the decoder"),
        ({}, {"sizes": (EDGE, 2 * EDGE)}, "vision_encoder: pixel_values", "other images"),
        ({}, {"extra": ["image_grid_thw"]}, "vision_encoder", "'image_grid_thw'"),
        ({"config": {"image_token_id": None}}, {}, "config.json: image_token_id", "no token"),
        ({"config": {"image_token_id": 3}}, {}, "tokenizer.json: added_tokens", "no token"),
        ({"config": {"image_token_id": TOKEN + 9}}, {}, "tokenizer.json: added_tokens", "no token"),
        ({"config": {"model_type": "qwen2_vl"}}, {}, "config.json: model_type", "not supported"),
        (
            {"preprocessor_config": {"max_image_size": {}}},
            {},
            "preprocessor_config.json: max_image_size.longest_edge",
            "size of images",
        ),
        (
            {"preprocessor_config": {"image_mean": [0.5]}},
            {},
            "preprocessor_config.json: image_mean",
            "each colour",
        ),
        (
            {"preprocessor_config": {"image_std": [1, 1, 0]}},
            {},
            "preprocessor_config.json: image_std",
            "divisor",
        ),
        (
            {"processor_config": {"image_seq_len": 9}},
            {},
            "processor_config.json: image_seq_len",
            "another number of rows",
        ),
    ],
)
def test_files_that_do_not_fit_together_are_refused_by_name(
    tmp_path: Path,
    changed: dict[str, dict[str, Any]],
    options: dict[str, Any],
    where: str,
    says: str,
) -> None:
    path = write_vlm(tmp_path / "model", changed=changed, **options)
    with pytest.raises(ModelError, match=says) as told:
        made(path, tmp_path / "made")
    assert told.value.where == where


def test_what_is_missing_beside_a_decoder_is_named(tmp_path: Path) -> None:
    path = write_vlm(tmp_path / "model")
    graphs, folder, roots = path.parent, path.parent.parent, [str(tmp_path)]
    for missing in (graphs / "embed_tokens.onnx", folder / "config.json"):
        content = missing.read_bytes()
        missing.unlink()
        with (
            pytest.raises(ModelError, match="beside the model") as told,
            vision_of(str(path), roots),
        ):
            pass
        assert told.value.where == missing.name
        missing.write_bytes(content)
    for name in ("preprocessor_config.json", "processor_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match="beside the model") as told, vision_of(str(path), roots):
        pass
    assert told.value.where == "preprocessor_config.json"
    (graphs / "vision_encoder.onnx").unlink()
    with vision_of(str(path), roots) as found:
        assert found is None
    with pytest.raises(ModelError, match="what makes them is not there") as told:
        made(path, tmp_path / "made")
    assert told.value.where == "model: inputs_embeds"


def test_the_graphs_of_a_variant_come_before_others(tmp_path: Path) -> None:
    path = write_vlm(tmp_path / "model")
    variant = path.rename(path.with_name("decoder_model_merged_q4.onnx"))
    onnx.save_model(encoder(width=8), str(path.with_name("vision_encoder_q4.onnx")))
    with vision_of(str(variant), [str(tmp_path)]) as found:
        assert found is not None
        names = [each.path.name for each in (found.encoder, found.embedding)]
    assert names == ["vision_encoder_q4.onnx", "embed_tokens.onnx"]


FACTS = ImageFacts(
    token=TOKEN,
    text=IMAGE,
    before=AROUND + GLOBAL,
    after=AROUND,
    rows=3,
    width=8,
    dtype="float32",
    height=4,
    columns=6,
    crop=False,
    parts=1,
)
ASKED = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is it?"}]


def chat(template: str, *, shown: bool) -> str:
    request = {"image": {"text": IMAGE}, "shown": shown, "shown_at": -1}
    return chat_text(ASKED, request, lambda messages: rendered(template, messages, {}))


@pytest.mark.parametrize(("template", "between"), [(LISTS, ""), (CHAT, "\n")])
def test_templates_of_lists_and_of_texts_say_where_the_image_is(
    template: str, between: str
) -> None:
    told = chat(template, shown=True)
    assert f"{IMAGE}{between}What is it?" in told and told.count(IMAGE) == 1
    without = chat(template, shown=False)
    assert "Be short." in without and without == told.replace(IMAGE + between, "")
    whole = with_image(told, {"text": IMAGE, "rows": 3, "before": "(", "after": ")"}, shown=True)
    assert f"({IMAGE * 3})" in whole and whole.count(IMAGE) == 3


def test_the_image_of_a_chat_may_belong_to_an_earlier_message() -> None:
    asked = [
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": "A cup."},
        {"role": "user", "content": "And left of it?"},
    ]
    request = {"image": {"text": IMAGE}, "shown": True, "shown_at": -3}
    told = chat_text(asked, request, lambda messages: rendered(LISTS, messages, {}))
    assert f"{IMAGE}What is it?" in told and told.count(IMAGE) == 1


def test_a_template_that_leaves_the_image_out_is_refused() -> None:
    with pytest.raises(ModelError, match="does not say where the image is"):
        chat("{{ messages[0]['content'] }}", shown=True)


@pytest.mark.parametrize(
    ("text", "shown"), [("no place", True), (f"{IMAGE} one", False), (IMAGE * 2, True)]
)
def test_a_prompt_has_as_many_places_as_images(text: str, shown: bool) -> None:
    with pytest.raises(ConfigError, match="places for an image"):
        with_image(text, {"text": IMAGE, "rows": 3, "before": "", "after": ""}, shown=shown)
    with pytest.raises(ConfigError, match="token of an image"):
        chat_text(
            [{"role": "user", "content": IMAGE}],
            {"image": {"text": IMAGE}, "shown": shown, "shown_at": -1},
            lambda messages: "",
        )


def test_an_image_is_stretched_or_its_middle_is_taken() -> None:
    image = np.zeros((40, 120, 3), np.uint8)
    image[:, 30:90, 0] = 200  # the middle of that shape is red
    stretched = pixels_of(image, FACTS)
    assert stretched.shape == (4, 6, 3)
    assert stretched[0, :, 0].tolist() == [0, 100, 200, 200, 100, 0]
    middle = pixels_of(image, replace(FACTS, crop=True))
    assert (middle[..., 0] == 200).all() and (middle[..., 1:] == 0).all()
    same = picture(1, (4, 6))
    assert np.array_equal(pixels_of(same, FACTS), same)
    assert pixels_of(picture(1, (2, 3)), FACTS).shape == (4, 6, 3)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (0, 6, 3)])
def test_what_is_no_image_in_colour_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="not an image in colour"):
        pixels_of(np.zeros(shape, np.uint8), FACTS)
