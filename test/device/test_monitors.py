"""Clocks and heat, read from files and from a library that stands in for NVML."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aegis_ros.device import CpuMonitor, DeviceState, JetsonMonitor, NvmlMonitor, create_monitor
from aegis_ros.errors import BackendError
from aegis_ros.host import Machine

CPU = "sys/devices/system/cpu"
GPU = "sys/class/devfreq/17000000.gpu"
ZONE = "sys/class/thermal/thermal_zone"


def machine(root: Path, files: dict[str, object]) -> Machine:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{text}\n")
    return Machine(root)


def cores(governor: str, limit: int, clock: int, top: int = 3_000_000) -> dict[str, object]:
    return {
        f"{CPU}/cpu{core}/cpufreq/{name}": value
        for core in (0, 1)
        for name, value in (
            ("scaling_governor", governor),
            ("scaling_max_freq", limit),
            ("scaling_cur_freq", clock),
            ("cpuinfo_max_freq", top),
        )
    }


def test_a_limit_on_the_clock_slows_and_an_idle_clock_does_not(tmp_path: Path) -> None:
    idle = CpuMonitor(machine(tmp_path, cores("schedutil", 3_000_000, 800_000))).read()
    assert idle == DeviceState(1.0, None, False, "cpufreq")
    hot = CpuMonitor(machine(tmp_path, cores("schedutil", 2_100_000, 800_000))).read()
    assert hot.clock_factor == pytest.approx(0.7)


def test_a_clock_that_is_to_be_fixed_is_taken_at_its_word(tmp_path: Path) -> None:
    state = CpuMonitor(machine(tmp_path, cores("performance", 3_000_000, 1_500_000))).read()
    assert state.clock_factor == pytest.approx(0.5)
    state = CpuMonitor(machine(tmp_path, cores("performance", 3_000_000, 2_990_000))).read()
    assert state.clock_factor == 1.0


def test_the_slowest_core_of_a_lane_counts(tmp_path: Path) -> None:
    files = cores("schedutil", 3_000_000, 3_000_000)
    files[f"{CPU}/cpu1/cpufreq/scaling_max_freq"] = 1_200_000
    made = machine(tmp_path, files)
    assert CpuMonitor(made).read().clock_factor == pytest.approx(0.4)
    assert CpuMonitor(made, (0,)).read().clock_factor == 1.0


def test_boost_above_the_base_clock_is_not_counted_on(tmp_path: Path) -> None:
    files = cores("schedutil", 2_800_000, 2_800_000, 4_000_000)
    files |= {f"{CPU}/cpu{core}/cpufreq/base_frequency": 2_800_000 for core in (0, 1)}
    assert CpuMonitor(machine(tmp_path, files)).read().clock_factor == 1.0


def test_heat_and_cooling_are_reported(tmp_path: Path) -> None:
    files = cores("schedutil", 3_000_000, 0) | {
        f"{ZONE}0/temp": 61_500,
        f"{ZONE}0/type": "x86_pkg_temp",
        f"{ZONE}1/temp": 40_000,
        f"{ZONE}2/temp": -274_000,
        "sys/class/thermal/cooling_device0/type": "Processor",
        "sys/class/thermal/cooling_device0/cur_state": 2,
        "sys/class/thermal/cooling_device1/type": "Fan",
        "sys/class/thermal/cooling_device1/cur_state": 1,
    }
    state = CpuMonitor(machine(tmp_path, files)).read()
    assert (state.temperature_c, state.throttled) == (61.5, True)
    files["sys/class/thermal/cooling_device0/cur_state"] = 0
    assert not CpuMonitor(machine(tmp_path, files)).read().throttled


@pytest.mark.parametrize("text", ["", "nonsense", "0", "-5", "9" * 50])
def test_a_machine_that_reports_nothing_useful_counts_as_nominal(tmp_path: Path, text: str) -> None:
    files: dict[str, object] = dict.fromkeys(cores("performance", 1, 1), text)
    files |= {f"{GPU}/max_freq": text, f"{GPU}/available_frequencies": text}
    made = machine(tmp_path, files)
    assert CpuMonitor(made).read().clock_factor == 1.0
    assert JetsonMonitor(made).read().clock_factor == 1.0
    assert CpuMonitor(Machine(tmp_path / "empty")).read().clock_factor == 1.0


def jetson(limit: int, least: int = 306_000_000, clock: int = 306_000_000) -> dict[str, object]:
    return {
        f"{GPU}/available_frequencies": "306000000 612000000 918000000",
        f"{GPU}/max_freq": limit,
        f"{GPU}/min_freq": least,
        f"{GPU}/cur_freq": clock,
        f"{ZONE}0/type": "cpu-thermal",
        f"{ZONE}0/temp": 70_000,
        f"{ZONE}1/type": "gpu-thermal",
        f"{ZONE}1/temp": 55_000,
        "proc/meminfo": "MemTotal:       8192000 kB\nMemAvailable:   6144000 kB",
    }


def test_the_limit_of_a_jetson_counts_and_its_idle_clock_does_not(tmp_path: Path) -> None:
    state = JetsonMonitor(machine(tmp_path, jetson(918_000_000))).read()
    assert state == DeviceState(
        1.0,
        55.0,
        False,
        "devfreq 17000000.gpu",
        details={"clock_mhz": "306", "memory_mib": "2000 of 8000"},
    )
    state = JetsonMonitor(machine(tmp_path, jetson(612_000_000))).read()
    assert state.clock_factor == pytest.approx(2 / 3)


def test_a_fixed_clock_of_a_jetson_is_taken_at_its_word(tmp_path: Path) -> None:
    files = jetson(918_000_000, 918_000_000, 459_000_000)
    assert JetsonMonitor(machine(tmp_path, files)).read().clock_factor == pytest.approx(0.5)


class _NvmlError(Exception):
    pass


class _Nvml(SimpleNamespace):
    """The functions of pynvml that are used."""

    NVMLError = _NvmlError
    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0

    def __init__(self, **figures: Any) -> None:
        super().__init__(
            **(
                {"reasons": 0, "clock": 1980, "application": 1980, "broken": "", "errors": 0}
                | figures
            )
        )

    def nvmlInit(self) -> None:
        if self.broken == "init":
            raise _NvmlError("driver not loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"NVIDIA Test"

    def nvmlDeviceGetApplicationsClock(self, handle: int, kind: int) -> int:
        if not self.application:
            raise _NvmlError("not supported")
        return int(self.application)

    def nvmlDeviceGetMaxClockInfo(self, handle: int, kind: int) -> int:
        return 2000

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:
        if self.broken == "read":
            raise _NvmlError("GPU is lost")
        return int(self.reasons)

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:
        return int(self.clock)

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:
        return 83

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=3 * 2**30, total=8 * 2**30)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 31_400

    def nvmlDeviceGetTotalEccErrors(self, handle: int, kind: int, counter: int) -> int:
        assert (kind, counter) == (1, 0)
        if self.errors is None:
            raise _NvmlError("not supported")
        return int(self.errors)


def test_an_idle_gpu_is_not_slow() -> None:
    state = NvmlMonitor(library=_Nvml(reasons=0x1, clock=345)).read()
    assert state == DeviceState(
        1.0,
        83.0,
        False,
        "NVML, NVIDIA Test",
        0,
        {
            "clock_mhz": "345",
            "clock_reasons": "idle",
            "memory_mib": "3072 of 8192",
            "power_w": "31",
            "uncorrected_memory_errors": "0",
        },
    )


def test_what_a_gpu_does_not_report_is_left_out_and_its_errors_are_counted() -> None:
    plain = NvmlMonitor(library=_Nvml(errors=None)).read()
    assert plain.uncorrected_errors == 0 and "uncorrected_memory_errors" not in plain.details
    library = _Nvml(errors=2, reasons=0x24)
    worn = NvmlMonitor(library=library)
    assert worn.read().uncorrected_errors == 0, "they are from before"
    assert worn.read().details["uncorrected_memory_errors"] == "2"
    assert worn.read().details["clock_reasons"] == "power cap, heat (software)"
    library.errors, library.broken = 5, "read"
    assert worn.read().uncorrected_errors == 3, "reported though the GPU is lost"


@pytest.mark.parametrize(
    ("reasons", "word"), [(0x20, "heat"), (0x48, "heat"), (0x4, "power"), (0x80, "power")]
)
def test_a_gpu_that_is_held_back_is_as_slow_as_its_clock(reasons: int, word: str) -> None:
    state = NvmlMonitor(library=_Nvml(reasons=reasons, clock=990)).read()
    assert state.clock_factor == pytest.approx(0.5) and state.throttled
    assert state.source == f"NVML, NVIDIA Test, held back by {word}"


def test_without_a_clock_for_applications_the_largest_is_nominal() -> None:
    assert NvmlMonitor(library=_Nvml(application=0, reasons=4, clock=500)).read().clock_factor == (
        pytest.approx(0.25)
    )


def test_a_gpu_that_is_lost_counts_as_nominal_and_says_so() -> None:
    state = NvmlMonitor(library=_Nvml(broken="read")).read()
    assert state.clock_factor == 1.0 and "GPU is lost" in state.source


def test_a_missing_driver_is_an_error_that_says_so() -> None:
    with pytest.raises(BackendError, match="driver not loaded"):
        NvmlMonitor(library=_Nvml(broken="init"))


def test_the_monitor_is_that_of_what_networks_run_on(tmp_path: Path) -> None:
    board = machine(tmp_path, jetson(612_000_000))
    assert isinstance(create_monitor(gpu=True, machine=board), JetsonMonitor)
    assert isinstance(create_monitor(gpu=False, machine=board), CpuMonitor)


def test_this_machine_can_be_read() -> None:
    state = create_monitor(gpu=False).read()
    assert 0.0 < state.clock_factor <= 1.0 and state.source
