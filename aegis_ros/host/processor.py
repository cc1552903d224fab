"""Checks of the cores: clocks, sleep, sharing, and who else runs there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aegis_ros.host.finding import Finding, costs, good, unknown
from aegis_ros.host.machine import Machine, Needs, core_list, core_text

__all__ = [
    "boost",
    "competition",
    "governor",
    "idle_states",
    "interrupts",
    "isolation",
    "smt",
    "steal",
    "ticks",
]

_CPU = "/sys/devices/system/cpu"
_IDLE_LIMIT_US = 50
_STEAL_LIMIT = 0.001
_WAIT_LIMIT_PERCENT = 5.0
_DEVICES_SHOWN = 3


def governor(machine: Machine, needs: Needs) -> Finding:
    """Return whether cores keep their clock."""
    name = "clock governor"
    found = {machine.text(path) for path in machine.paths(f"{_CPU}/cpu*/cpufreq/scaling_governor")}
    kinds = sorted(kind for kind in found if kind)
    if not kinds:
        return unknown(name, "no cpufreq: firmware or the host sets the clocks")
    if kinds == ["performance"]:
        return good(name, "performance")
    lowest = list(machine.numbers(f"{_CPU}/cpu*/cpufreq/cpuinfo_min_freq").values()) or [0]
    highest = machine.numbers(f"{_CPU}/cpu*/cpufreq/cpuinfo_max_freq").values()
    times = f" {max(highest) / min(lowest):.1f} times" if highest and all(lowest) else ""
    return costs(
        name,
        ", ".join(kinds),
        f"an idle core starts at a low clock, and a network takes up to{times} longer than "
        "measured",
        "sudo nvpmodel -m 0 && sudo jetson_clocks"
        if machine.is_jetson()
        else f"echo performance | sudo tee {_CPU}/cpu*/cpufreq/scaling_governor",
    )


def boost(machine: Machine, needs: Needs) -> Finding | None:
    """Return whether clocks rise above the nominal one, where the machine can do that."""
    name = "clock boost"
    no_turbo = machine.number(f"{_CPU}/intel_pstate/no_turbo")
    on = machine.number(f"{_CPU}/cpufreq/boost")
    if no_turbo is None and on is None:
        return None
    if no_turbo == 1 or (no_turbo is None and on == 0):
        return good(name, "off")
    path, value = (
        (f"{_CPU}/cpufreq/boost", 0) if no_turbo is None else (f"{_CPU}/intel_pstate/no_turbo", 1)
    )
    return costs(
        name,
        "on",
        "the clock depends on heat and on how many cores are busy; budgets measured on a cool "
        "machine are too short for a warm one",
        f"echo {value} | sudo tee {path}",
    )


def idle_states(machine: Machine, needs: Needs) -> Finding:
    """Return how long a core takes to wake up."""
    name = "sleep states"
    if machine.writable("/dev/cpu_dma_latency"):
        return good(name, "disabled while the engine runs")
    slowest = 0
    states = machine.numbers(f"{_CPU}/cpu*/cpuidle/state*/latency")
    if not states:
        return unknown(name, "no cpuidle: firmware or the host decides on sleep")
    for path, latency_us in states.items():
        if machine.number(path.replace("/latency", "/disable")) != 1:
            slowest = max(slowest, latency_us)
    if slowest <= _IDLE_LIMIT_US:
        return good(name, f"awake within {slowest} µs")
    return costs(
        name,
        f"awake within {slowest} µs",
        f"a frame whose core is asleep starts up to {slowest} µs late, and the engine has no "
        "permission to keep it awake",
        """echo 'KERNEL=="cpu_dma_latency", MODE="0666"' | sudo tee """
        "/etc/udev/rules.d/60-aegis.rules && sudo udevadm trigger   # lets engines do so",
    )


def smt(machine: Machine, needs: Needs) -> Finding:
    """Return whether two threads share a core."""
    name = "hyper-threading"
    active = machine.number(f"{_CPU}/smt/active")
    if active is None:
        return unknown(name)
    if not active:
        return good(name, "off")
    return costs(
        name,
        "on",
        "two threads share the units and the cache of a core; a program beside a lane slows it "
        "by a third or more",
        f"echo off | sudo tee {_CPU}/smt/control",
    )


def isolation(machine: Machine, needs: Needs) -> Finding:
    """Return whether lanes have their cores for themselves."""
    name = "isolated cores"
    cores = machine.cores()
    text = machine.text(f"{_CPU}/isolated")
    if text is None:
        return unknown(name)
    isolated = core_list(text)
    wanted = set(needs.cores)
    if isolated and wanted <= set(isolated):
        return good(name, f"{core_text(isolated)} of {len(cores)}")
    missing = sorted(wanted - set(isolated)) or _suggested(cores)
    if not missing:
        return costs(
            name,
            "none; there is only one core",
            "all other programs share it with the lanes",
            "use a machine with at least two cores",
        )
    here = f"none of {len(cores)}"
    if isolated:
        here = f"{core_text(isolated)}; not {core_text(missing)}"
    return costs(
        name,
        here,
        "the kernel places other programs and interrupts on the cores of lanes",
        _boot_option(f"isolcpus=managed_irq,domain,{core_text(missing)}", "isolcpus"),
    )


def interrupts(machine: Machine, needs: Needs) -> Finding:
    """Return which devices interrupt the cores of lanes."""
    name = "device interrupts"
    lanes = set(needs.cores) or set(_suggested(machine.cores()))
    table = (machine.text("/proc/interrupts") or "").splitlines()
    if not table:
        return unknown(name)
    if not lanes:
        return unknown(name, "there is only one core")
    columns = [head.removeprefix("CPU") for head in table[0].split()]
    found: list[tuple[int, str, str]] = []
    for line in table[1:]:
        number, _, rest = line.strip().partition(":")
        fields = rest.split()
        counts = zip(columns, fields, strict=False)
        count = sum(int(n) for core, n in counts if n.isdecimal() and core in map(str, lanes))
        if not number.isdecimal() or not count:
            continue  # the kernel's own, or a device that kept away
        folder = f"/proc/irq/{number}"
        where = machine.text(f"{folder}/effective_affinity_list")
        if where is None:  # empty for what every core has of its own, such as timers of ARM
            where = machine.text(f"{folder}/smp_affinity_list")
        if lanes & set(core_list(where)):
            found.append((count, number, fields[-1]))
    if not found:
        return good(name, f"none on {core_text(sorted(lanes))}")
    found.sort(reverse=True)
    shown = ", ".join(f"{device} ({count:,})" for count, _, device in found[:_DEVICES_SHOWN])
    more = f" and {len(found) - _DEVICES_SHOWN} more" if len(found) > _DEVICES_SHOWN else ""
    others = sorted(set(machine.cores()) - lanes)
    numbers = " ".join(number for _, number, _ in found)
    return costs(
        name,
        f"on {core_text(sorted(lanes))}, times since boot: {shown}{more}",
        "a segment stops while the kernel serves a disk or a network",
        f"for n in {numbers}; do echo {core_text(others)} "
        "| sudo tee /proc/irq/$n/smp_affinity_list; done   # if the kernel refuses, move the lanes "
        "to other cores"
        if others
        else "give lanes fewer cores",
    )


def ticks(machine: Machine, needs: Needs) -> Finding:
    """Return whether the kernel's timer interrupts what computes."""
    name = "kernel ticks"
    found = core_list(machine.text(f"{_CPU}/nohz_full"))
    wanted = set(needs.cores)
    if found and wanted <= set(found):
        return good(name, f"none on {core_text(found)}")
    missing = sorted(wanted - set(found)) or _suggested(machine.cores())
    if not missing:
        return unknown(name, "there is only one core")
    return costs(
        name,
        f"on {core_text(missing)}" if found else "on all cores",
        "the timer interrupts a lane 100 to 1,000 times a second, each for some microseconds",
        _boot_option(f"nohz_full={core_text(missing)} rcu_nocbs={core_text(missing)}", "nohz"),
    )


