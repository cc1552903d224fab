"""A machine made of files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aegis_ros.host import Machine

CPU = "sys/devices/system/cpu"
LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max locked memory         {memlock:<20} unlimited            bytes
Max realtime priority     {rtprio:<20} 99
"""
STATUS = "CapEff:\t{caps}\nCpus_allowed_list:\t{cores}\n"

#: A robot's computer on which nothing is left to improve.
GOOD: dict[str, str] = {
    f"{CPU}/cpu0/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpu0/cpufreq/cpuinfo_min_freq": "800000",
    f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "3200000",
    f"{CPU}/intel_pstate/no_turbo": "1",
    f"{CPU}/cpu0/cpuidle/state0/latency": "2",
    f"{CPU}/cpu0/cpuidle/state1/latency": "120",
    f"{CPU}/cpu0/cpuidle/state1/disable": "1",
    f"{CPU}/smt/active": "0",
    f"{CPU}/isolated": "2-3",
    f"{CPU}/nohz_full": "2-3",
    f"{CPU}/online": "0-3",
    "proc/cpuinfo": "flags\t\t: fpu vme de",
    "proc/stat": "cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 1 1 1",
    "proc/pressure/cpu": "some avg10=0.00 avg60=1.20 avg300=0.00 total=9",
    "proc/interrupts": "CPU0 CPU1 CPU2 CPU3\n 36: 9 0 0 0 PCI-MSIX 1-edge nvme0q1\nNMI: 1 1 1 1",
    "proc/irq/36/effective_affinity_list": "0",
    "proc/version": "Linux version 6.8.0-rt (gcc) #1 SMP PREEMPT_RT",
    "proc/sys/kernel/osrelease": "6.8.0-rt",
    "proc/sys/kernel/sched_rt_runtime_us": "-1",
    "proc/sys/kernel/sched_rt_period_us": "1000000",
    "proc/sys/kernel/numa_balancing": "0",
    "proc/sys/net/core/rmem_max": "33554432",
    "proc/self/status": STATUS.format(caps="0" * 16, cores="0-3"),
    "proc/self/limits": LIMITS.format(memlock="unlimited", rtprio="98"),
    "proc/self/cgroup": "0::/user.slice/robot",
    "proc/self/timerslack_ns": "50000",
    "proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority",
    "proc/mounts": "tmpfs /dev/shm tmpfs rw,nosuid,size=8388608k 0 0",
    "proc/meminfo": "MemTotal:       16777216 kB",
    "sys/fs/cgroup/cpu.stat": "nr_throttled 0",
    "sys/fs/cgroup/user.slice/cpu.max": "max 100000",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
    "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm",
    "sys/devices/system/node/node0/x": "",
    "sys/devices/system/node/node1/x": "",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "opt/fastdds.xml": "<a><segment_size>67108864</segment_size></a>",
}
VARIABLES = {"FASTRTPS_DEFAULT_PROFILES_FILE": "/opt/fastdds.xml"}


def machine(
    root: Path,
    changes: Mapping[str, str | None] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Machine:
    """Return the good machine with some files changed, or gone where they are ``None``."""
    for path, text in {**GOOD, **(changes or {})}.items():
        if text is not None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text + "\n", encoding="utf-8")
    return Machine(root, VARIABLES if variables is None else variables)
