"""Chooses the ROS domain a benchmark runs in."""

from __future__ import annotations

import os
from importlib import import_module

__all__ = ["own_domain"]


def own_domain() -> int:
    """Return a domain that nobody on this machine is in.

    The package of a commit before 0.2.0, which benchmarks are run on to compare, cannot say which
    one that is: then it is one that differs from program to program.
    """
    try:
        unused: int = import_module("aegis_ros.nodes.domains").unused_domain()
    except ImportError:
        return 50 + os.getpid() % 50
    return unused
