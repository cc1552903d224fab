"""The newest image of a topic over real DDS, as a generator's prompts are about it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from aegis_ros.errors import ConfigError, InputError
from aegis_ros.network.generator.vision.facts import ImageFacts
from aegis_ros.nodes.diagnostics import OK, WARN, Diagnosis
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

    def __init__(self, context: Context, kind: str = "sensor_msgs/msg/Image") -> None:
        self.node = LifecycleNode("orchestrator", context=context)
        self.camera = Node("camera", context=context)
        image = ImageTopicSpec(
            "/eye", qos="reliable", max_age_ns=A_DAY_NS, type=kind, others=("left",)
        )
        self.spec = GeneratorSpec("llm", "model.onnx", image=image)
        self.shown = Shown()
        owner: Any = SimpleNamespace(
            log=RationaleLog(),
            spec=SimpleNamespace(generators=(self.spec,)),
            generators=SimpleNamespace(shown=self.shown),
        )
        self.prompting = Prompting(self.node, owner)
        self.type = CompressedImage if kind.endswith("CompressedImage") else Image
        self.publisher = self.camera.create_publisher(self.type, "/eye", 10)

    def candidate(self, **changes: Any) -> Any:
        return SimpleNamespace(
            spec=self.spec, prepared=SimpleNamespace(facts=SimpleNamespace(image=FACTS)), **changes
        )

    def publish(self, value: int, encoding: str = "rgb8", size: int = 12) -> None:
        self.publisher.publish(
            Image(height=2, width=2, encoding=encoding, step=6, data=bytes([value]) * size)
        )

    def pixels(self, topic: str = "") -> np.ndarray | None:
        found = self.shown.newest(self.candidate(), topic)
        return None if found is None else found.pixels

    def problem(self, topic: str = "") -> str:
        with pytest.raises((InputError, ConfigError)) as told:
            self.pixels(topic)
        return str(told.value)

    def close(self) -> None:
        self.prompting.close()
        self.prompting.destroy()
        self.camera.destroy_node()
        self.node.destroy_node()


@pytest.fixture
def robot(request: pytest.FixtureRequest) -> Iterator[Robot]:
    context = Context()
    rclpy.init(context=context)
    made = Robot(context, *getattr(request, "param", ()))
    yield made
    made.close()
    rclpy.try_shutdown(context=context)


def health(robot: Robot, topic: str = "/eye") -> Diagnosis:
    return next(each for each in robot.prompting.health() if each.values["topic"] == topic)


def came(robot: Robot, count: int, topic: str = "/eye") -> bool:
    return int(health(robot, topic).values["came"]) >= count


def test_the_newest_image_is_what_a_prompt_is_about(robot: Robot) -> None:
    assert "no image has come yet" in robot.problem()
    robot.prompting.follow(True)
    until(lambda: robot.publisher.get_subscription_count() == 1)
    found = health(robot)
    assert found.name == "images of llm on /eye"
    assert found.level == WARN and "no image has come yet" in found.message
    for value in (1, 2):
        robot.publish(value)
        until(lambda count=value: came(robot, count))
    pixels = robot.pixels()
    assert pixels is not None and pixels.shape == (2, 2, 3) and (pixels == 2).all()
    assert health(robot).level == OK
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
    image, _ = robot.prompting._images
    image.spec = ImageTopicSpec("/eye", max_age_ns=-1)
    image._take(b"")
    assert "too old" in robot.problem() and "image.max_age_ms" in robot.problem()


def test_a_generator_without_a_topic_is_shown_nothing(robot: Robot) -> None:
    robot.spec = GeneratorSpec("llm", "model.onnx")
    assert robot.pixels() is None
    robot.spec = GeneratorSpec("other", "model.onnx", image=ImageTopicSpec("/eye"))
    assert "nothing brings images" in robot.problem()


def test_a_prompt_may_name_another_topic_of_the_generator_and_no_other(robot: Robot) -> None:
    robot.prompting.follow(True)
    left = robot.camera.create_publisher(Image, "/left", 10)
    until(lambda: left.get_subscription_count() == 1)
    left.publish(Image(height=1, width=1, encoding="mono8", step=1, data=b"\x07"))
    until(lambda: came(robot, 1, "left"))
    for name in ("left", "/left"):
        pixels = robot.pixels(name)
        assert pixels is not None and (pixels == 7).all()
    assert "no image has come yet" in robot.problem()
    assert "expected one of /eye, left" in robot.problem("/front")
    assert "image.others" in robot.problem("/front")
    assert robot.node.count_subscribers("/front") == 0


@pytest.mark.parametrize(
    "robot", [("sensor_msgs/msg/CompressedImage",)], indirect=True, ids=["compressed"]
)
def test_compressed_images_are_read_and_what_is_none_is_refused(robot: Robot) -> None:
    robot.prompting.follow(True)
    until(lambda: robot.publisher.get_subscription_count() == 1)
    _, png = cv2.imencode(".png", np.full((6, 4, 3), (9, 8, 7), np.uint8))
    message = CompressedImage(format="png", data=png.tobytes())
    message.header.frame_id = "lens"
    robot.publisher.publish(message)
    until(lambda: came(robot, 1))
    found = robot.shown.newest(robot.candidate())
    assert found is not None and (found.frame_id, found.number) == ("lens", 1)
    assert found.pixels.reshape(-1, 3).tolist() == [[7, 8, 9]] * 4
    robot.publisher.publish(CompressedImage(format="png", data=png.tobytes()[:-9]))
    until(lambda: came(robot, 2))
    assert "damaged" in robot.problem()
