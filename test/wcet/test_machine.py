"""What a measurement notes of the machine, on machines of different kinds."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.wcet.machine import cpu_shares, cpu_times, describe_machine


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_clock_and_governor_are_read_where_the_kernel_sets_them(tmp_path: Path) -> None:
    for core, clock in enumerate((1_800_000, 3_200_000)):
        folder = f"sys/devices/system/cpu/cpu{core}/cpufreq"
        write(tmp_path, f"{folder}/scaling_governor", "schedutil\n")
        write(tmp_path, f"{folder}/scaling_cur_freq", f"{clock}\n")
    write(tmp_path, "proc/loadavg", "0.42 0.3 0.2 1/99 1234\n")
    found = describe_machine(tmp_path)
    assert (found["governor"], found["clock_mhz"]) == ("schedutil", "1800, 3200")
    assert found["load_1min"] == "0.42"


def test_a_virtual_machine_reports_its_nominal_clock(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "model name\t: Some CPU\ncpu MHz\t\t: 2596.09\n")
    found = describe_machine(tmp_path)
    assert (found["processor"], found["clock_mhz"]) == ("Some CPU", "2596")


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    found = describe_machine(tmp_path)
    assert "governor" not in found
    assert "load_1min" not in found
    assert found["kernel"]
    assert cpu_times(tmp_path) == {}
    assert cpu_shares({}, {}) == {}


def test_time_that_others_took_is_distinguished_from_our_own(tmp_path: Path) -> None:
    write(tmp_path, "proc/stat", "cpu  100 0 0 900 0 0 0 0 0 0\ncpu0 ...\n")
    before = cpu_times(tmp_path)
    write(tmp_path, "proc/stat", "cpu  400 0 100 1400 0 0 0 100 0 0\ncpu0 ...\n")
    assert cpu_shares(before, cpu_times(tmp_path)) == {"busy": "40.0%", "stolen": "10.0%"}
