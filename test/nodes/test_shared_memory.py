"""What docs/security.md says of the files that Fast DDS has in /dev/shm."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import rclpy

_PROGRAM = """
import os
os.umask(0o077)
import rclpy
rclpy.init()
node = rclpy.create_node("listener")
with open("/proc/self/maps") as maps:
    paths = {line.split()[-1] for line in maps if "/dev/shm/fast" in line}
print("modes", sorted({oct(os.stat(path).st_mode & 0o777) for path in paths}))
"""


def _modes(**environment: str) -> str:
    """Return the modes of the files by way of which a program with umask 077 is reached."""
    given = {name: value for name, value in os.environ.items() if "PROFILES_FILE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=given | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.partition("modes ")[2].strip()


@pytest.fixture(autouse=True)
def _fast_dds() -> None:
    if not rclpy.get_rmw_implementation_identifier().startswith("rmw_fastrtps"):
        pytest.skip("needs rmw_fastrtps_cpp as RMW_IMPLEMENTATION")


def test_every_user_can_read_it_whatever_the_umask() -> None:
    assert _modes() == "['0o644']"


@pytest.mark.parametrize(("within", "modes"), [("SUBNET", "[]"), ("LOCALHOST", "['0o644']")])
def test_transports_without_it_are_for_those_that_are_found_beyond_this_machine(
    within: str, modes: str
) -> None:
    found = _modes(FASTDDS_BUILTIN_TRANSPORTS="UDPv4", ROS_AUTOMATIC_DISCOVERY_RANGE=within)
    assert found == modes
