"""Generators of a configuration, prepared and with measured budgets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.backends import create_backends
from aegis_ros.backends.generators import CompiledGenerator, steps_of
from aegis_ros.config import load_config
from aegis_ros.memory import Footprint, Holding, KvShape, Taken
from aegis_ros.planning.generator_preparation import GeneratorCandidate, GeneratorPreparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rule
from aegis_ros.rationale.generators import CacheTooLarge
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import GeneratorSpec
from aegis_ros.wcet import Batch, Profile, ProfileKey, ProfileStore
from test.network.generator import vision
from test.network.generator.models import CHAT, write_gguf

MS = 1_000_000


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "tiny.gguf")
    path = tmp_path / "robot.yaml"
    path.write_text(
        "device: {backend: onnxruntime, switch_ms: 0.1, arena_mib: 64}\n"
        f"models: {{roots: ['{tmp_path}']}}\n"
        f"generators:\n  - {{name: llm, model: {tmp_path}/tiny.gguf, slots: 2, max_len: 128,\n"
        "     parts: 2, max_chunk: 8}\n"
    )
    return path


def prepared(
    config: Path,
    *,
    measured: bool = True,
    changed: str = "",
    to: str = "",
    memory: Sequence[Holding] = (),
    more: int | None = None,
) -> GeneratorCandidate:
    """Prepare the generator of a file, whose parts take 2 ms each where they are measured.

    Where it is weighed, it takes so much ``more`` than its files and its cache.
    """
    if changed:
        config.write_text(config.read_text().replace(changed, to))
    spec = load_config(config)
    state = config.parent / "state"
    profiles = ProfileStore(state / "profiles.sqlite")
    preparation = GeneratorPreparation(
        spec, create_backends(spec.device), profiles, state / "cache"
    )

    def measure(
        spec: GeneratorSpec, model: CompiledGenerator, keys: Mapping[Shape, ProfileKey]
    ) -> None:
        for shape, key in keys.items():
            parts = steps_of(model, [shape])[1]
            samples = np.full((50, parts), 2 * MS, np.int64)
            profiles.put(Profile(key, "", (Batch(samples, 1),)))

    def weigh(
        spec: GeneratorSpec,
        compiled: CompiledGenerator,
        *,
        shapes: Sequence[Shape],
        cache: KvShape,
        key: ProfileKey,
    ) -> Taken:
        assert more is not None
        found = Taken(compiled.footprint(cache).total + more, 1 << 40)
        profiles.note_taken(key, found, 1)
        return found

    return preparation.prepare(
        spec.generators[0],
        measure if measured else None,
        memory,
        None if more is None else weigh,
    )


def test_every_bucket_has_a_budget_for_each_part(config: Path) -> None:
    found = prepared(config)
    assert [each.name for each in found.buckets] == [
        "prefill 2", "prefill 4", "prefill 8", "decode 1", "decode 2",
    ]  # fmt: skip
    assert [len(each.parts_ns) for each in found.buckets] == [2, 2, 2, 3, 3]  # and logits
    assert (found.cache.slots, found.cache.max_len) == (2, 128)
    assert found.lane == "main"
    holding = found.holding()
    assert holding.footprint.state == 2 * 128 * found.cache.token_bytes
    assert holding.footprint.weights > 0


def test_what_was_measured_is_not_measured_again(config: Path) -> None:
    first = prepared(config)
    assert prepared(config, measured=False).buckets == first.buckets


def test_what_it_took_in_memory_counts_in_place_of_the_size_of_its_files(config: Path) -> None:
    guessed = prepared(config)
    assert guessed.taken is None
    seen = prepared(config, more=5 * 2**20)
    assert seen.holding().footprint.total == guessed.holding().footprint.total + 5 * 2**20
    assert seen.weights.activations == 5 * 2**20
    assert prepared(config).holding() == seen.holding()  # as it is kept
    assert prepared(config, changed="slots: 2", to="slots: 4").taken is None


def test_what_takes_less_than_its_files_holds_that(config: Path) -> None:
    guessed = prepared(config).holding().footprint
    seen = prepared(config, more=-1000).holding().footprint
    assert (seen.weights, seen.activations) == (guessed.weights - 1000, 0)


@pytest.mark.parametrize("again", [{"more": 100 * 2**20}, {"measured": False}])
def test_what_does_not_fit_once_it_is_weighed_is_refused_before_it_is_measured(
    config: Path, again: dict[str, Any]
) -> None:
    for how in ({"more": 100 * 2**20}, again):
        with pytest.raises(Refusal) as caught:
            prepared(config, **how)
        assert caught.value.rule is Rule.ARENA


@pytest.mark.parametrize(
    ("changed", "to"), [("parts: 2", "parts: 3"), ("slots: 2", "slots: 4"), ("128", "64")]
)
def test_what_was_measured_is_true_of_these_parts_slots_and_lengths_only(
    config: Path, changed: str, to: str
) -> None:
    prepared(config)
    with pytest.raises(Refusal) as caught:
        prepared(config, measured=False, changed=changed, to=to)
    assert caught.value.rule is Rule.WCET_PROFILE


def test_a_cache_that_does_not_fit_is_refused_before_it_is_measured(config: Path) -> None:
    found = prepared(config)
    slots = {"changed": "slots: 2", "to": "slots: 4"}
    fits = 64 * 2**20 - found.weights.total - 2 * found.cache.footprint.total

    def holding(nbytes: int) -> list[Holding]:
        return [Holding(("map",), Footprint(weights=nbytes))]

    for measured in (False, True):
        with pytest.raises(Refusal, match="3 slots of that length") as caught:
            prepared(config, measured=measured, **slots, memory=holding(fits + 1))
        reason = caught.value.reason
        assert isinstance(reason, CacheTooLarge)
        assert [(each.task, each.freed_bytes) for each in reason.holders] == [("map", fits + 1)]
        changes = [(each.change, each.task, each.value) for each in reason.counterfactuals]
        assert changes == [("arena_mib", "llm", 65), ("drop", "map", 0)]
    assert prepared(config, **slots, memory=holding(fits)).cache.slots == 4


@pytest.mark.parametrize(
    ("template", "system", "said"),
    [
        (None, "", "no chat template"),
        ("{{ nosuch.thing.at.all }}", "", "the chat template cannot be rendered"),
        ("{{ raise_exception('no system here') }}", "Be brief.", "no system here"),
        ("{{ 'ab ' * 100 }}", "", "max_len: .*no room for an answer .*Raise max_len"),
        (CHAT, "Be brief. " * 20, "system: .*no room for an answer .*Shorten system, or raise"),
        (CHAT, " ", "system: the prompt is empty"),
    ],
)
def test_one_that_could_answer_nothing_is_refused_before_it_is_measured(
    config: Path, template: str | None, system: str, said: str
) -> None:
    write_gguf(config.parent / "tiny.gguf", said={"tokenizer.chat_template": template})
    with pytest.raises(Refusal, match=said):
        prepared(
            config,
            measured=False,
            changed="parts: 2",
            to=f"parts: 2, system: {json.dumps(system)}",
        )


def test_an_instruction_that_leaves_room_for_one_token_is_no_matter(config: Path) -> None:
    write_gguf(
        config.parent / "tiny.gguf",
        said={
            "tokenizer.chat_template": "{% for each in messages %}{{ each.content }}{% endfor %}"
        },
    )
    fits = f"system: {'q' * 126}"  # 126 tokens, and one for the shortest prompt
    assert prepared(config, changed="parts: 2", to=f"parts: 2, {fits}").cache.max_len == 128
    with pytest.raises(Refusal, match="128 tokens with a prompt of one character"):
        prepared(config, changed=fits, to=f"{fits}q")


@pytest.mark.parametrize("key", ["prefix", "suffix", "system"])
def test_what_stands_around_prompts_by_topic_is_tried_too(config: Path, key: str) -> None:
    text = "{% for each in messages %}{{ each.content }}{% endfor %}"
    write_gguf(config.parent / "tiny.gguf", said={"tokenizer.chat_template": text})
    fits = f"prompts: {{topic: /ask, answers: /said, {key}: {'q' * 126}}}"
    assert prepared(config, changed="parts: 2", to=f"parts: 2, {fits}").cache.max_len == 128
    with pytest.raises(Refusal, match=r"prompts: the chat template .* leave no room"):
        prepared(config, changed=f"{key}: q", to=f"{key}: qq")


@pytest.mark.parametrize(
    ("changed", "to", "said"),
    [
        ("parts: 2", "parts: 9", "1 to 3, the number of its layers"),
        ("max_len: 128", "max_len: 4096", "256"),
        ("arena_mib: 64", "arena_mib: 0.01", "arena"),
        ("tiny.gguf, slots", "gone.gguf, slots", "gone.gguf"),
        ("parts: 2", f"parts: 2, sha256: '{'0' * 64}'", "not the one that was declared"),
        ("parts: 2", "parts: 2, tokenizer: /etc/passwd", "/etc/passwd"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    config: Path, changed: str, to: str, said: str
) -> None:
    with pytest.raises(Refusal) as caught:
        prepared(config, changed=changed, to=to)
    assert said in caught.value.sentence


def test_one_that_answers_about_images_has_their_encoder_measured_and_counted(config: Path) -> None:
    path = vision.write_vlm(config.parent / "seeing")
    blind = prepared(config, changed=f"{config.parent}/tiny.gguf", to=str(path))
    names = [each.name for each in blind.buckets]
    assert names == ["prefill 2", "prefill 4", "prefill 8", "decode 1"]
    seeing = {"changed": "parts: 2", "to": "parts: 2, image: {topic: /eye, parts: 3}"}
    found = prepared(config, **seeing)
    assert [each.name for each in found.buckets] == [*names[:3], "encode 16", "decode 1"]
    assert len(found.buckets[3].parts_ns) == 3
    rows, pixels = 16 * 32 * 4, 16 * 16 * 3
    holding = found.holding().footprint
    assert holding.state == found.cache.footprint.total + rows
    assert holding.staging == 2 * pixels
    assert holding.weights > blind.holding().footprint.weights
    with pytest.raises(Refusal, match="image: the model takes no images"):
        prepared(config, changed=str(path), to=f"{config.parent}/tiny.gguf")
