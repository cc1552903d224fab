"""A running orchestrator's generator says what its tasks have found, over real DDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")

from rclpy.node import Node

from aegis_ros.nodes.narrator import Narrator
from aegis_ros.nodes.spinning import spin_beside
from aegis_ros.views.narration import Narration
from test.network.builders import identity_network
from test.network.generator.models import write_gguf
from test.nodes.system import System, running

TASKS = """\
  - {{name: eye, model: {folder}/pixel.onnx, period_ms: 200, wcet_ms: 0.01,
     input: {{topic: /eye/image, max_size: [64, 64]}},
     preprocess: {{size: [1, 1], resize: stretch}},
     output: {{topic: /eye/result, decoder: classification,
       options: {{labels: [bright, dark, dim]}}}}}}
  - {{name: raw, model: {folder}/identity.onnx, period_ms: 200, wcet_ms: 0.01,
     input: {{topic: /eye/image, max_size: [64, 64]}},
     preprocess: {{size: [12, 16], resize: stretch}}, output: {{topic: /raw/result}}}}
"""
LLM = """\
generators:
  - {{name: llm, model: {folder}/tiny.gguf, precision: float32, max_len: 200,
     tokens_per_s: 0.5}}
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("narrator")
    write_gguf(folder / "tiny.gguf")
    identity_network(folder / "pixel.onnx", (1, 3, 1, 1))
    with running(folder, TASKS.format(folder=folder), more=LLM.format(folder=folder)) as found:
        yield found


@contextmanager
def narrated(
    system: System, generator: str, until: Callable[[Narration], object]
) -> Iterator[Narration]:
    """Have a generator say what a camera sees, until ``until`` is true of it."""
    node = Node("demo", context=system.robot.context)
    narrator = Narrator(node, "/orchestrator", generator, pause_s=0.0)
    spinning = spin_beside(node)
    camera = system.camera("eye")
    try:
        narrator.follow(system.until(lambda: system.statuses and system.statuses[-1]))
        system.until(lambda: until(narrator.narration()), lambda: camera.publish(system.image()))
        yield narrator.narration()
    finally:
        spinning.stop()
        narrator.close()
        node.destroy_node()


def test_a_generator_says_what_a_task_has_found_again_and_again(system: System) -> None:
    with narrated(system, "llm", lambda found: found.answers >= 2) as found:
        assert found.told == "It sees that the eye is bright."
        assert found.tokens >= found.answers
        assert found.problem == ""


def test_a_generator_that_is_not_there_is_a_problem_and_no_answer(system: System) -> None:
    with narrated(system, "nobody", lambda found: found.problem) as found:
        assert "there is no generator nobody" in found.problem.lower()
        assert (found.answers, found.tokens, found.tokens_per_s) == (0, 0, 0.0)
