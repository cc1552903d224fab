"""Runs all checks."""

from __future__ import annotations

from aegis_ros.host import kernel, memory, processor, transport
from aegis_ros.host.finding import Finding
from aegis_ros.host.machine import Machine, Needs

__all__ = ["examine"]

_CHECKS = (
    processor.governor,
    processor.boost,
    processor.idle_states,
    processor.smt,
    processor.isolation,
    processor.interrupts,
    processor.ticks,
    processor.steal,
    processor.competition,
    kernel.preemption,
    kernel.realtime_limit,
    kernel.realtime_group,
    kernel.realtime_gap,
    kernel.cpu_quota,
    kernel.timer_slack,
    kernel.clock_source,
    memory.lock_limit,
    memory.swap,
    memory.huge_pages,
    memory.numa_balancing,
    memory.shared_memory,
    transport.socket_buffers,
    transport.dds_profile,
)


def examine(machine: Machine, needs: Needs | None = None) -> tuple[Finding, ...]:
    """Return what every check finds; one that does not concern this machine finds nothing.

    Args:
        machine: what to look at.
        needs: what is to run there.
    """
    wanted = needs or Needs()
    found = [check(machine, wanted) for check in _CHECKS]
    return tuple(item for item in found if item is not None)
