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


def test_a_domain_is_not_chosen_either_whose_only_node_is_its_program_s_second() -> None:
    """Fast DDS numbers a program's participants through all domains."""
    first, second = rclpy.Context(), rclpy.Context()
    rclpy.init(context=first, domain_id=unused_domain(_DOMAINS))
    elsewhere = rclpy.create_node("elsewhere", context=first)
    domain = unused_domain(_DOMAINS)
    rclpy.init(context=second, domain_id=domain)
    node = rclpy.create_node("somebody", context=second)
    try:
        assert unused_domain([domain, *_DOMAINS]) != domain
    finally:
        for each, context in ((node, second), (elsewhere, first)):
            each.destroy_node()
            rclpy.shutdown(context=context)
