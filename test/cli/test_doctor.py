"""`aegis doctor` as a user meets it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from aegis_ros.backends.availability import Availability
from aegis_ros.cli.doctor import run
from test.cli.conftest import Aegis
from test.host.made import CPU, machine


def test_a_good_machine_is_called_good_with_exit_code_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(None, "text", machine(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "No check found a cost to determinism" in out and "\x1b[" not in out


def test_what_costs_is_reported_with_exit_code_1_and_the_command_on_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = machine(tmp_path, {"proc/swaps": "Filename\n/swapfile file 1048576 0 -2"})
    assert run(None, "text", bad) == 1
    out = capsys.readouterr().out
    assert "1024 MiB on /swapfile" in out
    assert "\n  sudo swapoff -a\n" in out and "1 of 22 checks found a cost" in out


def test_json_has_every_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(None, "json", machine(tmp_path, {f"{CPU}/smt/active": "1"})) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["deterministic"] is False
    assert all(list(f) == ["name", "found", "grade", "cost", "hint"] for f in answer["findings"])
    assert [f["name"] for f in answer["findings"] if f["grade"] == "costs"] == ["hyper-threading"]


def test_the_cores_of_a_configuration_are_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text("device: {lanes: [{name: main, cpu: 1}]}\n")
    assert run(config, "text", machine(tmp_path), cores=range(4)) == 1
    assert "isolcpus=managed_irq,domain,1" in capsys.readouterr().out


def test_a_lane_on_a_core_that_is_not_there_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text("device: {lanes: [{name: main, cpu: 2}, {name: more, cpu: 4095}]}\n")
    assert run(config, "text", machine(tmp_path), backends=[], cores=range(4)) == 1
    out = capsys.readouterr().out
    assert "what this process has not: cores 4095. The orchestrator refuses that" in out
    assert "isolcpus" not in out, "a core that is not there cannot be isolated"
    run(config, "json", machine(tmp_path), backends=[], cores=range(4))
    assert json.loads(capsys.readouterr().out)["absent_cores"] == [4095]


def test_two_lanes_on_one_core_are_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text("device: {lanes: [{name: main, cpu: 2}, {name: more, cpu: 2}]}\n")
    good = machine(tmp_path)
    assert run(config, "text", good, backends=[], cores=range(4)) == 1
    said = "device.lanes[1].cpu: lane more is pinned to the core of lane main (device.lanes[0])"
    assert f"The orchestrator refuses {said}" in capsys.readouterr().out
    run(config, "json", good, backends=[], cores=range(4))
    (shared,) = json.loads(capsys.readouterr().out)["shared_cores"]
    assert shared.startswith(said)


def test_commands_are_not_broken_on_narrow_terminals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    bad = machine(tmp_path, {f"{CPU}/isolated": ""})
    assert run(None, "text", bad, backends=[Availability("mine", "a device")]) == 1
    out = capsys.readouterr().out
    assert "\x1b[" in out
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    commands = [line for line in lines if "sudo" in line]
    assert len(commands) == 1 and commands[0].endswith("sudo reboot")
    assert max(len(line) for line in lines if line not in commands) <= 80


def test_bad_input_ends_with_exit_code_2(aegis: Aegis, tmp_path: Path) -> None:
    assert aegis("doctor", "--format", "xml").code == 2
    said = aegis("doctor", str(tmp_path / "missing.yaml"))
    assert said.code == 2 and "missing.yaml" in said.err


def test_this_machine_gets_an_answer(aegis: Aegis) -> None:
    said = aegis("doctor", "--format", "json")
    assert said.code in (0, 1)
    assert json.loads(said.out)["deterministic"] is (said.code == 0)


HERE = Availability("here", device="Some GPU, Runtime 1.2")
AWAY = Availability("away", missing="backend away needs a driver: `install it`")


def test_backends_are_listed_with_their_device_or_with_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(None, "text", machine(tmp_path), backends=[HERE, AWAY]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split(None, 2) == ["✓", "here", HERE.device] for line in map(str.strip, lines))
    assert any(line.split(None, 2) == ["–", "away", AWAY.missing] for line in map(str.strip, lines))


def test_a_missing_backend_of_a_lane_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text("device: {lanes: [{name: main, cpu: 2}, {name: more, backend: tensorrt}]}\n")
    tried = [Availability("onnxruntime", "CPU"), Availability("tensorrt", missing="no driver")]
    assert run(config, "text", machine(tmp_path), backends=tried, cores=range(4)) == 1
    out = capsys.readouterr().out
    assert out.rstrip().endswith("A lane uses tensorrt, which cannot be used here.")
    assert any(line.split() == ["✗", "tensorrt", "no", "driver"] for line in out.splitlines())


def test_json_says_which_backends_the_lanes_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text("device: {lanes: [{name: main, cpu: 2}]}\n")
    run(config, "json", machine(tmp_path), cores=range(4))
    backends = {each["name"]: each for each in json.loads(capsys.readouterr().out)["backends"]}
    assert [name for name, each in backends.items() if each["used"]] == ["onnxruntime"]
    assert (
        "ONNX Runtime" in backends["onnxruntime"]["device"]
        and not backends["onnxruntime"]["missing"]
    )
    assert all(bool(each["device"]) != bool(each["missing"]) for each in backends.values())
