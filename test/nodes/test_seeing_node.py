"""A vision-language model beside a vision task: the real node and engine, images over real DDS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.action import Generate
from aegis_ros.msg import GeneratorAnswer

from aegis_ros.chat import Message, Question
from aegis_ros.nodes.chat import goal_of
from aegis_ros.nodes.goals import GoalClient
from test.network.generator.vision import ROWS, write_vlm
from test.nodes.system import WAIT_SECONDS, System, running

TASKS = """\
  - {{name: eye, model: {folder}/identity.onnx, period_ms: 200, wcet_ms: 0.01,
     input: {{topic: /eye/image, max_size: [64, 64]}},
     preprocess: {{size: [12, 16], resize: stretch}}, output: {{topic: /eye/result}}}}
"""
GENERATORS = """\
generators:
  - {{name: seer, model: {decoder}, max_len: 128, parts: 2,
     image: {{topic: /eye/image, parts: 3, max_age_ms: 60000}},
     prompts: {{text: What is it?, answers: /eye/said, period_ms: 500, max_tokens: 3}}}}
"""


def test_prompts_are_about_an_image_that_is_attached_or_the_newest_one(tmp_path: Path) -> None:
    decoder = write_vlm(tmp_path / "seeing")
    more = GENERATORS.format(decoder=decoder)
    with running(tmp_path, TASKS.format(folder=tmp_path), more=more) as system:
        client = GoalClient(system.robot, Generate, "/orchestrator/generate")
        assert client.wait_for_server(WAIT_SECONDS)

        def ask(goal: Generate.Goal | None = None, **fields: Any) -> Any:
            goal = goal or Generate.Goal(prompt="?", max_tokens=6, **fields)
            sent = system.wait_for(client.send_goal_async(goal))
            return system.wait_for(sent.get_result_async()).result

        refused = ask()
        assert refused.ended == "refused"
        assert "/eye/image: no image has come yet" in refused.rationale.sentence
        refused = ask(image_topic="/front")
        assert "image_topic: the generator takes no images from" in refused.rationale.sentence
        attached = ask(image=system.image())
        assert attached.success, attached.rationale.sentence
        assert attached.tokens > 0 and attached.prompt_tokens > ROWS
        _, jpeg = cv2.imencode(".jpg", np.zeros((30, 40, 3), np.uint8))
        chat = (Message("user", "?", with_image=True), Message("user", "!"))
        for image, success in ((bytes(jpeg), True), (bytes(jpeg)[:-40], False)):
            question = Question("seer", chat, 6, 0.0, 1.0, 0, (), image)
            found = ask(goal_of(question))
            assert found.success is success
        assert "compressed_image.data" in found.rationale.sentence
        _is_told_of_the_newest(system, ask)
        client.destroy()


def _is_told_of_the_newest(system: System, ask: Callable[[], Any]) -> None:
    said: list[GeneratorAnswer] = []
    heard = system.robot.create_subscription(GeneratorAnswer, "/eye/said", said.append, 10)
    camera = system.camera("eye")
    answers: list[Any] = []

    def answered() -> bool:
        answers.append(ask())
        return bool(answers[-1].success)

    image = system.image()
    image.header.frame_id = "lens"
    system.until(answered, lambda: camera.publish(image))
    assert answers[-1].tokens > 0 and answers[-1].prompt_tokens > ROWS
    assert answers[-1].image_header.frame_id == "lens"
    system.until(lambda: [each for each in said if each.success], lambda: camera.publish(image))
    (standing, *_) = (each for each in said if each.success)
    assert (standing.prompt, standing.header.frame_id) == ("What is it?", "lens")
    system.until(lambda: _steps(system))
    assert f"encode {ROWS}" in _steps(system)
    system.robot.destroy_subscription(heard)


def _steps(system: System) -> list[str]:
    found = system.statuses[-1].generators if system.statuses else []
    return [step for each in found for step in each.steps]
