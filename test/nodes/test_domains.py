"""Programs that start nodes of their own meet nobody else's."""

from __future__ import annotations

import rclpy

from aegis_ros.nodes.domains import unused_domain

# Beyond those of the other tests, and below the ports that the kernel gives to anybody: nobody else
# takes one of them between the look and the node.
_DOMAINS = range(40)


def test_a_domain_that_has_a_node_is_not_chosen() -> None:
    domain = unused_domain(_DOMAINS)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("somebody", context=context)
    try:
        assert unused_domain([domain, *_DOMAINS]) != domain
        assert unused_domain([domain]) == domain  # none is free: any will do
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    assert unused_domain([domain]) == domain
