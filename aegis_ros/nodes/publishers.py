"""Says from the graph which publishers of a topic a subscription cannot hear, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

__all__ = ["Difference", "Heard", "differences", "look"]

# A publisher that offers the first is not heard by who asks for the second (DDS 1.4, 2.2.3).
_WEAKER = {
    "reliability": (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE),
    "durability": (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL),
    "liveliness": (LivelinessPolicy.AUTOMATIC, LivelinessPolicy.MANUAL_BY_TOPIC),
}
_ENDLESS_NS = 1 << 62
# What the middleware says of a node until it has heard of it, and of one that is no ROS node.
_UNKNOWN = "_NODE_NAME_UNKNOWN_"


@dataclass(frozen=True, slots=True)
class Difference:
    """Why a publisher is not heard.

    Attributes:
        publisher: full name of its node; empty while that is not known.
        policy: ``type``, or the quality of service that does not fit.
        offered: what it offers.
        requested: what the subscription asks for.
    """

    publisher: str
    policy: str
    offered: str
    requested: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What the graph knows of a topic.

    Attributes:
        publishers: how many there are, of any type.
        heard: how many of them the subscription hears.
        unheard: what keeps it from hearing the others, one or more a publisher.
        granted: the subscription as the middleware has it; empty where it is not known yet.
    """

    publishers: int = 0
    heard: int = 0
    unheard: tuple[Difference, ...] = ()
    granted: str = ""


def look(node: Node, topic: str, kind: str, asked: QoSProfile) -> Heard:
    """Return what the graph knows of a topic that ``node`` subscribes to.

    Args:
        node: the subscriber.
        topic: resolved name.
        kind: type of the subscription.
        asked: what it was created with.
    """
    got = _granted(node, topic, kind, asked)
    found = [
        tuple(_why_unheard(each, kind, got or asked))
        for each in node.get_publishers_info_by_topic(topic)
    ]
    return Heard(
        len(found),
        found.count(()),
        tuple(each for why in found for each in why),
        "" if got is None else _told(got),
    )


def differences(offered: QoSProfile, requested: QoSProfile) -> Iterator[tuple[str, str, str]]:
    """Give (policy, offered, requested) of what keeps two from being matched.

    What a middleware does not tell of one side keeps nobody apart.
    """
    for policy, (weaker, stronger) in _WEAKER.items():
        if (getattr(offered, policy), getattr(requested, policy)) == (weaker, stronger):
            yield policy, weaker.name.lower(), stronger.name.lower()
    for policy in ("deadline", "liveliness_lease_duration"):
        given, wanted = _ns(getattr(offered, policy)), _ns(getattr(requested, policy))
        if given > wanted:
            yield policy, _span(given), _span(wanted)


def _why_unheard(each: TopicEndpointInfo, kind: str, requested: QoSProfile) -> Iterator[Difference]:
    known = each.node_name != _UNKNOWN
    publisher = f"{each.node_namespace.rstrip('/')}/{each.node_name}" if known else ""
    if each.topic_type != kind:
        yield Difference(publisher, "type", each.topic_type, kind)
        return
    for policy, offered, wanted in differences(each.qos_profile, requested):
        yield Difference(publisher, policy, offered, wanted)


def _granted(node: Node, topic: str, kind: str, asked: QoSProfile) -> QoSProfile | None:
    """Return what the middleware made of a subscription; of several, the one nearest."""
    own: Sequence[TopicEndpointInfo] = [
        each
        for each in node.get_subscriptions_info_by_topic(topic)
        if (each.node_name, each.node_namespace) == (node.get_name(), node.get_namespace())
        and each.topic_type == kind
    ]
    alike = [each for each in own if each.qos_profile.reliability == asked.reliability]
    return next((each.qos_profile for each in (*alike, *own)), None)


def _told(qos: QoSProfile) -> str:
    return f"{qos.reliability.name}, {qos.durability.name}".lower()


def _ns(duration: Duration) -> int:
    nanoseconds = int(duration.nanoseconds)
    return nanoseconds if 0 < nanoseconds < _ENDLESS_NS else _ENDLESS_NS


def _span(nanoseconds: int) -> str:
    return "none" if nanoseconds >= _ENDLESS_NS else f"{nanoseconds / 1e6:g} ms"
