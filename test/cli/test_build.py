"""`aegis build`, and the one sentence where a backend cannot be had."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.backends import tuning
from aegis_ros.backends.testing.simulated import SimulatedBackend
from aegis_ros.cli.build import run
from test.backends.fake_tensorrt import fake_backend
from test.cli.conftest import Aegis
from test.driver import without_driver
from test.network.builders import identity_network


def robot(folder: Path, backend: str, *models: str) -> Path:
    identity_network(folder / "identity.onnx", (1, 3, 12, 16))
    path = folder / "robot.yaml"
    path.write_text(
        f"device: {{backend: {backend}}}\n"
        f"models: {{roots: ['{folder}']}}\n"
        "tasks:\n"
        + "".join(
            f"  - {{name: {model}_eye, model: {folder}/{model}.onnx, period_ms: 1000,\n"
            f"     input: {{topic: /{model}, max_size: [24, 32]}},\n"
            "     preprocess: {size: [12, 16]},\n"
            f"     output: {{topic: /{model}/out}}}}\n"
            for model in models
        )
    )
    return path


def test_what_was_built_is_there_and_not_built_again(aegis: Aegis, tmp_path: Path) -> None:
    path, state = robot(tmp_path, "onnxruntime", "identity"), tmp_path / "state"
    said = aegis("build", str(path), "--state-dir", str(state), "--format", "json")
    (answer,) = json.loads(said.out)
    assert (said.code, answer["built"], answer["segments"]) == (0, True, 1)
    made = {Path(name): Path(name).stat().st_mtime_ns for name in answer["paths"]}
    again = aegis("build", str(path), "--state-dir", str(state))
    assert again.code == 0
    assert "identity_eye" in again.out and "1 network is ready in" in again.out
    assert made == {name: name.stat().st_mtime_ns for name in made}


def test_a_network_that_is_refused_does_not_keep_the_others_out(
    aegis: Aegis, tmp_path: Path
) -> None:
    path = robot(tmp_path, "simulated", "absent", "identity")
    said = aegis("build", str(path), "--state-dir", str(tmp_path / "state"))
    assert said.code == 1
    assert "1 of 2 networks cannot be run" in said.out
    assert "(absent_eye): " in said.out and "identity_eye" in said.out


def test_builds_engines_and_says_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = fake_backend()
    path = robot(tmp_path, "tensorrt", "identity")
    assert run(path, tmp_path / "state", "json", backend) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["built"] and answer["paths"][0].endswith(".engine")
    assert backend.on_progress is None


def test_an_unknown_format_and_an_empty_configuration_are_bad_input(
    aegis: Aegis, tmp_path: Path
) -> None:
    path = robot(tmp_path, "simulated", "identity")
    assert aegis("build", str(path), "--format", "xml").code == 2
    path.write_text("device: {backend: simulated}\n")
    assert "no task to build" in aegis("build", str(path)).err


class Tuned(SimulatedBackend):
    """Says that it has searched."""

    capabilities = replace(SimulatedBackend.capabilities, tunes=True)
    found = tuning.Tuned(kernels=3, timed=40, before_ns=9_000_000, after_ns=2_500_000)

    def tune(self, prepared: Any, cache_dir: Path, seconds: float, report: Any) -> tuning.Tuned:
        report("40 ways timed", 1.0)
        self.asked = seconds, Path(prepared.source).name
        return self.found


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_search_comes_before_the_build_and_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    path, backend = robot(tmp_path, "simulated", "identity"), Tuned()
    assert run(path, tmp_path / "state", form, backend, tune_s=30.0) == 0
    said = capsys.readouterr().out
    assert backend.asked == (30.0, "identity.onnx")
    if form == "json":
        assert json.loads(said)[0]["tuned"]["after_ns"] == 2_500_000
    else:
        assert "40 ways to compute 3 kernels were timed" in " ".join(said.split())
        assert "2.50 ms a frame, and took 9.00" in " ".join(said.split())
    backend.found = tuning.Tuned()
    assert run(path, tmp_path / "state", "text", backend, tune_s=30.0) == 0
    assert "nothing to search for in this network" in " ".join(capsys.readouterr().out.split())


def test_a_search_that_no_backend_offers_or_that_takes_no_time_is_bad_input(
    aegis: Aegis, tmp_path: Path
) -> None:
    path = robot(tmp_path, "onnxruntime", "identity")
    said = aegis("build", str(path), "--tune", "60")
    assert said.code == 2
    assert "--tune: there is nothing to search for with onnxruntime" in said.err
    assert "lanes of a backend that can be tuned: tvm" in said.err
    for seconds in ("0", "nan", "1e9"):
        assert "1 to 86400 seconds" in aegis("build", str(path), "--tune", seconds).err


@without_driver
@pytest.mark.parametrize("command", ["build", "check", "profile"])
def test_without_a_gpu_every_command_says_so_in_one_sentence(
    aegis: Aegis, tmp_path: Path, command: str
) -> None:
    path = robot(tmp_path, "tensorrt", "identity")
    said = aegis(command, str(path), "--state-dir", str(tmp_path / "state"))
    assert said.code == 2
    (line,) = said.err.strip().splitlines()
    assert "backend tensorrt needs an NVIDIA GPU" in line
    assert "pip install 'aegis_ros[tensorrt]'" in line
    assert said.out == ""
