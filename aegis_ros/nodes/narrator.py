"""Has a generator say what a robot's tasks have found, from their results as text."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import partial

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message

from aegis_ros.action import Generate
from aegis_ros.demo.sight import sentence_of
from aegis_ros.msg import InferenceResult, OrchestratorStatus
from aegis_ros.nodes.asking import Asker, Said
from aegis_ros.views.narration import Narration

__all__ = ["Narrator"]

_LOOK_S = 0.25
_PAUSE_S = 4.0  # after an answer, or a refusal
_FRESH_S = 5.0  # what is older is not what is seen now
_MOST_TOKENS = 60
_ASKED = "Describe what a robot sees in one sentence. "


@dataclass(slots=True)
class _Question:
    """What is asked, and what has been heard.

    Attributes:
        told: what the model is told.
        text: of the answer so far.
        tokens: it has so far.
        seconds: between its first token and its latest one.
        ended: why it ended; empty before.
        problem: why it was refused or cut off.
    """

    told: str
    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    ended: str = ""
    problem: str = ""


class Narrator:
    """Asks one question at a time, with a pause after each answer.

    Args:
        node: node to subscribe and ask with; its owner spins it, on one thread.
        target: fully qualified name of the orchestrator node.
        generator: name of the generator.
        pause_s: between an answer and the next question.
    """

    def __init__(
        self, node: Node, target: str, generator: str, *, pause_s: float = _PAUSE_S
    ) -> None:
        """Ask nothing before the first result of a task that is followed."""
        self.generator = generator
        self._node = node
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._results: dict[str, tuple[float, bytes]] = {}  # when, and what, in the tasks' order
        self._question: _Question | None = None
        self._not_before = 0.0
        self._answers = 0
        self._tokens = 0  # of answers that have ended
        self._timed = 0  # of these, those that come after a first one
        self._seconds = 0.0  # that they took
        self._asker = Asker(node, target)
        # Not the node's clock, which a simulation may stop.
        node.create_timer(_LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def follow(self, status: OrchestratorStatus) -> None:
        """Listen to the results of all tasks."""
        for task in status.tasks:
            name = task.spec.name
            if name in self._results:
                continue
            self._results[name] = (0.0, b"")
            # Raw, as only few of them are looked at and they may hold large tensors.
            self._node.create_subscription(
                InferenceResult,
                task.spec.output.topic,
                partial(self._keep, name),
                qos_profile_sensor_data,
                raw=True,
            )

    def close(self) -> None:
        """Ask nothing more; nothing may spin the node any more."""
        self._asker.close()

    def narration(self) -> Narration:
        """Return what has been said so far."""
        with self._lock:
            question = self._question or _Question("")
            going = 0 if question.ended else question.tokens
            timed = self._timed + max(0, going - 1)
            seconds = self._seconds + (question.seconds if going else 0.0)
            return Narration(
                told=question.told,
                text=question.text,
                ended=question.ended,
                problem=question.problem,
                answers=self._answers,
                tokens=self._tokens + going,
                tokens_per_s=timed / seconds if seconds else 0.0,
            )

    def _keep(self, name: str, message: bytes) -> None:
        self._results[name] = (time.monotonic(), message)

    def _look(self) -> None:
        """Ask, if it is time to and there is something to tell."""
        now = time.monotonic()
        under_way = self._question is not None and not self._question.ended
        if under_way or now < self._not_before or not self._asker.ready():
            return
        told = sentence_of(
            {
                name: deserialize_message(message, InferenceResult).decoded
                for name, (at, message) in tuple(self._results.items())
                if message and now - at < _FRESH_S
            }
        )
        if not told:
            return
        question = _Question(told)
        with self._lock:
            self._question = question
        goal = Generate.Goal(
            generator=self.generator, prompt=_ASKED + told, max_tokens=_MOST_TOKENS
        )
        self._asker.begin(self._asker.asking(goal, partial(self._hear, question)))

    def _hear(self, question: _Question, said: Said) -> None:
        if isinstance(said, Generate.Result):
            self._end(question, said)
            return
        with self._lock:
            question.text, question.tokens = said.text, said.tokens
            if said.tokens_per_s > 0:
                question.seconds = (said.tokens - 1) / said.tokens_per_s

    def _end(self, question: _Question, result: Generate.Result) -> None:
        with self._lock:
            question.text = result.text
            question.problem = result.rationale.sentence
            question.ended = result.ended
            self._answers += bool(result.tokens)
            self._tokens += result.tokens
            self._timed += max(0, result.tokens - 1)
            self._seconds += result.answer_s
            self._not_before = time.monotonic() + self._pause_s
