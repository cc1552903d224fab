"""What all tests share: every test process hears only itself on DDS."""

from __future__ import annotations

import os

_FIRST_DOMAIN = 40


def pytest_configure() -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    os.environ["ROS_DOMAIN_ID"] = str(_FIRST_DOMAIN + int(worker.removeprefix("gw")) % 60)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
