"""Checks of memory: what can make a page fault take long, and how much is shared."""

from __future__ import annotations

import re

from aegis_ros.host.finding import Finding, costs, good, unknown
from aegis_ros.host.machine import Machine, Needs

__all__ = ["huge_pages", "lock_limit", "numa_balancing", "shared_memory", "swap"]

_CAP_IPC_LOCK = 14
_MIB = 1024 * 1024
_LOCKED_BYTES = 4096 * _MIB
_SHARED_BYTES = 512 * _MIB  # some publishers of 64 MiB each, the engine's slots, the rest is spare


def lock_limit(machine: Machine, needs: Needs) -> Finding:
    """Return whether the engine may lock its memory."""
    name = "memory lock"
    most = machine.limit("Max locked memory")
    if machine.capable(_CAP_IPC_LOCK):
        return good(name, "allowed (CAP_IPC_LOCK)")
    if most is None:
        return unknown(name)
    if most >= _LOCKED_BYTES:
        return good(name, "allowed" if most == float("inf") else f"up to {most / _MIB:.0f} MiB")
    return costs(
        name,
        f"up to {most / _MIB:.0f} MiB",
        "the kernel can page out weights between two frames; the next job then waits for the disk",
        'echo "$USER - memlock unlimited" | sudo tee /etc/security/limits.d/aegis_memlock.conf'
        "   # then log in again",
    )


def swap(machine: Machine, needs: Needs) -> Finding:
    """Return whether memory can be moved to a disk."""
    name = "swap"
    text = machine.text("/proc/swaps")
    if text is None:
        return unknown(name)
    areas = [line.split() for line in text.splitlines()[1:] if line.strip()]
    if not areas:
        return good(name, "off")
    size = sum(int(area[2]) for area in areas if len(area) > 2 and area[2].isdigit())
    return costs(
        name,
        f"{size / 1024:.0f} MiB on {', '.join(area[0] for area in areas)}",
        "reading a page back takes milliseconds, in the middle of the network that needs it",
        "sudo swapoff -a",
    )


def huge_pages(machine: Machine, needs: Needs) -> Finding:
    """Return whether the kernel makes huge pages on its own."""
    name = "transparent huge pages"
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    found = re.search(r"\[(\w+)\]", machine.text(path) or "")
    if found is None:
        return unknown(name)
    if found[1] != "always":
        return good(name, found[1])
    return costs(
        name,
        "always",
        "the kernel stops a program to merge its pages, for up to milliseconds each time",
        f"echo madvise | sudo tee {path}",
    )


def numa_balancing(machine: Machine, needs: Needs) -> Finding | None:
    """Return whether the kernel moves pages between memories, where there are several."""
    name = "NUMA balancing"
    nodes = machine.paths("/sys/devices/system/node/node[0-9]*")
    on = machine.number("/proc/sys/kernel/numa_balancing")
    if len(nodes) < 2 or on is None:
        return None
    if not on:
        return good(name, "off")
    return costs(
        name,
        f"on, {len(nodes)} nodes",
        "the kernel unmaps pages to find out who uses them, and moves them under a running network",
        "sudo sysctl -w kernel.numa_balancing=0",
    )


def shared_memory(machine: Machine, needs: Needs) -> Finding:
    """Return whether frames fit into shared memory."""
    name = "shared memory"
    size = machine.mounted_bytes("/dev/shm")
    if size is None and machine.text("/proc/mounts") is None:
        return unknown(name)
    here = "not mounted" if size is None else f"{size / _MIB:.0f} MiB"
    if size is not None and size >= _SHARED_BYTES:
        return good(name, here)
    return costs(
        name,
        here,
        "frames pass between processes through it; when it is full, they are lost or take the "
        "network",
        "docker run --shm-size=1g …"
        if machine.in_container()
        else "sudo mount -o remount,size=1G /dev/shm"
        if size is not None
        else "sudo mount -t tmpfs -o size=1G tmpfs /dev/shm",
    )
