"""What costs determinism on a machine, read from its files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from aegis_ros.host import Finding, Grade, Machine, Needs, core_list, examine
from test.host.made import CPU, GOOD, LIMITS, STATUS, machine

CGROUP = "sys/fs/cgroup"


def _only(found: tuple[Finding, ...], name: str) -> Finding:
    return next(item for item in found if item.name == name)


def test_a_machine_with_nothing_to_fix_has_no_costs(tmp_path: Path) -> None:
    found = examine(machine(tmp_path))
    assert {item.grade for item in found} == {Grade.GOOD}, found
    assert all(not item.cost and not item.hint for item in found)
    assert len({item.name for item in found}) == len(found) >= 20


def test_a_machine_that_reports_nothing_costs_nothing_but_is_not_called_good(
    tmp_path: Path,
) -> None:
    found = examine(Machine(tmp_path))
    said = {item.name for item in found if item.grade is not Grade.UNKNOWN}
    assert said <= {"Fast DDS profile", "kernel ticks"}


BAD: dict[str, tuple[dict[str, str | None], str, str]] = {
    "clock governor": (
        {f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave"},
        "up to 4.0 times longer",
        "echo performance | sudo tee",
    ),
    "clock boost": ({f"{CPU}/intel_pstate/no_turbo": "0"}, "heat", "echo 1 | sudo tee"),
    "sleep states": (
        {f"{CPU}/cpu0/cpuidle/state1/disable": "0"},
        "120 µs late",
        "cpu_dma_latency",
    ),
    "hyper-threading": ({f"{CPU}/smt/active": "1"}, "two threads", "smt/control"),
    "isolated cores": ({f"{CPU}/isolated": ""}, "other programs", "isolcpus=managed_irq,domain,3"),
    "device interrupts": (
        {
            "proc/interrupts": "CPU0 CPU1 CPU2 CPU3\n 36: 0 0 0 7 PCI-MSIX 1-edge nvme0q1",
            "proc/irq/36/effective_affinity_list": "3",
        },
        "a segment stops",
        "for n in 36; do echo 0-2 | sudo tee /proc/irq/$n/smp_affinity_list; done",
    ),
    "kernel ticks": ({f"{CPU}/nohz_full": "(null)"}, "interrupts", "nohz_full=3 rcu_nocbs=3"),
    "virtual machine": (
        {"proc/cpuinfo": "flags\t\t: fpu hypervisor lahf", "proc/stat": "cpu  0 0 0 98 0 0 0 2 0"},
        "steal time",
        "virsh vcpupin",
    ),
    "other load": (
        {"proc/pressure/cpu": "some avg10=0.00 avg60=31.20 avg300=0.00 total=9"},
        "busy machine",
        "top",
    ),
    "kernel preemption": (
        {"proc/version": "Linux version 6.8.0 #1 SMP PREEMPT_DYNAMIC"},
        "a lane waits",
        "echo full",
    ),
    "real-time priority": (
        {"proc/self/limits": LIMITS.format(memlock="unlimited", rtprio="0")},
        "shares its cores",
        "rtprio 98",
    ),
    "real-time throttling": (
        {"proc/sys/kernel/sched_rt_runtime_us": "950000"},
        "stopped for 50 ms in every 1000 ms",
        "sched_rt_runtime_us=-1",
    ),
    "CPU quota": (
        {f"{CGROUP}/user.slice/cpu.max": "150000 100000"},
        "used 150 ms, all but real-time threads stop until the period of 100 ms ends",
        "echo max | sudo tee /sys/fs/cgroup/user.slice/cpu.max",
    ),
    "timer slack": ({"proc/self/timerslack_ns": "40000000"}, "40000 µs late", "timerslack_ns"),
    "clock source": (
        {"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"},
        "microseconds",
        "echo tsc | sudo tee",
    ),
    "memory lock": (
        {"proc/self/limits": LIMITS.format(memlock="8388608", rtprio="98")},
        "page out",
        "memlock unlimited",
    ),
    "swap": (
        {"proc/swaps": "Filename Type Size Used Priority\n/dev/nvme0n1p3 partition 2097148 0 -2"},
        "milliseconds",
        "sudo swapoff -a",
    ),
    "transparent huge pages": (
        {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"},
        "stops a program",
        "echo madvise",
    ),
    "NUMA balancing": ({"proc/sys/kernel/numa_balancing": "1"}, "moves them", "numa_balancing=0"),
    "shared memory": (
        {"proc/mounts": "shm /dev/shm tmpfs rw,size=65536k 0 0"},
        "when it is full",
        "sudo mount -o remount,size=1G /dev/shm",
    ),
    "socket buffers": ({"proc/sys/net/core/rmem_max": "212992"}, "does not fit", "net.core.rmem"),
    "Fast DDS profile": (
        {"opt/fastdds.xml": "<a><segment_size>524288</segment_size></a>"},
        "512 KiB",
        "export FASTRTPS_DEFAULT_PROFILES_FILE=",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_costs_determinism_is_reported_with_its_source_and_a_hint(
    tmp_path: Path, name: str
) -> None:
    changes, cost, hint = BAD[name]
    found = examine(machine(tmp_path, changes))
    bad = [item for item in found if item.grade is Grade.COSTS]
    assert [item.name for item in bad] == [name]
    assert cost in bad[0].cost and hint in bad[0].hint and bad[0].found


def test_every_check_is_seen_to_find_something(tmp_path: Path) -> None:
    assert {item.name for item in examine(machine(tmp_path))} == set(BAD)


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({f"{CPU}/intel_pstate/no_turbo": None, f"{CPU}/cpufreq/boost": "1"}, "clock boost", "0 |"),
        ({"etc/nv_tegra_release": "R36"}, "clock governor", "jetson_clocks"),
        ({"etc/os-release": "ID=ubuntu"}, "kernel preemption", "sudo pro enable realtime-kernel"),
        ({".dockerenv": ""}, "CPU quota", "docker update --cpus 0"),
        ({".dockerenv": ""}, "shared memory", "docker run --shm-size"),
    ],
)
def test_the_command_is_that_of_the_machine(
    tmp_path: Path, changes: dict[str, str | None], name: str, said: str
) -> None:
    bad = {key: value for key, value in BAD[name][0].items() if key not in changes}
    found = _only(examine(machine(tmp_path, {**bad, **changes})), name)
    assert found.grade is Grade.COSTS and said in found.hint


def test_a_kernel_that_is_as_preemptible_as_it_can_be_is_to_be_replaced(tmp_path: Path) -> None:
    files: dict[str, str | None] = {
        "proc/version": "Linux version 6.8.0 #1 SMP PREEMPT_DYNAMIC",
        "proc/cmdline": "quiet preempt=full",
    }
    finding = _only(examine(machine(tmp_path, files)), "kernel preemption")
    assert finding.grade is Grade.COSTS
    assert finding.hint.startswith("sudo apt install linux-image-rt")


def test_what_interrupts_a_lane_most_is_told_apart_from_what_did_once(tmp_path: Path) -> None:
    files: dict[str, str | None] = {
        "proc/interrupts": "CPU0 CPU1 CPU2 CPU3\n"
        " 26: 5 0 0 1 IO-APIC 4-edge ttyS0\n 36: 0 0 0 11435764 PCI-MSIX 1-edge nvme0q1",
        "proc/irq/26/effective_affinity_list": "3",
        "proc/irq/36/effective_affinity_list": "3",
    }
    finding = _only(examine(machine(tmp_path, files)), "device interrupts")
    assert finding.found == "on 3, times since boot: nvme0q1 (11,435,764), ttyS0 (1)"
    assert finding.hint.startswith("for n in 36 26; do echo 0-2")


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (" 36: 9 0 0 0 PCI-MSIX 1-edge nvme0q1", "0-3"),  # it may come to a lane, and never did
        (" 36: 0 0 0 9 PCI-MSIX 1-edge nvme0q1", "0"),  # it was moved
        (" 11: 9 9 9 9 GICv3 30 Level arch_timer", ""),  # each core's own
    ],
)
def test_a_device_that_keeps_away_costs_nothing(tmp_path: Path, line: str, where: str) -> None:
    files: dict[str, str | None] = {
        "proc/interrupts": f"CPU0 CPU1 CPU2 CPU3\n{line}",
        f"proc/irq/{line.strip()[:2]}/effective_affinity_list": where,
        f"proc/irq/{line.strip()[:2]}/smp_affinity_list": "0-3",
    }
    finding = _only(examine(machine(tmp_path, files)), "device interrupts")
    assert (finding.grade, finding.found) == (Grade.GOOD, "none on 3")


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("kernel preemption", {"sys/kernel/realtime": "1", "proc/version": "Linux PREEMPT"}),
        ("real-time priority", {"proc/self/status": STATUS.format(caps="800000", cores="0-3")}),
        ("memory lock", {"proc/self/status": STATUS.format(caps="4000", cores="0-3")}),
        ("shared memory", {"proc/mounts": "tmpfs /dev/shm tmpfs rw 0 0"}),
        ("sleep states", {f"{CPU}/cpu0/cpuidle/state1/disable": "0", "dev/cpu_dma_latency": ""}),
    ],
)
def test_there_are_other_ways_to_be_good(
    tmp_path: Path, name: str, files: dict[str, str | None]
) -> None:
    refused = LIMITS.format(memlock="8192", rtprio="0")
    limits = {"proc/self/limits": refused} if "proc/self/status" in files else {}
    assert _only(examine(machine(tmp_path, {**limits, **files})), name).grade is Grade.GOOD


def test_the_cores_of_lanes_are_what_has_to_be_isolated(tmp_path: Path) -> None:
    found = examine(machine(tmp_path), Needs((1, 2)))
    isolation, ticks = _only(found, "isolated cores"), _only(found, "kernel ticks")
    assert isolation.grade is Grade.COSTS and "not 1" in isolation.found
    assert "isolcpus=managed_irq,domain,1" in isolation.hint
    assert ticks.grade is Grade.COSTS and "nohz_full=1 " in ticks.hint
    assert _only(examine(machine(tmp_path), Needs((2, 3))), "isolated cores").grade is Grade.GOOD


def test_one_core_cannot_be_isolated(tmp_path: Path) -> None:
    one = {"proc/self/status": STATUS.format(caps="0", cores="0"), f"{CPU}/isolated": ""}
    found = _only(examine(machine(tmp_path, one)), "isolated cores")
    assert found.grade is Grade.COSTS and "two cores" in found.hint


def test_newer_kernels_throttle_by_a_fair_server(tmp_path: Path) -> None:
    newer: dict[str, str | None] = {"proc/sys/kernel/osrelease": "6.18.44-rt"}
    server = "sys/kernel/debug/sched/fair_server/cpu0/runtime"
    for files, grade in (({}, Grade.COSTS), ({server: "50000000"}, Grade.COSTS)):
        found = _only(examine(machine(tmp_path, {**newer, **files})), "real-time throttling")
        assert found.grade is grade and "50 ms" in found.cost and "fair_server" in found.hint
    found = _only(examine(machine(tmp_path, {**newer, server: "0"})), "real-time throttling")
    assert found.grade is Grade.GOOD


def test_groups_with_budgets_throttle_on_newer_kernels_whoever_waits(tmp_path: Path) -> None:
    newer: dict[str, str | None] = {
        "proc/sys/kernel/osrelease": "6.18.44-rt",
        "proc/sys/kernel/sched_rt_runtime_us": "950000",
        "sys/fs/cgroup/cpu/cpu.rt_runtime_us": "950000",
        "sys/kernel/debug/sched/fair_server/cpu0/runtime": "0",
    }
    found = _only(examine(machine(tmp_path, newer)), "real-time throttling")
    assert found.grade is Grade.COSTS and "whether anything waits" in found.cost
    assert "sched_rt_runtime_us=-1 && " in found.hint and "fair_server" in found.hint
    for whole in ("-1", "1000000"):
        off: dict[str, str | None] = {"proc/sys/kernel/sched_rt_runtime_us": whole}
        found = _only(examine(machine(tmp_path, {**newer, **off})), "real-time throttling")
        assert found.grade is Grade.GOOD and "fair server" in found.found


def test_the_tightest_quota_above_the_process_counts(tmp_path: Path) -> None:
    files: dict[str, str | None] = {
        "proc/self/cgroup": "4:memory:/x\n1:cpu,cpuacct:/a/b\n0::/",
        f"{CGROUP}/cpu,cpuacct/a/cpu.cfs_quota_us": "50000",
        f"{CGROUP}/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
        f"{CGROUP}/cpu,cpuacct/a/cpu.stat": "nr_periods 9\nnr_throttled 1234",
        f"{CGROUP}/cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1",
        f"{CGROUP}/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000",
    }
    found = _only(examine(machine(tmp_path, files)), "CPU quota")
    assert found.found == "0.5 cores, stopped 1,234 times so far"
    assert found.hint == f"echo -1 | sudo tee /{CGROUP}/cpu,cpuacct/a/cpu.cfs_quota_us"


@pytest.mark.parametrize(
    ("runtime", "grade"), [("950000", Grade.GOOD), ("-1", Grade.GOOD), ("0", Grade.COSTS)]
)
def test_a_group_without_real_time_budget_refuses_whatever_limits_say(
    tmp_path: Path, runtime: str, grade: Grade
) -> None:
    files: dict[str, str | None] = {
        "proc/self/cgroup": "1:cpu:/robot\n0::/",
        f"{CGROUP}/cpu/robot/cpu.rt_runtime_us": runtime,
    }
    found = _only(examine(machine(tmp_path, files)), "real-time group")
    assert found.grade is grade
    assert grade is Grade.GOOD or "/cpu/robot/cpu.rt_runtime_us" in found.hint


@pytest.mark.parametrize(
    ("variables", "grade"),
    [
        ({}, Grade.COSTS),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "/opt/fastdds.xml"}, Grade.GOOD),
        ({"FASTRTPS_DEFAULT_PROFILES_FILE": "/nowhere.xml"}, Grade.COSTS),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, Grade.GOOD),
    ],
)
def test_the_profile_is_that_of_the_environment(
    tmp_path: Path, variables: dict[str, str], grade: Grade
) -> None:
    found = _only(examine(machine(tmp_path, variables=variables)), "Fast DDS profile")
    assert found.grade is grade


@pytest.mark.parametrize(
    "text", ["", "rubbish", "0 0 0", "\x00\xff", "9" * 400, "-1 -1", "[]", ","]
)
def test_files_that_say_nonsense_raise_nothing(tmp_path: Path, text: str) -> None:
    examine(machine(tmp_path, dict.fromkeys(GOOD, text)))


def test_this_machine_can_be_examined() -> None:
    assert len(examine(Machine())) >= 15


@pytest.mark.parametrize(
    ("text", "cores"),
    [("0-3,5", (0, 1, 2, 3, 5)), ("7", (7,)), ("", ()), ("(null)", ()), (None, ()), ("3-1", ())],
)
def test_core_lists_are_those_of_the_kernel(text: str | None, cores: tuple[int, ...]) -> None:
    assert core_list(text) == cores


def test_the_profile_of_fast_dds_is_named_by_its_path_where_it_is_installed(tmp_path: Path) -> None:
    """An installation from wheels has no `ros2` that would find it."""
    path = "/opt/robot/share/aegis_ros/config/fastdds.xml"
    (tmp_path / path[1:]).parent.mkdir(parents=True)
    (tmp_path / path[1:]).touch()
    there = machine(tmp_path, variables={"AMENT_PREFIX_PATH": "/nowhere:/opt/robot"})
    hint = _only(examine(there), "Fast DDS profile").hint
    assert hint == f"export FASTRTPS_DEFAULT_PROFILES_FILE={path}"


def test_a_checkout_that_is_not_built_has_the_profile_too(tmp_path: Path) -> None:
    hint = _only(examine(machine(tmp_path, variables={})), "Fast DDS profile").hint
    assert Path(hint.partition("=")[2]).is_file()
