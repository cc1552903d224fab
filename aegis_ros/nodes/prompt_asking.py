"""Asks the prompts of a line in their turn, and publishes each answer."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode

from aegis_ros.errors import AegisError, InputError
from aegis_ros.msg import GeneratorAnswer
from aegis_ros.network.generator.prompt import Message
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.nodes.callback_groups import forget_destroyed
from aegis_ros.nodes.conversions import rationale_to_message, time_from_ns
from aegis_ros.nodes.loggable import loggable, text_of
from aegis_ros.nodes.pictures import header_of
from aegis_ros.nodes.prompt_line import Prompt, PromptLine
from aegis_ros.nodes.topics import why_refused
from aegis_ros.orchestrator import Answer, Conclusion, Orchestrator
from aegis_ros.orchestrator.questions import read_question
from aegis_ros.orchestrator.request import WELL_ENDED
from aegis_ros.orchestrator.shown import Picture
from aegis_ros.planning.generator_preparation import GeneratorCandidate
from aegis_ros.rationale import Reason
from aegis_ros.rationale.prompts import CannotTakePrompts, StandingPromptUnseen
from aegis_ros.rationale.rejection import Invalid, Unforeseen
from aegis_ros.spec import GeneratorSpec, PromptsSpec

__all__ = ["PromptAsking", "Unusable"]

_ANSWER_TYPE = "aegis_ros/msg/GeneratorAnswer"
_SHOWN = 256  # characters of a prompt that its answer repeats
_ANSWERS_KEPT = 10  # for a subscriber that is slow
_JOIN_S = 1.0


class PromptAsking:
    """Takes prompts from a line on a thread of its own, which reads and asks them.

    Args:
        node: publishes the answers; names are resolved by its rules.
        orchestrator: has the generator.
        spec: the generator.
        prompts: how they are asked.
        line: where they wait.
    """

    def __init__(
        self,
        node: LifecycleNode,
        orchestrator: Orchestrator,
        spec: GeneratorSpec,
        prompts: PromptsSpec,
        *,
        line: PromptLine,
    ) -> None:
        """Ask nothing yet."""
        self._name = spec.name
        self._spec = prompts
        self._line = line
        self._node = node
        self._orchestrator = orchestrator
        self._system = prompts.system or spec.system
        self._publishing = threading.Lock()
        self._publisher: Any = None
        self._asking: threading.Thread | None = None
        self._closed = threading.Event()
        self._seen = 0  # number of the image that the last standing prompt was about

    def publish(self) -> None:
        """Be ready to publish answers.

        Raises:
            Unusable: their topic cannot be used.
        """
        if self._publisher is None:
            self._publisher = self._create_publisher()

    def begin(self) -> None:
        """Ask what waits, and what will."""
        if self._asking is None:
            self._asking = threading.Thread(target=self._ask_all, name="asking", daemon=True)
            self._asking.start()

    def close(self) -> None:
        """Ask no more; answers are still published."""
        self._closed.set()
        self._line.close()
        if self._asking is not None:  # one that reads a prompt asks nothing when it has read it
            self._asking.join(_JOIN_S)

    def destroy(self) -> None:
        """Publish no more."""
        with self._publishing:
            publisher, self._publisher = self._publisher, None
        if publisher is not None:
            self._node.destroy_publisher(publisher)
            forget_destroyed(self._node)

    def unusable(self, topic: str, kind: str, error: Exception) -> Unusable:
        """Return that a topic cannot be used, and why."""
        problem = why_refused(self._node, topic, kind, error)
        return Unusable(CannotTakePrompts(self._name, topic, kind, problem))

    def _create_publisher(self) -> Any:
        topic = self._spec.answers
        try:
            return self._node.create_publisher(GeneratorAnswer, topic, _ANSWERS_KEPT)
        except Exception as error:  # its own class where a name is none, another one for a type
            raise self.unusable(topic, _ANSWER_TYPE, error) from error

    # -- what is asked ------------------------------------------------------------------------

    def _ask_all(self) -> None:
        while (prompt := self._line.take()) is not None:
            try:
                self._ask(prompt)
            except Exception as error:  # the next one is asked all the same
                self._log_failure(error)
                self._refuse(prompt, Unforeseen(self._name, text_of(error)))

    def _ask(self, prompt: Prompt) -> None:
        found = self._orchestrator.generators.find(self._name)
        if isinstance(found, Reason):
            return self._refuse(prompt, found)
        candidate, conversation = found
        if conversation.paused is not None:  # before a child process is begun
            return self._refuse(prompt, conversation.paused)
        spec = self._spec
        try:
            picture = self._picture(candidate, prompt)
            question = read_question(
                candidate,
                [Message("user", f"{spec.prefix}{prompt.text}{spec.suffix}")],
                system=self._system,
                most=spec.max_tokens or 0,
                sampling=Sampling(spec.temperature, spec.top_p, spec.seed),
                stops=spec.stop,
                image=None if picture is None else picture.pixels,
            )
            if self._closed.is_set():
                return self._line.answered()
            asked_ns = time.monotonic_ns()
            about = None if picture is None else picture.without_pixels()
            number = conversation.ask(
                question, partial(self._hear, prompt, about, asked_ns), own_place=True
            )
        except AegisError as error:
            if prompt.standing and isinstance(error, InputError):  # there is no image for it
                self._line.drop(str(error))
                self._orchestrator.log.report_often(StandingPromptUnseen(self._name, str(error)))
                return None
            return self._refuse(prompt, Invalid(self._name, error.rule, str(error)))
        if isinstance(number, Reason):
            self._refuse(prompt, number)
        return None

    def _picture(self, candidate: GeneratorCandidate, prompt: Prompt) -> Picture | None:
        """Return what a prompt is about.

        Raises:
            InputError: there is no image, or none that a standing prompt was not about already.
        """
        picture = self._orchestrator.generators.shown.newest(candidate)
        if picture is not None and prompt.standing:
            if picture.number == self._seen:
                raise InputError(
                    "no image has come since the last prompt",
                    expected="one each prompts.period_ms",
                )
            self._seen = picture.number
        return picture

    # -- what is answered ---------------------------------------------------------------------

    def _refuse(self, prompt: Prompt, reason: Reason) -> None:
        refused = Answer(0, ended=Conclusion.REFUSED, reason=reason)
        self._hear(prompt, None, time.monotonic_ns(), refused)

    def _hear(self, prompt: Prompt, about: Picture | None, asked_ns: int, answer: Answer) -> None:
        if answer.ended is None:
            return
        try:
            self._publish(self._message(prompt, about, asked_ns, answer))
        except Exception as error:  # the line goes on
            self._log_failure(error)
        finally:
            self._line.answered()

    def _message(
        self, prompt: Prompt, about: Picture | None, asked_ns: int, answer: Answer
    ) -> GeneratorAnswer:
        message = GeneratorAnswer(
            generator=self._name,
            prompt=prompt.text[:_SHOWN],
            success=answer.ended in WELL_ENDED,
            text=answer.text,
            ended=str(answer.ended),
            prompt_tokens=answer.prompt_tokens,
            tokens=answer.tokens,
            waited_s=max(0, asked_ns - prompt.came_ns) / 1e9,
            prompt_s=answer.prompt_ns / 1e9,
            answer_s=answer.answer_ns / 1e9,
        )
        message.header.stamp = time_from_ns(prompt.stamp_ns)
        if about is not None:
            message.image_header = header_of(about)
            if prompt.standing:
                message.header = message.image_header
        if answer.reason is not None:
            log = self._orchestrator.log
            if not message.success:  # what shortens an answer was reported when it began
                log.report_often(answer.reason)
            message.rationale = rationale_to_message(log.make(answer.reason))
        return message

    def _publish(self, message: GeneratorAnswer) -> None:
        with self._publishing:
            if self._publisher is not None:
                self._publisher.publish(message)

    def _log_failure(self, error: Exception) -> None:
        self._node.get_logger().error(
            loggable(f"a prompt for {self._name} failed: {text_of(error)}")
        )


class Unusable(Exception):
    """A topic cannot be used.

    Args:
        reason: why not.
    """

    def __init__(self, reason: CannotTakePrompts) -> None:
        """Keep the reason."""
        super().__init__(reason.problem)
        self.reason = reason
