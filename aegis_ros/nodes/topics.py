"""Refuses topics that could not be used: DDS allows one type a topic, and says so too late."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.companions import companion
from aegis_ros.nodes.ros_text import plain_ros
from aegis_ros.spec import TaskSpec

__all__ = ["check_topics", "why_refused"]

_RESULT = "aegis_ros/msg/InferenceResult"
_IMAGE = "sensor_msgs/msg/Image"


def check_topics(node: Node, spec: TaskSpec, others: Iterable[TaskSpec] = ()) -> None:
    """Compare a task's topics with those of other tasks, and with what the graph shows now.

    A sensor topic that another node publishes with another type is no error here: that node may go
    and the right one come, and diagnostics say so. What this node itself uses otherwise would
    end the participant's endpoint, so it is refused.

    Args:
        node: the orchestrator, by whose rules names are resolved.
        spec: the task.
        others: the tasks that run beside it.

    Raises:
        ConfigError: names the field, the topic and who uses it.
    """
    everyone = _types(node)
    own = dict(node.get_publisher_names_and_types_by_node(node.get_name(), node.get_namespace()))
    taken = {
        name: (kind, f"task {other.name}")
        for other in others
        for _, name, kind, _ in _uses(node, other)
    }
    for field, name, kind, publishes in _uses(node, spec):
        used, user = taken.get(name, (kind, ""))
        if used == kind:
            graph = everyone if publishes else own
            used = ", ".join(each for each in graph.get(name, ()) if each != kind) or kind
        if used != kind:
            raise ConfigError(
                f"the topic is in use with type {used}" + (f" by {user}" if user else ""),
                where=field,
                value=name,
                expected=f"a topic of type {kind}",
                hint=f"Choose another topic, or see who uses this one: ros2 topic info -v {name}",
            )
        taken[name] = (kind, field)


def why_refused(node: Node, topic: str, kind: str, error: Exception) -> str:
    """Return why ROS refuses a subscription to a topic.

    Where another node of this process uses the topic with another type, its own text is about
    memory that it could not clean up.

    Args:
        node: that wanted to subscribe.
        topic: full name.
        kind: type of the subscription.
        error: what rclpy raised.
    """
    used = ", ".join(each for each in _types(node).get(topic, ()) if each != kind)
    return f"the topic is in use with type {used}" if used else plain_ros(str(error))


def _types(node: Node) -> dict[str, list[str]]:
    return dict(node.get_topic_names_and_types())


def _uses(node: Node, spec: TaskSpec) -> Iterator[tuple[str, str, str, bool]]:
    """Give (field, full name, type, whether it publishes there) of each topic of a task."""
    output = spec.output
    yield "output.topic", _resolve(node, output.topic, "output.topic"), _RESULT, True
    if output.annotate:
        yield "output.annotate", companion(node, output.topic, "annotated"), _IMAGE, True
    for name, source, _ in spec.sources:
        field = f"inputs.{name}.topic" if name else "input.topic"
        yield field, _resolve(node, source.topic, field), source.type, False


def _resolve(node: Node, topic: str, field: str) -> str:
    try:
        return str(node.resolve_topic_name(topic))
    except InvalidTopicNameException as error:
        raise ConfigError(f"no name of a topic ({error})", where=field, value=topic) from error
