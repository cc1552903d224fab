"""Answers that take seconds, cancelled and lost: the real node, the real engine, over real DDS."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

pytest.importorskip("gguf", reason="the extra `llm` is not installed")
pytest.importorskip("mcap", reason="the extra `trace` is not installed")

from action_msgs.msg import GoalStatus

from test.network.generator.models import write_gguf
from test.nodes.system import System, running
from test.nodes.test_generator_node import Asker

CONTEXT = 8192
ENDLESS = 8000  # tokens
LLM = """\
generators:
  - {{name: llm, model: {folder}/tiny.gguf, precision: float32, slots: 2, parts: 2,
     max_len: {context}}}
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("generator_long")
    write_gguf(folder / "tiny.gguf", said={"llama.context_length": CONTEXT})
    with running(folder, more=LLM.format(folder=folder, context=CONTEXT)) as found:
        yield found


@pytest.fixture
def asker(system: System) -> Iterator[Asker]:
    made = Asker(system)
    made.found()
    yield made
    made.client.destroy()


def test_a_cancelled_answer_leaves_its_slot_to_the_next(system: System, asker: Asker) -> None:
    goals = [asker.goal(prompt="Count", max_tokens=ENDLESS) for _ in range(3)]
    system.until(lambda: asker.heard)
    for goal in goals:
        system.wait_for(goal.cancel_goal_async())
    for goal in goals:
        assert asker.result(goal).result.ended == "cancelled"
    assert asker.result(asker.goal(prompt="And now", max_tokens=3)).result.success


def test_an_engine_that_is_killed_loses_the_answer_it_gave_and_the_next_one_is_whole(
    system: System, asker: Asker
) -> None:
    goal = asker.goal(prompt="Count", max_tokens=ENDLESS)
    system.until(lambda: asker.heard)
    os.kill(system.statuses[-1].engine_pid, signal.SIGKILL)
    found = asker.result(goal)
    assert found.status == GoalStatus.STATUS_ABORTED
    result = found.result
    assert (result.ended, result.success) == ("lost", False), result.rationale.sentence
    assert 0 < result.tokens < ENDLESS
    assert result.text.startswith(asker.heard[0].text)
    assert "engine" in result.rationale.sentence
    after = asker.result(asker.goal(prompt="Count", max_tokens=3)).result
    assert (after.ended, after.success) == ("length", True), after.rationale.sentence
    assert result.text.startswith(after.text)
