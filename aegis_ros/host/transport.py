"""Checks of how frames reach a node: socket buffers and the profile of Fast DDS."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aegis_ros.host.finding import Finding, costs, good, unknown
from aegis_ros.host.machine import Machine, Needs

__all__ = ["dds_profile", "socket_buffers"]

_MIB = 1024 * 1024
_BUFFER_BYTES = 8 * _MIB  # a colour image of 1920 x 1080 has 6.2 MB
_SEGMENT_BYTES = 16 * _MIB
_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_PROFILE = "config/fastdds.xml"
_CHECKOUT = Path(__file__).resolve().parents[2]


def socket_buffers(machine: Machine, needs: Needs) -> Finding:
    """Return whether a frame fits into what a socket may hold."""
    name = "socket buffers"
    most = machine.number("/proc/sys/net/core/rmem_max")
    if most is None:
        return unknown(name)
    here = f"{most / _MIB:.1f} MiB (net.core.rmem_max)"
    if most >= _BUFFER_BYTES:
        return good(name, here)
    return costs(
        name,
        here,
        "a large image from another computer does not fit; when the reader is slightly late, parts "
        "are lost, and with them the frame",
        f"sudo sysctl -w net.core.rmem_max={4 * _BUFFER_BYTES}",
    )


def dds_profile(machine: Machine, needs: Needs) -> Finding:
    """Return whether Fast DDS uses shared memory that holds whole images."""
    name = "Fast DDS profile"
    middleware = machine.environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if not middleware.startswith("rmw_fastrtps"):
        return good(name, f"not used ({middleware})")
    cost = (
        "the default shared-memory segment holds 512 KiB: most best-effort images above VGA are "
        "lost without an error. Every process that publishes images needs the profile, camera "
        "drivers too"
    )
    hint = f"export FASTRTPS_DEFAULT_PROFILES_FILE={_profile_of(machine)}"
    variable = next((item for item in _VARIABLES if machine.environment.get(item)), "")
    if not variable:
        return costs(name, "not set", cost, hint)
    path = machine.environment[variable]
    text = machine.text(path)
    if text is None:
        return costs(name, f"{path}, which cannot be read", cost, hint)
    sizes = [int(item) for item in re.findall(r"<segment_size>\s*(\d{1,18})\s*<", text)]
    if not sizes:
        return costs(name, f"{path}, which has no segment_size", cost, hint)
    if max(sizes) < _SEGMENT_BYTES:
        return costs(name, f"a segment of {max(sizes) / _MIB:.2g} MiB", cost, hint)
    return good(name, f"a segment of {max(sizes) / _MIB:.0f} MiB")


def _profile_of(machine: Machine) -> str:
    """Return the installed profile, that of a checkout, or else a command that finds it.

    A path needs no `ros2`, which an installation from wheels has not.
    """
    for prefix in machine.environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        path = f"{prefix}/share/aegis_ros/{_PROFILE}"
        if prefix and machine.exists(path):
            return path
    if (_CHECKOUT / _PROFILE).is_file():
        return str(_CHECKOUT / _PROFILE)
    return f"$(ros2 pkg prefix aegis_ros --share)/{_PROFILE}"
