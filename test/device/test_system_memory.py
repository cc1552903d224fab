"""How short memory is, read from files of machines that have less of it than this one."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.device import MemoryMonitor
from aegis_ros.host import Machine

KIB, MIB = 1024, 2**20
MEMINFO = """MemTotal:        4000000 kB
MemFree:          100000 kB
MemAvailable:    1000000 kB
SwapTotal:        500000 kB
SwapFree:         400000 kB
"""
PSI = (
    "some avg10=40.00 avg60=1.00 avg300=0.00 total=5\nfull avg10={} avg60=0.00 avg300=0.00 total=3"
)


def monitor(root: Path, **files: str) -> MemoryMonitor:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return MemoryMonitor(Machine(root))


def group(root: Path, path: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"memory.{name}").write_text(content)


def test_a_machine_says_what_is_free_and_what_is_lost(tmp_path: Path) -> None:
    made = monitor(tmp_path, proc__meminfo=MEMINFO, proc__pressure__memory=PSI.format("12.50"))
    state = made.read()
    assert (state.total_bytes, state.available_bytes) == (4_000_000 * KIB, 1_000_000 * KIB)
    assert (state.stalled, state.source, state.missing) == (0.125, "machine", ())
    assert state.swap_used_bytes == 100_000 * KIB


def test_what_is_not_there_is_named_and_counts_as_not_short(tmp_path: Path) -> None:
    state = monitor(tmp_path).read(1234)
    assert (state.total_bytes, state.stalled, state.engine_bytes) == (0, None, 0)
    assert [each.split(":")[0] for each in state.missing] == [
        "/proc/meminfo",
        "/proc/pressure/memory",
    ]
    garbled = monitor(tmp_path, proc__meminfo="no", proc__pressure__memory="full avg10=x")
    assert garbled.read() == state


def test_the_group_with_the_smallest_share_left_decides_wherever_it_is_above(
    tmp_path: Path,
) -> None:
    group(tmp_path, "robot", current=f"{700 * MIB}", max=f"{800 * MIB}", stat="inactive_file 4096")
    group(
        tmp_path,
        "robot/node",
        current=f"{300 * MIB}",
        max="max",
        high=f"{900 * MIB}",
        stat=f"anon 5\ninactive_file {50 * MIB}\nactive_file 0\nslab_reclaimable {1 * MIB}",
        pressure=PSI.format("30.00"),
    )
    made = monitor(
        tmp_path,
        proc__meminfo=MEMINFO.replace("1000000", "3900000"),
        proc__pressure__memory=PSI.format("0.00"),
        proc__self__cgroup="4:memory:/old\n0::/robot/node\n",
    )
    state = made.read()
    assert (state.total_bytes, state.available_bytes) == (800 * MIB, 100 * MIB + 4096)
    assert (state.source, state.stalled) == ("control group /robot", 0.3)
    group(tmp_path, "robot", max="max")
    state = made.read()
    assert (state.total_bytes, state.available_bytes) == (900 * MIB, 651 * MIB)
    assert state.source == "control group /robot/node"


def test_a_machine_that_is_nearly_full_counts_beside_a_small_group_that_is_not(
    tmp_path: Path,
) -> None:
    group(tmp_path, "robot", current=f"{100 * MIB}", max=f"{1000 * MIB}")
    made = monitor(
        tmp_path,
        proc__meminfo="MemTotal: 64000000 kB\nMemAvailable: 1000000 kB\n",
        proc__self__cgroup="0::/robot\n",
    )
    state = made.read()
    assert (state.source, state.available_bytes) == ("machine", 1_000_000 * KIB)
    assert state.others == ((900 * MIB, 1000 * MIB),)


def test_a_container_sees_its_group_as_the_root(tmp_path: Path) -> None:
    group(tmp_path, ".", current=f"{60 * MIB}", max=f"{64 * MIB}")
    made = monitor(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/\n")
    state = made.read()
    assert (state.available_bytes, state.source) == (4 * MIB, "control group /")


def test_the_engine_is_looked_at_where_there_is_one(tmp_path: Path) -> None:
    status = "Name:\tengine\nVmRSS:\t  2048 kB\nVmSwap:\t    16 kB\n"
    made = monitor(tmp_path, proc__meminfo=MEMINFO, proc__77__status=status)
    assert (made.read(77).engine_bytes, made.read(77).engine_swapped_bytes) == (2 * MIB, 16 * KIB)
    assert made.read(78).engine_bytes == 0


def test_this_machine_can_be_read() -> None:
    state = MemoryMonitor().read()
    assert 0 < state.available_bytes <= state.total_bytes and state.source
