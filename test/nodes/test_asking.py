"""A goal of `~/generate` from the side of who asks, with an action that a test answers for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aegis_ros.action import Generate
from rclpy.task import Future

from aegis_ros.nodes.asking import Asking, Said


class Goal:
    """A goal that was sent and taken."""

    def __init__(self) -> None:
        self.result: Any = Future()
        self._sent: Any = Future()
        client: Any = SimpleNamespace(send_goal_async=self._send)
        self.heard: list[Said] = []
        self.ended: list[Asking] = []
        self.asking = Asking(client, Generate.Goal(), self.heard.append, self.ended.append)
        self.asking.begin(frozenset())
        taken = SimpleNamespace(accepted=True, get_result_async=lambda: self.result)
        self._sent.set_result(taken)

    def _send(self, goal: Generate.Goal, feedback_callback: Any) -> Any:
        self.say = feedback_callback
        return self._sent

    def end(self, result: Generate.Result) -> Generate.Result:
        self.result.set_result(SimpleNamespace(result=result))
        assert self.ended == [self.asking]
        return self.heard[-1]


def test_a_result_ends_the_answer_with_what_it_says() -> None:
    answered = Goal().end(Generate.Result(text="Hello", ended="end", tokens=2))
    assert (answered.text, answered.ended, answered.tokens) == ("Hello", "end", 2)


def test_an_empty_result_ends_the_answer_as_lost() -> None:
    """That is what ROS sends where a goal is not known any more."""
    goal = Goal()
    goal.say(SimpleNamespace(feedback=Generate.Feedback(text="Hel", tokens=1)))
    answered = goal.end(Generate.Result())
    assert (answered.text, answered.ended, answered.tokens) == ("Hel", "lost", 1)
    assert answered.rationale.sentence == "The orchestrator has no result of the goal."
