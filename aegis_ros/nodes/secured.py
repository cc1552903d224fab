"""Explains ROS's refusal to start a node under SROS2 in one sentence."""

from __future__ import annotations

import os
import sys

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.ros_text import plain_ros

__all__ = ["security_refusal", "warn_unless_enforced"]

_ENABLE = "ROS_SECURITY_ENABLE"
_STRATEGY = "ROS_SECURITY_STRATEGY"
_KEYSTORE = "ROS_SECURITY_KEYSTORE"
_NOT_ENFORCED = (
    f"warning: {_ENABLE} is true, and {_STRATEGY} is not Enforce: a program without keys starts "
    f"unprotected. Set {_STRATEGY}=Enforce"
)
_SHOWN = 300  # characters
_KEYS = (
    "Make keys: aegis security policy robot.yaml > policy.xml, then ros2 security "
    "generate_artifacts -k KEYSTORE -p policy.xml (docs/security.md); the enclave is chosen with "
    "--ros-args --enclave, or ROS_SECURITY_ENCLAVE_OVERRIDE"
)


def warn_unless_enforced() -> None:
    """Warn where security is on, and ROS starts what has no keys without it."""
    if os.environ.get(_ENABLE) == "true" and os.environ.get(_STRATEGY) != "Enforce":
        print(_NOT_ENFORCED, file=sys.stderr)


def security_refusal(text: str) -> ConfigError | None:
    """Return why ROS refuses a program, or a node, under security; ``None`` where that is off.

    Args:
        text: of the error of rclpy.
    """
    if os.environ.get(_ENABLE) != "true":
        return None
    detail = plain_ros(text)[:_SHOWN]
    keystore = os.environ.get(_KEYSTORE, "")
    if "security libraries" in text:
        return ConfigError(
            "security is asked for, and this build of the ROS middleware has none",
            where=_ENABLE,
            value="true",
            hint="Use ROS 2 from its apt repository, whose Fast DDS has DDS Security; or unset "
            f"{_ENABLE} where no stranger can reach the domain",
        )
    if not keystore or "SECURITY ERROR" in text:
        return ConfigError(
            "security is asked for, and there are no keys" + (f": {detail}" if keystore else ""),
            where=_KEYSTORE,
            value=keystore or "nothing",
            expected="the folder of a keystore",
            hint=_KEYS,
        )
    return ConfigError(
        f"security is on, and the node was refused: {detail}",
        where=_ENABLE,
        value="true",
        hint="Keys and permissions hold for one ROS_DOMAIN_ID, until they expire, and for the "
        "topics of the policy: compare it with what aegis security policy robot.yaml prints",
    )
