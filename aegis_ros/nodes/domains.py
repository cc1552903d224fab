"""Finds a ROS domain that nobody on this machine is in."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

__all__ = ["unused_domain"]

_DOMAINS = range(50, 100)
# Well-known ports of the DDS wire protocol (OMG formal/2022-04-01, 9.6.2.3): participant p of
# domain d receives its unicast discovery traffic on _BASE + _PER_DOMAIN * d + 10 + 2 * p. Numbers
# of participants begin at 0 on a machine, but for a program that has one in another domain already;
# where only this machine is heard, rmw_fastrtps looks for as many as this.
_BASE = 7400
_PER_DOMAIN = 250
_PARTICIPANTS = [10 + 2 * participant for participant in range(32)]


def unused_domain(domains: Sequence[int] = _DOMAINS) -> int:
    """Return a ROS domain in which no program of this machine has a node.

    Args:
        domains: to choose from; the search begins at a place that differs from program to program.

    Returns:
        The first unused one, or the one the search begins at if all are in use.
    """
    start = os.getpid() % len(domains)
    ordered = [*domains[start:], *domains[:start]]
    return next((domain for domain in ordered if not _in_use(domain)), ordered[0])


def _in_use(domain: int) -> bool:
    return any(_is_taken(_BASE + _PER_DOMAIN * domain + offset) for offset in _PARTICIPANTS)


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False
