"""Generators of a configuration: what may be said of them."""

from __future__ import annotations

import pytest

from aegis_ros.config import parse_config
from aegis_ros.config.load import parse_placed
from aegis_ros.errors import ConfigError
from aegis_ros.spec import ImageTopicSpec, PromptsSpec, WhenFull

TWO_LANES = "device: {lanes: [{name: left}, {name: right}]}\n"


def generators(more: str = "", before: str = "") -> str:
    return f"{before}generators:\n  - {{name: llm, model: /models/model.gguf{more}}}\n"


def prompts(more: str) -> str:
    return f", prompts: {{{more}}}"


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "robot.yaml")
    return str(caught.value)


def test_a_name_and_a_model_are_enough() -> None:
    (found,) = parse_config(generators()).generators
    assert (found.name, found.model) == ("llm", "/models/model.gguf")
    assert (found.slots, found.max_len, found.parts, found.lane) == (1, 1024, 1, "")
    assert found.tokens_per_s == 0.0
    assert found.precision == "quantised"


@pytest.mark.parametrize(
    ("more", "where", "expected"),
    [
        (", max_chunk: 5", "generators[0].max_chunk", "32"),
        (", slots: 0", "generators[0].slots", "at least 1"),
        (", precision: fp16", "generators[0].precision", "quantised"),
        (", max_len: 100, max_tokens: 100", "generators[0].max_tokens", "less than max_len"),
        (", slots: 4, max_batch: 2, tokens_per_s: 1", "generators[0].tokens_per_s", "2 slots"),
        (", temperature: 1", "generators[0].temperature", ""),
        (", lane: left", "generators[0].lane", "main"),
        (prompts("topic: /ask"), "generators[0].prompts.answers", ""),
        (", prompts: /ask", "generators[0].prompts", "{topic: /ask}"),
        (prompts("topic: /9, answers: /b"), "generators[0].prompts.topic", "a ROS topic name"),
        (prompts("topic: /a, answers: /a"), "generators[0].prompts.answers", "of its own"),
        (prompts("topic: /a, answers: /b, queue: 0"), "generators[0].prompts.queue", "at least 1"),
        (prompts("topic: /a, answers: /b, queue: 65"), "generators[0].prompts.queue", "64"),
        (prompts("topic: /a, answers: /b, qos: fast"), "generators[0].prompts.qos", "reliable"),
        (
            prompts("topic: /a, answers: /b, when_full: newest"),
            "generators[0].prompts.when_full",
            "'replace' or 'refuse'",
        ),
        (prompts("topic: /a, answers: /b, period_ms: -1"), "generators[0].prompts.period_ms", "0"),
        (prompts("topic: /a, answers: /b, at_once: 2"), "generators[0].prompts.at_once", "is 1"),
        (prompts("topic: /a, answers: /b, top_p: 0"), "generators[0].prompts.top_p", "above 0"),
        (prompts("topic: /a, answers: /b, stop: ['']"), "generators[0].prompts.stop[0]", "1"),
        (
            prompts("topic: /a, answers: /b, max_tokens: 1024"),
            "generators[0].prompts.max_tokens",
            "less than max_len",
        ),
        (prompts("topic: /a, answers: /b, prefx: x"), "generators[0].prompts.prefx", "prefix"),
        (prompts("answers: /b"), "generators[0].prompts.topic", "or text for a standing one"),
        (prompts("topic: /a, text: x, answers: /b"), "generators[0].prompts.topic", "or text"),
        (prompts("text: x, answers: /b"), "generators[0].prompts.period_ms", "as 5000"),
        (
            prompts("text: x, answers: /b, period_ms: 9, prefix: y"),
            "generators[0].prompts.prefix",
            "left out",
        ),
        (
            prompts("text: x, answers: /b, period_ms: 9"),
            "generators[0].prompts.text",
            "image: {topic: …}",
        ),
        (", image: {others: [/a], topic: /a}", "generators[0].image.others", "each topic once"),
        (", image: {topic: /a, type: Image}", "generators[0].image.type", "CompressedImage"),
    ],
)
def test_a_mistake_is_named_with_its_line(more: str, where: str, expected: str) -> None:
    text = refusal(generators(more))
    assert f"robot.yaml:2: {where}" in text
    assert expected in text


