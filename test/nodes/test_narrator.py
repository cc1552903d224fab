"""What is heard of results and answers is told, counted and shown, over real DDS."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
import rclpy
from aegis_ros.action import Generate
from aegis_ros.msg import (
    InferenceResult,
    ModelTask,
    OrchestratorStatus,
    Rationale,
    TaskOutput,
    TaskStatus,
)
from rclpy.action import ActionServer
from rclpy.context import Context
from rclpy.executors import Executor
from rclpy.node import Node
from rich.console import Console

from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.narrator import Narrator
from aegis_ros.views.narration import Narration, narration_line, render_narration
from test.nodes.spun import spin

WAIT_S = 100.0
SEEN = '{"kind":"detections","items":[{"label":"face","score":0.9}]}'


class Robot:
    """An orchestrator that says what the test puts in, and a narrator beside it."""

    def __init__(self, context: Context) -> None:
        self.node = Node("orchestrator", context=context)
        self.asked: list[Any] = []
        self.says: SimpleQueue[Any] = SimpleQueue()
        self.action = ActionServer(self.node, Generate, "~/generate", self._generate)
        self.beside = Node("demo", context=context)
        self.narrator = Narrator(self.beside, "/orchestrator", "llm", pause_s=0.0)
        self.narrator.follow(
            OrchestratorStatus(
                tasks=[
                    TaskStatus(
                        spec=ModelTask(name=name, output=TaskOutput(topic=f"/{name}/result"))
                    )
                    for name in ("eye", "ear")
                ]
            )
        )
        self._results = self.node.create_publisher(InferenceResult, "/eye/result", 1)
        self._spun: list[tuple[Executor, threading.Thread]] = []
        for node in (self.node, self.beside):
            executor = NodeExecutor(context=context)
            executor.add_node(node)
            thread = threading.Thread(target=spin, args=(executor,), daemon=True)
            thread.start()
            self._spun.append((executor, thread))

    def see(self, decoded: str = SEEN) -> None:
        self._results.publish(InferenceResult(task="eye", decoded=decoded))

    def say(self, **fields: Any) -> None:
        """Send feedback; a result where it says why it ended."""
        kind = Generate.Result if "ended" in fields else Generate.Feedback
        self.says.put(kind(**fields))

    def until(
        self, true: Callable[[Narration], object], meanwhile: Callable[[], None] = lambda: None
    ) -> Narration:
        end = time.monotonic() + WAIT_S
        while not true(found := self.narrator.narration()):
            assert time.monotonic() < end, found
            meanwhile()
            time.sleep(0.01)
        return found

    def close(self) -> None:
        self.says.put(Generate.Result(ended="cancelled"))
        for executor, thread in self._spun:
            executor.shutdown()
            thread.join()
        self.action.destroy()
        self.narrator.close()
        for node in (self.node, self.beside):
            node.destroy_node()

    def _generate(self, goal: Any) -> Generate.Result:
        self.asked.append(goal.request)
        while isinstance(said := self.says.get(), Generate.Feedback):
            goal.publish_feedback(said)
        if said.success:
            goal.succeed()
        else:
            goal.abort()
        return said


@pytest.fixture
def robot() -> Iterator[Robot]:
    context = Context()
    rclpy.init(context=context)
    made = Robot(context)
    yield made
    made.close()
    rclpy.try_shutdown(context=context)


def test_nothing_is_asked_about_what_has_no_words(robot: Robot) -> None:
    heard: list[Any] = []
    robot.beside.create_subscription(InferenceResult, "/eye/result", heard.append, 1)
    robot.until(lambda _: len(heard) >= 100, lambda: robot.see('{"kind":"raw","tensors":[]}'))
    assert (robot.asked, robot.narrator.narration().told) == ([], "")
    robot.until(lambda found: found.told and robot.asked, robot.see)
    assert robot.asked[0].prompt.endswith(" It sees 1 face.")


def test_an_answer_is_shown_while_it_comes_and_counts_with_those_before(robot: Robot) -> None:
    robot.until(lambda found: found.told, robot.see)
    robot.say(ended="end", success=True, text="A face.", tokens=5, answer_s=2.0)
    robot.until(lambda found: found.answers == 1, robot.see)
    # The first feedback of a goal may be published before who asked is known to listen.
    found = robot.until(
        lambda found: found.text == "Still",
        lambda: (robot.see(), robot.say(text="Still", tokens=3, tokens_per_s=4.0)),  # type: ignore[arg-type,return-value]
    )
    assert (found.ended, found.tokens) == ("", 5 + 3)
    assert found.tokens_per_s == pytest.approx((4 + 2) / (2.0 + 0.5))
    robot.say(ended="length", success=True, text="Still a face.", tokens=6, answer_s=1.0)
    found = robot.until(lambda found: found.answers == 2)
    assert found.tokens == 5 + 6
    assert found.tokens_per_s == pytest.approx((4 + 5) / (2.0 + 1.0))


def test_what_is_cut_off_counts_as_far_as_it_came_and_the_next_question_is_asked(
    robot: Robot,
) -> None:
    robot.until(lambda found: found.told, robot.see)
    why = Rationale(sentence="the engine was lost")
    robot.say(ended="lost", text="A fa", tokens=3, answer_s=1.0, rationale=why)
    found = robot.until(lambda found: found.ended == "lost")
    assert (found.text, found.tokens, found.problem) == ("A fa", 3, "the engine was lost")
    robot.until(lambda found: len(robot.asked) == 2, robot.see)
    robot.say(ended="end", success=True, text="A face.", tokens=2, answer_s=1.0)
    found = robot.until(lambda found: found.answers == 2)
    assert (found.text, found.problem) == ("A face.", "")


def test_a_question_to_an_orchestrator_that_is_gone_ends_and_whoever_follows_is_asked(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [frozenset({b"first"})]
    monkeypatch.setattr(robot.narrator._asker, "_server", lambda: there[0])
    monkeypatch.setattr(robot.narrator, "_pause_s", 3600.0)
    robot.until(lambda found: found.told, robot.see)
    robot.until(
        lambda found: found.tokens == 3,
        lambda: robot.say(text="A fa", tokens=3, tokens_per_s=4.0),
    )
    there[0] = frozenset({b"second"})
    found = robot.until(lambda found: found.ended)
    assert (found.ended, found.text, found.tokens) == ("lost", "A fa", 3)
    assert found.tokens_per_s == pytest.approx(4.0)
    assert "gone" in found.problem
    robot.say(ended="end", success=True)  # of the goal that nobody waits for
    monkeypatch.setattr(robot.narrator, "_not_before", 0.0)
    robot.until(lambda found: len(robot.asked) == 2, robot.see)
    robot.say(ended="end", success=True, text="A face.", tokens=2, answer_s=1.0)
    assert robot.until(lambda found: found.answers == 2).text == "A face."


def test_an_answer_cannot_draw_what_it_likes() -> None:
    console = Console(file=io.StringIO(), width=100)
    hostile = Narration(
        told="It sees [red]1 face[/red].",
        text="one\n\n\ttwo \x1b[2J",
        problem="\x1b[1m",
        answers=1,
        tokens=2,
        tokens_per_s=3.0,
    )
    console.print(render_narration(hostile, "llm"))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert "[red]1 face[/red]" in drawn
    assert "one two \\x1b[2J" in drawn
    assert "answers 1, tokens 2, 3.0 tokens/s" in drawn
    line = narration_line(hostile, "llm")
    assert line == ("llm | answers 1, tokens 2, 3.0 tokens/s | one two \\x1b[2J (\\x1b[1m)")
    assert "\x1b" not in drawn + line
