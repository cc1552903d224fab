"""Programs that start nodes of their own meet nobody else's."""

from __future__ import annotations

import rclpy

from aegis_ros.nodes.domains import unused_domain


def test_a_domain_that_has_a_node_is_not_chosen() -> None:
    domain = unused_domain(range(100, 110))
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("somebody", context=context)
    try:
        assert unused_domain(range(domain, domain + 10)) != domain
        assert unused_domain([domain]) == domain  # none is free: any will do
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    assert unused_domain([domain]) == domain
