"""What brings prompts and images to generators, and how it is."""

from __future__ import annotations

import threading
from dataclasses import fields

from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

from aegis_ros.errors import InputError
from aegis_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnosis
from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.hearing import Told
from aegis_ros.nodes.newest_image import NewestImage
from aegis_ros.nodes.prompt_line import PromptCounts
from aegis_ros.nodes.prompt_topic import PROMPT_TYPE, PromptTopic
from aegis_ros.nodes.publishers import Heard
from aegis_ros.nodes.spinning import Spinning
from aegis_ros.nodes.standing_prompt import StandingPrompt
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.rationale.frames import PublisherOfOtherQos
from aegis_ros.rationale.prompts import PromptsOfOtherType
from aegis_ros.rationale.wording import words

__all__ = ["Prompting"]


class Prompting:
    """Takes prompts on a thread of its own, so that neither frames nor services wait for them.

    An executor takes whole nodes: where a generator has a topic, its prompts are taken by a node of
    their own, which comes with the first activation. So are the images that prompts are about, and
    standing prompts are asked there.

    Args:
        node: the orchestrator, by whose rules names are resolved.
        orchestrator: has the generators.
    """

    def __init__(self, node: LifecycleNode, orchestrator: Orchestrator) -> None:
        """Subscribe to nothing yet."""
        self._node = node
        self._orchestrator = orchestrator
        self._topics = tuple(
            PromptTopic(node, orchestrator, spec, spec.prompts)
            for spec in orchestrator.spec.generators
            if spec.prompts is not None and spec.prompts.topic
        )
        self._standing = tuple(
            StandingPrompt(node, orchestrator, spec, spec.prompts)
            for spec in orchestrator.spec.generators
            if spec.prompts is not None and not spec.prompts.topic
        )
        self._images = tuple(
            NewestImage(node, orchestrator, spec.name, spec.image, topic=topic)
            for spec in orchestrator.spec.generators
            if spec.image is not None
            for topic in spec.image.topics
        )
        # Images first, so that whoever asks can have them.
        self._all: tuple[NewestImage | PromptTopic | StandingPrompt, ...] = (
            *self._images,
            *self._topics,
            *self._standing,
        )
        self._told = Told(orchestrator.log.report)
        self._lock = threading.Lock()
        self._follows = self._closed = False
        self._subscriber: Node | None = None
        self._spinning: Spinning | None = None

    def follow(self, active: bool) -> None:
        """Take prompts, or take no more; answers to those that were asked are still published."""
        with self._lock:
            if not self._all or active is self._follows or (active and self._closed):
                return
            self._follows = active
            if not active:
                for each in reversed(self._all):
                    each.leave()
                return
            subscriber = self._subscriber or self._begin()
            for each in self._all:
                each.follow(subscriber)

    def close(self) -> None:
        """Ask nothing more; answers are still published."""
        with self._lock:
            self._closed, self._follows = True, False
            for each in reversed(self._all):
                each.close()
            if self._spinning is not None:
                self._spinning.stop()

    def destroy(self) -> None:
        """Publish nothing more, and give everything back; :meth:`close` comes first."""
        with self._lock:
            for each in self._all:
                if not isinstance(each, NewestImage):
                    each.destroy()
            if self._subscriber is not None:
                self._subscriber.destroy_node()
                self._subscriber = None

    def health(self) -> list[Diagnosis]:
        """Return how each topic is; publishers that are not heard are reported, too."""
        with self._lock:
            heard = {topic.name: topic.heard() for topic in self._topics}
            seen = [(image, image.heard()) for image in self._images]
        unheard = {
            topic.name: _reasons(topic.name, topic.spec.topic, PROMPT_TYPE, heard[topic.name])
            for topic in self._topics
        }
        unseen = [
            (image, found, _reasons(image.name, image.topic, image.spec.type, found))
            for image, found in seen
        ]
        every = (*unheard.values(), *(reasons for _, _, reasons in unseen))
        self._told.report({each for found in every for each in found})
        return [
            *(
                self._diagnosis(topic, heard[topic.name], unheard[topic.name])
                for topic in self._topics
            ),
            *(self._asked(each) for each in self._standing),
            *(self._seen(*each) for each in unseen),
        ]

    def _begin(self) -> Node:
        """Make the node that takes prompts, and have it spin."""
        subscriber = Node(
            f"{self._node.get_name()}_prompts",
            namespace=self._node.get_namespace(),
            use_global_arguments=False,
            context=self._node.context,
            start_parameter_services=False,
        )
        executor = NodeExecutor(context=self._node.context)
        executor.add_node(subscriber)
        self._spinning = Spinning({"prompts": executor}, self._node.get_logger().error)
        self._subscriber = subscriber
        return subscriber

    def _seen(
        self,
        image: NewestImage,
        heard: Heard,
        unheard: tuple[PublisherOfOtherQos | PromptsOfOtherType, ...],
    ) -> Diagnosis:
        """Return how the images of a generator come."""
        name = f"images of {image.name}"
        if len(image.spec.topics) > 1:
            name = f"{name} on {image.topic}"
        values = {
            "topic": image.topic,
            "publishers": str(heard.heard),
            "subscription": heard.granted,
            "came": str(image.came),
        }
        if image.problem is not None:
            return Diagnosis(name, ERROR, words(image.problem), values)
        if not self._follows:
            return Diagnosis(name, OK, "images are taken once the node is active", values)
        if unheard:
            return Diagnosis(name, WARN if heard.heard else ERROR, words(unheard[0]), values)
        try:
            image.newest()
        except InputError as error:
            return Diagnosis(name, WARN, str(error), values)
        return Diagnosis(name, OK, f"{image.came} images came", values)

    def _diagnosis(
        self,
        topic: PromptTopic,
        heard: Heard,
        unheard: tuple[PublisherOfOtherQos | PromptsOfOtherType, ...],
    ) -> Diagnosis:
        counts = topic.line.counts()
        values = {
            "topic": topic.spec.topic,
            "publishers": str(heard.heard),
            "subscription": heard.granted,
            **_values(counts),
        }
        name = f"prompts of {topic.name}"
        if topic.problem is not None:
            return Diagnosis(name, ERROR, words(topic.problem), values)
        if not self._follows:
            return Diagnosis(name, OK, "prompts are taken once the node is active", values)
        if unheard:
            return Diagnosis(name, WARN if heard.heard else ERROR, words(unheard[0]), values)
        problem = topic.line.recent_problem()
        if problem:
            return Diagnosis(
                name, WARN, f"{counts.bad} messages were no prompts: {problem}", values
            )
        text = f"{counts.answered} of {counts.asked} prompts answered, {counts.waiting} wait"
        return Diagnosis(name, OK, text, values)

    def _asked(self, standing: StandingPrompt) -> Diagnosis:
        """Return how the standing prompt of a generator is asked."""
        counts = standing.line.counts()
        name = f"prompts of {standing.name}"
        values = {"period": f"{standing.spec.period_ns / 1e9:g} s", **_values(counts)}
        if standing.problem is not None:
            return Diagnosis(name, ERROR, words(standing.problem), values)
        if not self._follows:
            return Diagnosis(name, OK, "it is asked once the node is active", values)
        problem = standing.line.recent_problem()
        if problem:
            return Diagnosis(name, WARN, f"skipped for want of an image: {problem}", values)
        text = f"{counts.answered} of {counts.asked} prompts answered, {counts.left_out} skipped"
        return Diagnosis(name, OK, text, values)


def _values(counts: PromptCounts) -> dict[str, str]:
    return {field.name: str(getattr(counts, field.name)) for field in fields(counts)}


def _reasons(
    name: str, topic: str, kind: str, heard: Heard
) -> tuple[PublisherOfOtherQos | PromptsOfOtherType, ...]:
    """Return why publishers of a topic are not heard."""
    return tuple(
        PromptsOfOtherType(name, topic, each.publisher, each.offered, kind)
        if each.policy == "type"
        else PublisherOfOtherQos(
            name, topic, each.publisher, each.policy, each.offered, each.requested
        )
        for each in heard.unheard
    )