def test_prompts_come_by_topic_where_one_is_named() -> None:
    assert parse_config(generators()).generators[0].prompts is None
    keys = "topic: /ask, answers: ~/said, period_ms: 500, when_full: refuse, stop: [x], prefix: 'A'"
    (found,) = parse_config(generators(prompts(keys))).generators
    assert found.prompts == PromptsSpec(
        "/ask",
        "~/said",
        period_ns=500_000_000,
        when_full=WhenFull.REFUSE,
        stop=("x",),
        prefix="A",
    )


def test_images_come_by_topic_where_one_is_named() -> None:
    keys = ", image: {topic: /eye, max_age_ms: 250, parts: 12}"
    (found,) = parse_config(generators(keys)).generators
    assert found.image == ImageTopicSpec("/eye", max_age_ns=250_000_000, parts=12)
    text = refusal(generators(keys.replace("eye, ", "eye, qos: lossy, ")))
    assert "generators[0].image.qos" in text
    both = keys + prompts("topic: /eye, answers: /b")
    assert "used with type sensor_msgs/msg/Image" in refusal(generators(both))
    named = (
        ", image: {others: [/left, /b], type: sensor_msgs/msg/CompressedImage, max_size: [9, 8]}"
    )
    (found,) = parse_config(generators(named)).generators
    assert found.image is not None and found.image.topics == ("/left", "/b")
    assert (found.image.topic, found.image.max_size) == ("", (9, 8))
    text = refusal(generators(named + prompts("topic: /ask, answers: /b")))
    assert "CompressedImage by generators[0].image.others[1]" in text
    (bare,) = parse_config(generators(", image: {}")).generators
    assert bare.image == ImageTopicSpec(), "for images that are attached"


def test_a_standing_prompt_is_asked_at_a_rate_about_the_images_of_a_topic() -> None:
    keys = ", image: {topic: /eye}" + prompts("text: What is it?, answers: /b, period_ms: 2000")
    (found,) = parse_config(generators(keys)).generators
    assert found.prompts == PromptsSpec("", "/b", text="What is it?", period_ns=2_000_000_000)


def test_a_topic_has_one_type_in_a_file() -> None:
    task = (
        "tasks:\n  - {name: eye, model: n.onnx, period_ms: 9, input: {topic: /a}, "
        "output: {topic: /b}}\n"
    )
    text = refusal(generators(prompts("topic: /a, answers: /b"), before=task))
    assert "used with type sensor_msgs/msg/Image by tasks[0].input.topic" in text
    assert "used with type aegis_ros/msg/InferenceResult by tasks[0].output.topic" in text
    assert "robot.yaml:4: generators[0].prompts.answers" in text
    parse_config(generators(prompts("topic: /c, answers: /d"), before=task))


def test_a_generator_cannot_have_the_name_of_a_task() -> None:
    task = (
        "tasks:\n  - {name: llm, model: n.onnx, period_ms: 9, input: {topic: /a}, "
        "output: {topic: /b}}\n"
    )
    text = refusal(generators(before=task))
    assert "the name is taken by tasks[0]" in text
    assert "generators[0].name" in text


def test_a_generator_names_its_lane_where_there_are_several() -> None:
    assert "expected one of left, right" in refusal(generators(before=TWO_LANES))
    (found,) = parse_config(generators(", lane: right", TWO_LANES)).generators
    assert found.lane == "right"


def test_a_generator_does_not_go_to_lanes_that_are_chosen() -> None:
    text = refusal(generators(before="device: {lanes: auto}\n"))
    assert "Write the lanes down in device.lanes" in text


def test_a_refusal_of_a_generator_is_at_its_place_in_the_file() -> None:
    _, places = parse_placed(generators(), "robot.yaml")
    assert places.of_task("llm") == "robot.yaml:2: generators[0]"
    assert str(places.refused("llm", "model: gone")).startswith("robot.yaml:2: generators[0].model")
