"""One topic of prompts: what comes on it waits for its turn to be asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from aegis_ros.errors import InputError
from aegis_ros.network.generator.prompt import MOST_BYTES
from aegis_ros.nodes.callback_groups import forget_destroyed
from aegis_ros.nodes.cdr import Reader
from aegis_ros.nodes.overtaken import Overtaken
from aegis_ros.nodes.prompt_asking import PromptAsking, Unusable
from aegis_ros.nodes.prompt_line import Prompt, PromptLine
from aegis_ros.nodes.publishers import Heard, look
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.rationale.prompts import CannotTakePrompts
from aegis_ros.spec import GeneratorSpec, PromptsSpec, WhenFull

__all__ = ["PROMPT_TYPE", "PromptTopic", "read_prompt"]

PROMPT_TYPE = "std_msgs/msg/String"
_BURST = 10  # prompts that the middleware keeps where the first ones are to keep their places
# After each message, so that a topic that floods leaves the interpreter to the threads of frames.
_PAUSE_S = 0.005


class PromptTopic:
    """The topic of one generator.

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
        self._asking = PromptAsking(node, orchestrator, spec, prompts, line=self.line)
        self._node = node
        self._orchestrator = orchestrator
        self._most_bytes = MOST_BYTES - len(f"{prompts.prefix}{prompts.suffix}".encode())
        self._topic = ""  # resolved
        self._subscriber: Node | None = None
        self._subscription: Any = None
        self._qos = _quality(prompts)
        self._overtaken = Overtaken()
        self._closed = threading.Event()

    # -- life ---------------------------------------------------------------------------------

    def follow(self, subscriber: Node) -> None:
        """Take prompts from now on.

        Args:
            subscriber: node to subscribe with; its thread may be held up for some milliseconds.
        """
        self.problem = None
        try:
            self._asking.publish()
            self._subscribe(subscriber)
        except Unusable as unusable:
            self.problem = unusable.reason
            self._orchestrator.log.report(unusable.reason)
            return
        self._asking.begin()

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
        self._asking.close()

    def destroy(self) -> None:
        """Publish no more."""
        self._asking.destroy()

    def heard(self) -> Heard:
        """Return what the graph knows of the topic; also notes prompts that were replaced early."""
        if self._subscriber is None or self._subscription is None:
            return Heard()
        found = look(self._subscriber, self._topic, PROMPT_TYPE, self._qos)
        if self._qos.reliability is ReliabilityPolicy.RELIABLE:  # gaps are no losses
            self.line.overtaken(self._overtaken.take(found.publishers))
        return found

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
            raise self._asking.unusable(topic, PROMPT_TYPE, error) from error
        self._subscriber = subscriber

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
