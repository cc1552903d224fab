"""The newest image of a topic, for the prompts of a generator; decoded when somebody asks."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from aegis_ros.errors import InputError
from aegis_ros.nodes.callback_groups import forget_destroyed
from aegis_ros.nodes.pictures import COMPRESSED, read_picture
from aegis_ros.nodes.publishers import Heard, look
from aegis_ros.nodes.topics import why_refused
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.orchestrator.shown import Picture
from aegis_ros.rationale.prompts import CannotTakePrompts
from aegis_ros.spec import ImageTopicSpec

__all__ = ["NewestImage"]

# After each message, so that a topic that floods leaves the interpreter to the threads of frames.
_PAUSE_S = 0.005


class NewestImage:
    """Keeps the last message of a topic as it came.

    Args:
        node: names are resolved by its rules.
        orchestrator: has the generator, whose images come from here.
        name: of the generator.
        spec: its images.
        topic: one of its topics.
    """

    def __init__(
        self,
        node: LifecycleNode,
        orchestrator: Orchestrator,
        name: str,
        spec: ImageTopicSpec,
        *,
        topic: str,
    ) -> None:
        """Subscribe to nothing yet."""
        self.name = name
        self.spec = spec
        self.topic = topic
        self.problem: CannotTakePrompts | None = None
        self._node = node
        self._orchestrator = orchestrator
        self._lock = threading.Lock()
        self._newest: tuple[bytes, int, int] | None = None  # message, when it came, its number
        self._came = 0
        self._closed = threading.Event()
        self._topic = topic  # resolved
        self._subscriber: Node | None = None
        self._subscription: Any = None
        reliable = spec.qos == "reliable"
        self._qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        orchestrator.generators.shown.bring(name, topic, self.image)

    @property
    def came(self) -> int:
        """How many images have come."""
        return self._came

    def follow(self, subscriber: Node) -> None:
        """Take images from now on.

        Args:
            subscriber: node to subscribe with.
        """
        self.problem = None
        try:
            self._topic = str(self._node.resolve_topic_name(self.topic))
            self._subscription = subscriber.create_subscription(
                CompressedImage if self.spec.type == COMPRESSED else Image,
                self._topic,
                self._take,
                self._qos,
                raw=True,
                event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            )
        except Exception as error:  # its own class where a name is none, another one for a type
            kind = self.spec.type
            problem = why_refused(self._node, self.topic, kind, error)
            self.problem = CannotTakePrompts(self.name, self.topic, kind, problem)
            self._orchestrator.log.report(self.problem)
            return
        self._subscriber = subscriber
        # Prompts may name it either way.
        self._orchestrator.generators.shown.bring(self.name, self._topic, self.image)

    def close(self) -> None:
        """Take no more images, at once."""
        self._closed.set()
        self.leave()

    def leave(self) -> None:
        """Take no more images, and forget the newest one."""
        if self._subscription is not None and self._subscriber is not None:
            self._subscriber.destroy_subscription(self._subscription)
            forget_destroyed(self._subscriber)
            self._subscription = None
        with self._lock:
            self._newest = None

    def heard(self) -> Heard:
        """Return what the graph knows of the topic."""
        if self._subscriber is None or self._subscription is None:
            return Heard()
        return look(self._subscriber, self._topic, self.spec.type, self._qos)

    def image(self) -> Picture:
        """Return the newest image.

        Raises:
            InputError: none has come, it came too long ago, or it cannot be read.
        """
        raw, number = self.newest()
        return replace(read_picture(raw, self.spec.type, self.spec.max_size), number=number)

    def newest(self) -> tuple[bytes, int]:
        """Return the newest message, and how many have come with it.

        Raises:
            InputError: none has come, or it came too long ago.
        """
        with self._lock:
            newest = self._newest
        if newest is None:
            raise InputError(
                "no image has come yet",
                where=self.topic,
                expected="an image before the prompt",
                hint=f"See who publishes it: ros2 topic info -v {self._topic}",
            )
        raw, came_ns, number = newest
        age_ns = time.monotonic_ns() - came_ns
        if age_ns > self.spec.max_age_ns:
            raise InputError(
                "the newest image is too old",
                where=self.topic,
                value=f"{age_ns / 1e9:.1f} s",
                expected=f"at most {self.spec.max_age_ns / 1e9:g} s (image.max_age_ms)",
                hint="See whether its camera still publishes",
            )
        return raw, number

    def _take(self, raw: bytes) -> None:
        """Keep one serialised message; whether it is an image is seen when it is asked for."""
        with self._lock:
            self._came += 1
            self._newest = raw, time.monotonic_ns(), self._came
        self._closed.wait(_PAUSE_S)
