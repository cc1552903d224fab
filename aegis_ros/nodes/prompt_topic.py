"""One topic of prompts: what comes on it is asked in its turn, and each answer is published."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from aegis_ros.errors import AegisError, InputError
from aegis_ros.msg import GeneratorAnswer
from aegis_ros.network.generator.prompt import MOST_BYTES, Message
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.nodes.callback_groups import forget_destroyed
from aegis_ros.nodes.cdr import Reader
from aegis_ros.nodes.conversions import rationale_to_message, time_from_ns
from aegis_ros.nodes.loggable import loggable, text_of
from aegis_ros.nodes.overtaken import Overtaken
from aegis_ros.nodes.prompt_line import Prompt, PromptLine
from aegis_ros.nodes.publishers import Heard, look
from aegis_ros.nodes.topics import why_refused
from aegis_ros.orchestrator import Answer, Conclusion, Orchestrator
from aegis_ros.orchestrator.questions import read_question
from aegis_ros.orchestrator.request import WELL_ENDED
from aegis_ros.rationale import Reason
from aegis_ros.rationale.prompts import CannotTakePrompts
from aegis_ros.rationale.rejection import Invalid, Unforeseen
from aegis_ros.spec import GeneratorSpec, PromptsSpec, WhenFull

__all__ = ["PROMPT_TYPE", "PromptTopic", "read_prompt"]

PROMPT_TYPE = "std_msgs/msg/String"
_ANSWER_TYPE = "aegis_ros/msg/GeneratorAnswer"
_SHOWN = 256  # characters of a prompt that its answer repeats
_ANSWERS_KEPT = 10  # for a subscriber that is slow
_BURST = 10  # prompts that the middleware keeps where the first ones are to keep their places
# After each message, so that a topic that floods leaves the interpreter to the threads of frames.
_PAUSE_S = 0.005
_JOIN_S = 1.0


class PromptTopic:
    """The topic of one generator. Its prompts are read, and asked, on a thread of their own.

    Args:
        node: publishes the answers; names are resolved by its rules.
        orchestrator: has the generator.
        spec: the generator.
        prompts: its topic.
    """

    def __init__(
        self,
        node: LifecycleNode,
        orchestrator: Orchestrator,
        spec: GeneratorSpec,
        prompts: PromptsSpec,
    ) -> None:
        """Subscribe to nothing yet."""
        self.name = spec.name
        self.spec = prompts
        self.problem: CannotTakePrompts | None = None
        self.line = PromptLine(spec.name, prompts, orchestrator.log.report_often)
        self._node = node
        self._orchestrator = orchestrator
        self._system = prompts.system or spec.system
        self._most_bytes = MOST_BYTES - len(f"{prompts.prefix}{prompts.suffix}".encode())
        self._topic = ""  # resolved
        self._subscriber: Node | None = None
        self._subscription: Any = None
        self._qos = _quality(prompts)
        self._overtaken = Overtaken()
        self._publishing = threading.Lock()
        self._publisher: Any = None
        self._asking: threading.Thread | None = None
        self._closed = threading.Event()

    # -- life ---------------------------------------------------------------------------------

    def follow(self, subscriber: Node) -> None:
        """Take prompts from now on.

        Args:
            subscriber: node to subscribe with; its thread may be held up for some milliseconds.
        """
        self.problem = None
        try:
            if self._publisher is None:
                self._publisher = self._create_publisher()
            self._subscribe(subscriber)
        except _Unusable as unusable:
            self.problem = unusable.reason
            self._orchestrator.log.report(unusable.reason)
            return
        if self._asking is None:
            self._asking = threading.Thread(target=self._ask_all, name="asking", daemon=True)
            self._asking.start()

    def leave(self) -> None:
        """Take no more prompts, and drop those that wait; those that were asked are answered."""
        self.line.shut()
        if self._subscription is not None and self._subscriber is not None:
            self._subscriber.destroy_subscription(self._subscription)
            forget_destroyed(self._subscriber)
            self._subscription = None

    def close(self) -> None:
        """Ask no more; answers are still published."""
        self._closed.set()
        self.leave()
        self.line.close()
        if self._asking is not None:  # one that reads a prompt asks nothing when it has read it
            self._asking.join(_JOIN_S)

    def destroy(self) -> None:
        """Publish no more."""
        with self._publishing:
            publisher, self._publisher = self._publisher, None
        if publisher is not None:
            self._node.destroy_publisher(publisher)
            forget_destroyed(self._node)

    def heard(self) -> Heard:
        """Return what the graph knows of the topic; also notes prompts that were replaced early."""
        if self._subscriber is None or self._subscription is None:
            return Heard()
        found = look(self._subscriber, self._topic, PROMPT_TYPE, self._qos)
        if self._qos.reliability is ReliabilityPolicy.RELIABLE:  # gaps are no losses
            self.line.overtaken(self._overtaken.take(found.publishers))
        return found

    def _create_publisher(self) -> Any:
        topic = self.spec.answers
        try:
            return self._node.create_publisher(GeneratorAnswer, topic, _ANSWERS_KEPT)
        except Exception as error:  # its own class where a name is none, another one for a type
            raise self._unusable(topic, _ANSWER_TYPE, error) from error

    def _subscribe(self, subscriber: Node) -> None:
        topic = self.spec.topic
        self._overtaken = Overtaken()
        try:
            self._topic = str(self._node.resolve_topic_name(topic))
            self.line.open()
            self._subscription = subscriber.create_subscription(
                String,
                self._topic,
                self._take,
                self._qos,
                raw=True,  # what is not UTF-8 would end the thread that takes it
                event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            )
        except Exception as error:
            self.line.shut()
            raise self._unusable(topic, PROMPT_TYPE, error) from error
        self._subscriber = subscriber

    def _unusable(self, topic: str, kind: str, error: Exception) -> _Unusable:
        problem = why_refused(self._node, topic, kind, error)
        return _Unusable(CannotTakePrompts(self.name, topic, kind, problem))

    # -- what comes ---------------------------------------------------------------------------

    def _take(self, raw: bytes, info: Mapping[str, object]) -> None:
        """Take one serialised message; whatever it holds, only a decision can come of it."""
        now_ns = time.monotonic_ns()
        self._overtaken.note(info)
        try:
            text = read_prompt(raw, self._most_bytes)
            self.line.put(Prompt(text, _published_ns(info), now_ns))
        except InputError as error:
            self.line.refuse(str(error))
        finally:
            self._closed.wait(_PAUSE_S)

    def _ask_all(self) -> None:
        while (prompt := self.line.take()) is not None:
            try:
                self._ask(prompt)
            except Exception as error:  # the next one is asked all the same
                self._log_failure(error)
                self._refuse(prompt, Unforeseen(self.name, text_of(error)))

    def _ask(self, prompt: Prompt) -> None:
        found = self._orchestrator.generators.find(self.name)
        if isinstance(found, Reason):
            return self._refuse(prompt, found)
        candidate, conversation = found
        if conversation.paused is not None:  # before a child process is begun
            return self._refuse(prompt, conversation.paused)
        spec = self.spec
        try:
            question = read_question(
                candidate,
                [Message("user", f"{spec.prefix}{prompt.text}{spec.suffix}")],
                system=self._system,
                most=spec.max_tokens or 0,
                sampling=Sampling(spec.temperature, spec.top_p, spec.seed),
                stops=spec.stop,
                image=self._orchestrator.generators.shown.pixels(candidate),
            )
            if self._closed.is_set():
                return self.line.answered()
            asked_ns = time.monotonic_ns()
            number = conversation.ask(
                question, partial(self._hear, prompt, asked_ns), own_place=True
            )
        except AegisError as error:
            return self._refuse(prompt, Invalid(self.name, error.rule, str(error)))
        if isinstance(number, Reason):
            self._refuse(prompt, number)
        return None

    # -- what is answered ---------------------------------------------------------------------

    def _refuse(self, prompt: Prompt, reason: Reason) -> None:
        refused = Answer(0, ended=Conclusion.REFUSED, reason=reason)
        self._hear(prompt, time.monotonic_ns(), refused)

    def _hear(self, prompt: Prompt, asked_ns: int, answer: Answer) -> None:
        if answer.ended is None:
            return
        try:
            self._publish(self._message(prompt, asked_ns, answer))
        except Exception as error:  # the line goes on
            self._log_failure(error)
        finally:
            self.line.answered()

    def _message(self, prompt: Prompt, asked_ns: int, answer: Answer) -> GeneratorAnswer:
        message = GeneratorAnswer(
            generator=self.name,
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
            loggable(f"a prompt for {self.name} failed: {text_of(error)}")
        )


def read_prompt(raw: bytes, most: int) -> str:
    """Return the prompt that a serialised message holds.

    Args:
        raw: the message.
        most: bytes of its text.

    Raises:
        InputError: it is none.
    """
    text = Reader(raw).text("the prompt", "data", most)
    if not text.strip():
        raise InputError("the prompt is empty", where="data", expected="some text")
    return text


class _Unusable(Exception):
    """A topic cannot be used.

    Args:
        reason: why not.
    """

    def __init__(self, reason: CannotTakePrompts) -> None:
        super().__init__(reason.problem)
        self.reason = reason


def _quality(prompts: PromptsSpec) -> QoSProfile:
    reliable = prompts.qos == "reliable"
    refuses = prompts.when_full is WhenFull.REFUSE
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=max(prompts.queue, _BURST) if refuses else prompts.queue,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
    )


def _published_ns(info: Mapping[str, object]) -> int:
    """Return when a message was published, as its publisher says; now, where it does not."""
    stamp = info.get("source_timestamp")
    return stamp if isinstance(stamp, int) and stamp > 0 else time.time_ns()
