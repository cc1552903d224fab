"""Which publishers a subscription cannot hear, by every policy that DDS matches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

from aegis_ros.nodes.publishers import Difference, differences, look

USUAL = QoSProfile(depth=1)
TYPE = "sensor_msgs/msg/Image"


def _qos(**policies: object) -> QoSProfile:
    return QoSProfile(depth=1, **policies)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offered", "requested", "reported"),
    [
        (
            _qos(reliability=ReliabilityPolicy.BEST_EFFORT),
            _qos(reliability=ReliabilityPolicy.RELIABLE),
            ("reliability", "best_effort", "reliable"),
        ),
        (
            _qos(durability=DurabilityPolicy.VOLATILE),
            _qos(durability=DurabilityPolicy.TRANSIENT_LOCAL),
            ("durability", "volatile", "transient_local"),
        ),
        (
            _qos(liveliness=LivelinessPolicy.AUTOMATIC),
            _qos(liveliness=LivelinessPolicy.MANUAL_BY_TOPIC),
            ("liveliness", "automatic", "manual_by_topic"),
        ),
        (
            _qos(deadline=Duration(nanoseconds=200_000_000)),
            _qos(deadline=Duration(nanoseconds=100_000_000)),
            ("deadline", "200 ms", "100 ms"),
        ),
        (USUAL, _qos(deadline=Duration(nanoseconds=1_500_000)), ("deadline", "none", "1.5 ms")),
        (
            _qos(liveliness_lease_duration=Duration(seconds=2)),
            _qos(liveliness_lease_duration=Duration(seconds=1)),
            ("liveliness_lease_duration", "2000 ms", "1000 ms"),
        ),
    ],
)
def test_a_publisher_that_offers_less_is_told_by_policy_and_the_other_way_round_fits(
    offered: QoSProfile, requested: QoSProfile, reported: tuple[str, str, str]
) -> None:
    assert list(differences(offered, requested)) == [reported]
    assert list(differences(requested, offered)) == []


def test_equal_profiles_and_unknown_policies_keep_nobody_apart() -> None:
    unknown = _qos(
        reliability=ReliabilityPolicy.UNKNOWN,
        durability=DurabilityPolicy.SYSTEM_DEFAULT,
        deadline=Duration(nanoseconds=(1 << 63) - 1),
    )
    assert list(differences(USUAL, USUAL)) == []
    assert list(differences(unknown, USUAL)) == []
    assert list(differences(USUAL, unknown)) == []


class _Graph:
    """A node whose middleware made something else of its subscription than it asked for."""

    def __init__(self, *got: QoSProfile) -> None:
        self._got = got

    def get_name(self) -> str:
        return "intake"

    def get_namespace(self) -> str:
        return "/"

    def get_subscriptions_info_by_topic(self, topic: str) -> list[Any]:
        return [_endpoint("intake", each) for each in self._got]

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        return [_endpoint("driver", _qos(reliability=ReliabilityPolicy.BEST_EFFORT))]


def _endpoint(name: str, qos: QoSProfile) -> Any:
    return SimpleNamespace(node_name=name, node_namespace="/", topic_type=TYPE, qos_profile=qos)


def test_what_the_subscription_got_is_read_back_and_compared_not_what_it_asked_for() -> None:
    asked = _qos(reliability=ReliabilityPolicy.BEST_EFFORT)
    got: Any = _Graph(_qos(reliability=ReliabilityPolicy.RELIABLE))
    heard = look(got, "/camera", TYPE, asked)
    assert heard.granted == "reliable, volatile"
    assert heard.unheard == (Difference("/driver", "reliability", "best_effort", "reliable"),)
    none: Any = _Graph()  # not known yet
    assert look(none, "/camera", TYPE, asked).granted == ""
    assert look(none, "/camera", TYPE, asked).heard == 1
