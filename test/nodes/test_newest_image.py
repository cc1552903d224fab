"""The newest image of a topic over real DDS, as a generator's prompts are about it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from sensor_msgs.msg import Image

from aegis_ros.errors import InputError
from aegis_ros.network.generator.vision.facts import ImageFacts
from aegis_ros.nodes.diagnostics import OK, WARN
from aegis_ros.nodes.prompting import Prompting
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.shown import Shown
from aegis_ros.spec import GeneratorSpec, ImageTopicSpec
from test.waiting import until

A_DAY_NS = 86_400_000_000_000
FACTS = ImageFacts(
    token=1,
    text="<image>",
    before="",
    after="",
    rows=4,
    width=8,
    dtype="float32",
    height=2,
    columns=2,
    crop=False,
    parts=1,
)


class Robot:
    """A node whose generator is shown images, and one that publishes them."""

    def __init__(self, context: Context) -> None:
        self.node = LifecycleNode("orchestrator", context=context)
        self.camera = Node("camera", context=context)
        image = ImageTopicSpec("/eye", qos="reliable", max_age_ns=A_DAY_NS)
        self.spec = GeneratorSpec("llm", "model.onnx", image=image)
        self.shown = Shown()
        owner: Any = SimpleNamespace(
            log=RationaleLog(),
            spec=SimpleNamespace(generators=(self.spec,)),
            generators=SimpleNamespace(shown=self.shown),
        )
        self.prompting = Prompting(self.node, owner)
        self.publisher = self.camera.create_publisher(Image, "/eye", 10)

    def candidate(self, **changes: Any) -> Any:
        return SimpleNamespace(
            spec=self.spec, prepared=SimpleNamespace(facts=SimpleNamespace(image=FACTS)), **changes
        )

    def publish(self, value: int, encoding: str = "rgb8", size: int = 12) -> None:
        self.publisher.publish(
            Image(height=2, width=2, encoding=encoding, step=6, data=bytes([value]) * size)
        )

    def pixels(self) -> np.ndarray | None:
        return self.shown.pixels(self.candidate())

    def problem(self) -> str:
        with pytest.raises(InputError) as told:
            self.pixels()
        return str(told.value)

    def close(self) -> None:
        self.prompting.close()
        self.prompting.destroy()
        self.camera.destroy_node()
        self.node.destroy_node()


@pytest.fixture
def robot() -> Iterator[Robot]:
    context = Context()
    rclpy.init(context=context)
    made = Robot(context)
    yield made
    made.close()
    rclpy.try_shutdown(context=context)


def came(robot: Robot, count: int) -> bool:
    (found,) = robot.prompting.health()
    return int(found.values["came"]) >= count


def test_the_newest_image_is_what_a_prompt_is_about(robot: Robot) -> None:
    assert "no image has come yet" in robot.problem()
    robot.prompting.follow(True)
    until(lambda: robot.publisher.get_subscription_count() == 1)
    (health,) = robot.prompting.health()
    assert health.level == WARN and "no image has come yet" in health.message
    for value in (1, 2):
        robot.publish(value)
        until(lambda count=value: came(robot, count))
    pixels = robot.pixels()
    assert pixels is not None and pixels.shape == (2, 2, 3) and (pixels == 2).all()
    (health,) = robot.prompting.health()
    assert health.level == OK
    robot.prompting.follow(False)  # an image of before is none of now
    assert "no image has come yet" in robot.problem()


def test_what_is_no_image_is_refused_when_a_prompt_asks_for_it(robot: Robot) -> None:
    robot.prompting.follow(True)
    until(lambda: robot.publisher.get_subscription_count() == 1)
    robot.publish(1, encoding="jpeg2000")
    until(lambda: came(robot, 1))
    assert "encoding" in robot.problem()
    robot.publish(1, size=7)
    until(lambda: came(robot, 2))
    assert "cut short" in robot.problem()


def test_an_image_that_came_too_long_ago_is_refused(robot: Robot) -> None:
    (image,) = robot.prompting._images
    image.spec = ImageTopicSpec("/eye", max_age_ns=-1)
    image._take(b"")
    assert "too old" in robot.problem() and "image.max_age_ms" in robot.problem()


def test_a_generator_without_a_topic_is_shown_nothing(robot: Robot) -> None:
    robot.spec = GeneratorSpec("llm", "model.onnx")
    assert robot.pixels() is None
    robot.spec = GeneratorSpec("other", "model.onnx", image=ImageTopicSpec("/eye"))
    assert "nothing brings images" in robot.problem()
