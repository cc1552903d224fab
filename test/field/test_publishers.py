"""Publishers whose quality of service or type is not what a task declares, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from aegis_ros.srv import RegisterModel, UnregisterModel
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from test.nodes.system import System, running

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


def _health(system: System, task: str, **values: str) -> Any:
    """The newest diagnosis of a task, once it has these values."""

    def newest() -> Any:
        for array in reversed(system.diagnostics):
            for each in array.status:
                if each.name.endswith(f"task {task}"):
                    had = {item.key: item.value for item in each.values}
                    return each if values.items() <= had.items() else None
        return None

    return system.until(newest)


def _register(system: System, name: str, **changes: Any) -> None:
    answer = system.call(RegisterModel, task=system.task(name, **changes))
    assert answer.admitted, answer.rationale.sentence
    system.listen(name)


def test_a_reliable_task_on_a_best_effort_camera_is_told_and_registering_again_mends_it(
    system: System,
) -> None:
    camera = system.robot.create_publisher(Image, "/deaf/image", BEST_EFFORT)
    _register(system, "deaf", input__qos="reliable")
    reported = system.rationale("topic_qos", "deaf").sentence
    assert reported == (
        "deaf receives nothing from /robot on /deaf/image: the publisher offers reliability "
        "best_effort, and the subscription asks for reliable; declare qos: best_effort, or have "
        "the publisher offer reliable."
    )
    health = _health(system, "deaf", subscription="/deaf/image: reliable, volatile")
    assert health.level == b"\2" and health.message == reported.rstrip(".")
    assert system.call(UnregisterModel, name="deaf").success
    graph = system.robot
    system.until(lambda: not graph.get_subscriptions_info_by_topic("/deaf/image"))
    _register(system, "deaf", input__qos="best_effort")
    system.until(lambda: system.results_of("deaf"), lambda: camera.publish(system.image()))
    health = _health(system, "deaf", subscription="/deaf/image: best_effort, volatile")
    assert "offers" not in health.message
    assert system.call(UnregisterModel, name="deaf").success


def test_two_tasks_on_one_topic_each_get_the_reliability_they_ask_for(system: System) -> None:
    topic = "/shared/image"
    _register(system, "fast", input__topic=topic)
    _register(system, "sure", input__topic=topic, input__qos="reliable")
    camera = system.robot.create_publisher(Image, topic, RELIABLE)
    system.until(lambda: camera.get_subscription_count() == 2)
    got = {
        each.qos_profile.reliability for each in system.robot.get_subscriptions_info_by_topic(topic)
    }
    assert got == {ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE}
    system.until(
        lambda: system.results_of("fast") and system.results_of("sure"),
        lambda: camera.publish(system.image()),
    )
    _health(system, "fast", subscription=f"{topic}: best_effort, volatile")
    _health(system, "sure", subscription=f"{topic}: reliable, volatile")
    system.robot.destroy_publisher(camera)
    system.robot.create_publisher(Image, topic, BEST_EFFORT)
    assert "/robot" in system.rationale("topic_qos", "sure").sentence
    assert not [
        each for each in system.rationales if (each.rule, each.task) == ("topic_qos", "fast")
    ]


def test_a_publisher_of_another_type_is_named_with_both_types(system: System) -> None:
    _register(system, "typed")
    # One process has one type for each topic: the stranger is a participant of its own.
    context = Context()
    rclpy.init(context=context)
    stranger = Node("stranger", context=context)
    stranger.create_publisher(CompressedImage, "/typed/image", BEST_EFFORT)
    reported = system.until(  # the graph may know of the publisher before it knows of its node
        lambda: next(
            (each.sentence for each in system.rationales if "/stranger" in each.sentence), ""
        )
    )
    rclpy.shutdown(context=context)
    assert reported.startswith(
        "typed receives nothing from /stranger on /typed/image: it publishes"
    )
    assert "sensor_msgs/msg/CompressedImage" in reported
    assert "declares type: sensor_msgs/msg/Image" in reported
    camera = system.robot.create_publisher(Image, "/typed/image", BEST_EFFORT)
    system.until(lambda: system.results_of("typed"), lambda: camera.publish(system.image()))


def test_a_relative_topic_has_the_publisher_of_its_full_name(system: System) -> None:
    camera = system.robot.create_publisher(Image, "/orchestrator/own_image", BEST_EFFORT)
    _register(system, "relative", input__topic="~/own_image")
    system.until(lambda: system.results_of("relative"), lambda: camera.publish(system.image()))
    health = _health(system, "relative", subscription="~/own_image: best_effort, volatile")
    assert "no publisher" not in health.message


def test_a_topic_that_never_has_a_frame_is_told_with_the_reason_from_the_graph(
    system: System,
) -> None:
    def health() -> Any:
        arrays = [each for array in system.diagnostics for each in array.status]
        return [each for each in arrays if each.name.endswith("task mute")]

    _register(system, "mute")
    first = system.until(health)[0]
    assert (first.level, first.message) == (b"\0", "waits for the first frame on /mute/image")
    system.until(lambda: "/mute/image has no publisher" in health()[-1].message)
    assert health()[-1].level == b"\1"
    camera = system.robot.create_publisher(Image, "/mute/image", BEST_EFFORT)
    system.until(lambda: "/mute/image is silent although 1 publisher(s)" in health()[-1].message)
    assert health()[-1].level == b"\1"
    system.until(lambda: system.results_of("mute"), lambda: camera.publish(system.image()))
    assert system.call(UnregisterModel, name="mute").success
