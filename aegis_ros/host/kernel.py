"""Checks of the kernel: preemption, real-time permissions, timers and quotas."""

from __future__ import annotations

import re

from aegis_ros.host.finding import Finding, costs, good, unknown
from aegis_ros.host.machine import Machine, Needs

__all__ = [
    "clock_source",
    "cpu_quota",
    "preemption",
    "realtime_gap",
    "realtime_group",
    "realtime_limit",
    "timer_slack",
]

_CAP_SYS_NICE = 23
_MODEL = "/sys/kernel/debug/sched/preempt"  # of a PREEMPT_DYNAMIC kernel
_FAIR_SERVER = (6, 12)  # first kernel in which it takes the place of throttling
_SERVERS = "/sys/kernel/debug/sched/fair_server/cpu*/runtime"
_GROUPS = "/sys/fs/cgroup/cpu*/cpu.rt_runtime_us"
_SLACK_NS = 50_000  # the default of a process
_STEADY_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page")


def preemption(machine: Machine, needs: Needs) -> Finding:
    """Return whether the kernel can be interrupted nearly everywhere."""
    name = "kernel preemption"
    version = machine.text("/proc/version")
    if version is None:
        return unknown(name)
    if machine.number("/sys/kernel/realtime") == 1 or "PREEMPT_RT" in version:
        return good(name, "PREEMPT_RT")
    kind = re.search(r"\bPREEMPT\w*", version)
    install = (
        "sudo pro enable realtime-kernel"
        if "ubuntu" in (machine.text("/etc/os-release") or "").lower()
        else "sudo apt install linux-image-rt-$(dpkg --print-architecture)"
    )
    hint = f"{install} && sudo reboot"
    full = "preempt=full" in (machine.text("/proc/cmdline") or "").split()
    full = full or "(full)" in (machine.text(_MODEL) or "")
    if kind and kind[0] == "PREEMPT_DYNAMIC" and not full:
        hint = f"echo full | sudo tee {_MODEL}   # or, better: {hint}"
    return costs(
        name,
        kind[0] if kind else "none",
        "a lane waits while the kernel works for another program or a device: up to milliseconds "
        "under heavy input and output",
        hint,
    )


def realtime_limit(machine: Machine, needs: Needs) -> Finding:
    """Return whether the engine may run with SCHED_FIFO."""
    name = "real-time priority"
    most = machine.limit("Max realtime priority")
    if not needs.priority:
        return good(name, "not requested (realtime_priority: 0)")
    if machine.capable(_CAP_SYS_NICE):
        return good(name, "allowed (CAP_SYS_NICE)")
    if most is None:
        return unknown(name)
    if most >= needs.priority:
        return good(name, f"allowed up to {most:.0f}")
    return costs(
        name,
        f"allowed up to {most:.0f}, wanted {needs.priority}",
        "the engine shares its cores with every other program; one competitor on the core of a "
        "lane doubles the execution time of its networks",
        'echo "$USER - rtprio 98" | sudo tee /etc/security/limits.d/aegis_rtprio.conf'
        "   # then log in again",
    )


def realtime_group(machine: Machine, needs: Needs) -> Finding | None:
    """Return whether the group of this process may run real-time threads, where groups decide."""
    found = re.search(
        r"^\d+:(?:[\w=,]*,)?cpu(?:,[\w=,]*)?:(/.*)$", machine.text("/proc/self/cgroup") or "", re.M
    )
    if found is None:
        return None
    folder = f"/sys/fs/cgroup/cpu{found[1].rstrip('/')}"
    runtime = machine.number(f"{folder}/cpu.rt_runtime_us")
    if runtime is None:
        return None
    name = "real-time group"
    if runtime > 0 or runtime == -1:
        return good(
            name, f"allowed for {runtime / 1e3:.0f} ms a second" if runtime > 0 else "allowed"
        )
    return costs(
        name,
        "no time for real-time threads",
        "SCHED_FIFO is refused in this control group, whatever the limits say",
        f"echo 950000 | sudo tee {folder}/cpu.rt_runtime_us",
    )


def realtime_gap(machine: Machine, needs: Needs) -> Finding:
    """Return whether the kernel stops real-time threads that leave no gap."""
    name = "real-time throttling"
    runtime = machine.number("/proc/sys/kernel/sched_rt_runtime_us")
    period = machine.number("/proc/sys/kernel/sched_rt_period_us")
    server = machine.kernel() >= _FAIR_SERVER
    off = runtime is not None and period is not None and not 0 <= runtime < period
    # Only where groups have real-time budgets of their own is the old throttling still there.
    if server and (off or not machine.paths(_GROUPS)):
        return _served(machine, name)
    if runtime is None or period is None or period <= 0:
        return unknown(name)
    if off:
        return good(name, "off")
    gap = (period - runtime) / 1e3
    return costs(
        name,
        f"{runtime / 1e3:.0f} ms in {period / 1e3:.0f} ms",
        f"a lane that is busy without a gap is stopped for {gap:.0f} ms in every "
        f"{period / 1e3:.0f} ms, whether anything waits for its core or not",
        "sudo sysctl -w kernel.sched_rt_runtime_us=-1"
        + (f" && sudo sh -c 'echo 0 | tee {_SERVERS}'" if server else ""),
    )


