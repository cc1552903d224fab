"""A vision-language model beside a vision task: the real node and engine, images over real DDS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from aegis_ros.action import Generate

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
     image: {{topic: /eye/image, parts: 3, max_age_ms: 60000}}}}
"""


def test_prompts_are_about_the_newest_image_and_refused_at_once_without_one(tmp_path: Path) -> None:
    decoder = write_vlm(tmp_path / "seeing")
    more = GENERATORS.format(decoder=decoder)
    with running(tmp_path, TASKS.format(folder=tmp_path), more=more) as system:
        client = GoalClient(system.robot, Generate, "/orchestrator/generate")
        assert client.wait_for_server(WAIT_SECONDS)

        def ask() -> Any:
            goal = system.wait_for(client.send_goal_async(Generate.Goal(prompt="?", max_tokens=6)))
            return system.wait_for(goal.get_result_async()).result

        refused = ask()
        assert refused.ended == "refused"
        assert "/eye/image: no image has come yet" in refused.rationale.sentence
        camera = system.camera("eye")
        answers: list[Any] = []

        def answered() -> bool:
            answers.append(ask())
            return bool(answers[-1].success)

        system.until(answered, lambda: camera.publish(system.image()))
        assert answers[-1].tokens > 0 and answers[-1].prompt_tokens > ROWS
        system.until(lambda: _steps(system))
        assert f"encode {ROWS}" in _steps(system)
        client.destroy()


def _steps(system: System) -> list[str]:
    found = system.statuses[-1].generators if system.statuses else []
    return [step for each in found for step in each.steps]
