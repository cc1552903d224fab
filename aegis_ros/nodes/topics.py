"""Refuses topics that could not be used: DDS allows one type a topic, and says so too late."""

from __future__ import annotations

from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node

from aegis_ros.errors import ConfigError
from aegis_ros.spec import TaskSpec

__all__ = ["check_topics"]

_RESULT = "aegis_ros/msg/InferenceResult"
_IMAGE = "sensor_msgs/msg/Image"


def check_topics(node: Node, spec: TaskSpec) -> None:
    """Compare a task's topics with what the graph shows now.

    A sensor topic that another node publishes with another type is no error here: that node may go
    and the right one come, and diagnostics say so. What this node itself uses otherwise would
    end the participant's endpoint, so it is refused.

    Raises:
        ConfigError: names the field, the topic and who uses it.
    """
    everyone = dict(node.get_topic_names_and_types())
    own = dict(node.get_publisher_names_and_types_by_node(node.get_name(), node.get_namespace()))
    wanted = [("output.topic", spec.output.topic, _RESULT, everyone)]
    if spec.output.annotate:
        wanted.append(("output.annotate", f"{spec.output.topic}/annotated", _IMAGE, everyone))
    for name, source, _ in spec.sources:
        field = f"inputs.{name}.topic" if name else "input.topic"
        wanted.append((field, source.topic, source.type, own))
    for field, topic, kind, used in wanted:
        try:
            name = node.resolve_topic_name(topic)
        except InvalidTopicNameException as error:
            raise ConfigError(f"no name of a topic ({error})", where=field, value=topic) from error
        others = [each for each in used.get(name, ()) if each != kind]
        if others:
            raise ConfigError(
                f"the topic is in use with type {', '.join(others)}",
                where=field,
                value=name,
                expected=f"a topic of type {kind}",
                hint=f"Choose another topic, or see who uses this one: ros2 topic info -v {name}",
            )