def _served(machine: Machine, name: str) -> Finding:
    left = machine.numbers(_SERVERS)
    if left and not any(left.values()):
        return good(name, "off (fair server)")
    share = f"{max(left.values()) / 1e6:.0f} ms in every second" if left else "50 ms a second"
    note = "" if left else ", unless changed"
    return costs(
        name,
        f"up to {share} go to others (fair server{note})",
        f"a lane that is busy without a gap is stopped for {share}, if anything else waits for "
        "its core",
        f"sudo sh -c 'echo 0 | tee {_SERVERS}'",
    )


def timer_slack(machine: Machine, needs: Needs) -> Finding:
    """Return by how much timers of ordinary threads may be late."""
    name = "timer slack"
    slack = machine.number("/proc/self/timerslack_ns")
    if slack is None:
        return unknown(name)
    here = f"{slack / 1e3:.0f} µs (the engine sets 1 ns for itself)"
    if slack <= _SLACK_NS:
        return good(name, here)
    return costs(
        name,
        here,
        f"timers of the node that receives frames are up to {slack / 1e3:.0f} µs late",
        f"echo {_SLACK_NS} | sudo tee /proc/$$/timerslack_ns",
    )


def clock_source(machine: Machine, needs: Needs) -> Finding:
    """Return whether the time can be read without asking a device."""
    name = "clock source"
    folder = "/sys/devices/system/clocksource/clocksource0"
    source = machine.text(f"{folder}/current_clocksource")
    if not source:
        return unknown(name)
    if source in _STEADY_CLOCKS:
        return good(name, source)
    other = machine.text(f"{folder}/available_clocksource") or ""
    better = next((item for item in _STEADY_CLOCKS if item in other.split()), "")
    return costs(
        name,
        source,
        "reading the time costs microseconds in the kernel",
        f"echo {better} | sudo tee {folder}/current_clocksource"
        if better
        else "dmesg | grep -i -e tsc -e clocksource   # shows why the kernel dropped the TSC",
    )


def cpu_quota(machine: Machine, needs: Needs) -> Finding:
    """Return whether a control group stops this process when it has used up its share."""
    name = "CPU quota"
    if not machine.exists("/sys/fs/cgroup"):
        return unknown(name)
    tightest: tuple[float, str, float, float] | None = None
    for folder, quota, period in _quotas(machine):
        share = quota / period
        if tightest is None or share < tightest[0]:
            tightest = (share, folder, quota, period)
    if tightest is None:
        return good(name, "none")
    share, folder, quota, period = tightest
    stat = re.search(r"^nr_throttled (\d+)", machine.text(f"{folder}/cpu.stat") or "", re.M)
    times = f", stopped {int(stat[1]):,} times so far" if stat else ""
    unified = machine.exists(f"{folder}/cpu.max")
    return costs(
        name,
        f"{share:.2g} cores{times}",
        f"once all threads together have used {quota / 1e3:.0f} ms, all but real-time threads "
        f"stop until the period of {period / 1e3:.0f} ms ends",
        "docker update --cpus 0 CONTAINER   # on the host"
        if machine.in_container()
        else f"echo max | sudo tee {folder}/cpu.max"
        if unified
        else f"echo -1 | sudo tee {folder}/cpu.cfs_quota_us",
    )


def _quotas(machine: Machine) -> list[tuple[str, float, float]]:
    """Return folder, quota and period in microseconds of every group above this process."""
    found: list[tuple[str, float, float]] = []
    for line in (machine.text("/proc/self/cgroup") or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        if parts[1] == "":
            bases = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
        elif "cpu" in parts[1].split(","):
            bases = ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct")
        else:
            continue
        # Inside a container the path may be the host's, so the top is looked at in any case.
        names = [name for name in parts[2].split("/") if name and name != ".."]
        for base in bases:
            for depth in range(len(names) + 1):
                folder = "/".join([base, *names[:depth]])
                quota = _quota(machine, folder)
                if quota is not None and folder not in [item[0] for item in found]:
                    found.append((folder, *quota))
    return found


def _quota(machine: Machine, folder: str) -> tuple[float, float] | None:
    unified = re.fullmatch(r"(\d+) (\d+)", machine.text(f"{folder}/cpu.max") or "")
    if unified is not None and int(unified[2]):
        return float(unified[1]), float(unified[2])
    quota = machine.number(f"{folder}/cpu.cfs_quota_us")
    period = machine.number(f"{folder}/cpu.cfs_period_us")
    if quota is None or period is None or quota <= 0 or period <= 0:
        return None
    return float(quota), float(period)