def steal(machine: Machine, needs: Needs) -> Finding:
    """Return whether a host takes cores away."""
    name = "virtual machine"
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", machine.text("/proc/cpuinfo") or "", re.M)
    fields = re.search(r"^cpu\s+([\d ]+)$", machine.text("/proc/stat") or "", re.M)
    times = [int(item) for item in fields[1].split()] if fields else []
    total = sum(times[:8])
    share = times[7] / total if len(times) >= 8 and total else 0.0
    if not total:
        return unknown(name)
    if flags is None and share <= _STEAL_LIMIT:
        return good(name, "no")
    return costs(
        name,
        f"yes; the host took {share:.2%} of the time since boot",
        "the host can stop a core while a network runs; the machine sees it only afterwards, as "
        "steal time",
        "run without virtualisation, or on the host: virsh vcpupin DOMAIN VCPU CORE for each core",
    )


def competition(machine: Machine, needs: Needs) -> Finding:
    """Return whether programs wait for cores."""
    name = "other load"
    text = machine.text("/proc/pressure/cpu") or ""
    found = re.search(r"^some avg10=([\d.]+) avg60=([\d.]+)", text, re.M)
    if found is None:
        return unknown(name)
    share = float(found[2])
    here = f"a program waited for a core in {share:.0f} % of the last minute"
    if share <= _WAIT_LIMIT_PERCENT:
        return good(name, here)
    return costs(
        name,
        here,
        "more programs run than there are cores; budgets measured now describe a busy machine",
        "top -o %CPU   # then end or move what is not needed",
    )


def _suggested(cores: Sequence[int]) -> list[int]:
    """Return the core to give to lanes where none is named: the last, interrupts use the first."""
    return [max(cores)] if len(cores) > 1 else []


def _boot_option(options: str, name: str) -> str:
    line = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {options}"'
    return (
        f"echo '{line}' | sudo tee /etc/default/grub.d/aegis_{name}.cfg && sudo update-grub "
        "&& sudo reboot"
    )
