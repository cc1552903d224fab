"""A lane that is pinned to a core has it, or nothing is configured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aegis_ros.backends import Capabilities, absent_cores, lanes_on_one_core
from aegis_ros.config import load_config
from aegis_ros.errors import ConfigError
from aegis_ros.host import pinnable_cores
from aegis_ros.spec import DeviceSpec, LaneSpec, Wait
from test.orchestrator.house import House


def _on(folder: Path, *cores: int) -> House:
    house = House(folder)
    lanes = tuple(LaneSpec(f"lane{index}", core) for index, core in enumerate(cores))
    house.spec = replace(house.spec, device=replace(house.spec.device, lanes=lanes))
    house.orchestrator = house._open()
    return house


def test_a_lane_on_a_core_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    there = min(pinnable_cores())
    with pytest.raises(ConfigError) as refused:
        _on(tmp_path, there, 4095).orchestrator.configure()
    assert refused.value.where == "device.lanes[1].cpu" and refused.value.value == "4095"
    assert refused.value.expected.startswith(f"one of the cores {there}")
    with pytest.raises(ConfigError) as both:
        _on(tmp_path, 4094, 4095).orchestrator.configure()
    assert "lanes[0].cpu" in str(both.value) and "lanes[1].cpu" in str(both.value)


def test_a_node_that_was_refused_can_be_configured_with_another_core(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        _on(tmp_path, 4095).orchestrator.configure()
    house = _on(tmp_path, min(pinnable_cores()))
    house.start()
    house.orchestrator.cleanup()


def test_a_lane_that_spins_needs_its_core() -> None:
    gpu: Any = SimpleNamespace(capabilities=Capabilities(waits=True))
    lanes = (LaneSpec("a", 7, wait=Wait.SPIN), LaneSpec("b", 8), LaneSpec("c", 9, wait=Wait.AUTO))
    device = DeviceSpec("onnxruntime_cuda", lanes)
    found = absent_cores(device, {"onnxruntime_cuda": gpu}, {0, 1})
    assert [each.where for each in found] == ["device.lanes[0].cpu", "device.lanes[2].cpu"]


def test_only_lanes_that_compute_on_cores_need_them() -> None:
    backends: dict[str, Any] = {
        "cores": SimpleNamespace(capabilities=Capabilities(on_cores=True)),
        "gpu": SimpleNamespace(capabilities=Capabilities()),
    }
    lanes = (
        LaneSpec("a", 7, backend="cores"),
        LaneSpec("b", None, backend="cores"),
        LaneSpec("c", 7, backend="gpu"),
        LaneSpec("d", 1, backend="cores"),
    )
    found = absent_cores(DeviceSpec(lanes=lanes), backends, {0, 1, 2, 5})
    assert [(each.where, each.expected) for each in found] == [
        ("device.lanes[0].cpu", "one of the cores 0-2,5")
    ]


def _device(*lanes: LaneSpec, wait: Wait = Wait.SLEEP) -> DeviceSpec:
    return DeviceSpec("onnxruntime_cuda", lanes, wait=wait)


def test_two_lanes_on_one_core_are_refused_with_both_names(tmp_path: Path) -> None:
    one = min(pinnable_cores())
    with pytest.raises(ConfigError) as refused:
        _on(tmp_path, one, one).orchestrator.configure()
    assert refused.value.where == "device.lanes[1].cpu" and refused.value.value == str(one)
    assert "lane1 is pinned to the core of lane lane0 (device.lanes[0])" in refused.value.problem
    assert refused.value.expected == "a core of its own"
    assert refused.value.hint.startswith("Choose another core, or run its tasks on lane lane0")
    with pytest.raises(ConfigError) as more:
        _on(tmp_path, one, one, one).orchestrator.configure()
    assert "lanes[1].cpu" in str(more.value) and "lanes[2].cpu" in str(more.value)


def test_sharing_with_other_orchestrators_is_not_sharing_between_lanes(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(
        "device: {backend: simulated, shared: true, lanes: [{name: a, cpu: 0}, {name: b, cpu: 0}]}"
    )
    assert len(lanes_on_one_core(load_config(file).device)) == 1


@pytest.mark.parametrize("other", ["", "openvino", "tvm", "simulated"])
def test_lanes_of_different_runtimes_share_no_core_either(other: str) -> None:
    device = _device(LaneSpec("a", 1, backend="onnxruntime"), LaneSpec("b", 1, backend=other))
    assert [each.where for each in lanes_on_one_core(device)] == ["device.lanes[1].cpu"]


@pytest.mark.parametrize(
    ("lanes", "refused"),
    [
        ([LaneSpec("a", 1, wait=Wait.SPIN), LaneSpec("b", 1)], 1),
        ([LaneSpec("a", 1), LaneSpec("b", 1, wait=Wait.SPIN)], 1),
        ([LaneSpec("a", 1), LaneSpec("b", 1)], 0),  # both sleep while the GPU computes
        ([LaneSpec("a", 1, wait=Wait.AUTO), LaneSpec("b", 1, wait=Wait.AUTO)], 0),  # so do these
        ([LaneSpec("a", 1, wait=Wait.SPIN), LaneSpec("b", 2, wait=Wait.SPIN)], 0),
        ([LaneSpec("a", wait=Wait.SPIN), LaneSpec("b", wait=Wait.SPIN)], 0),
    ],
)
def test_lanes_of_a_gpu_share_a_core_as_long_as_their_threads_sleep(
    lanes: list[LaneSpec], refused: int
) -> None:
    assert len(lanes_on_one_core(_device(*lanes))) == refused
