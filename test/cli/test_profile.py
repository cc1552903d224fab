"""`aegis profile`, from the file on disk to the budget that `aegis check` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aegis_ros.cli.check import run as check
from aegis_ros.cli.profile import run
from aegis_ros.errors import ConfigError
from test.network.builders import identity_network


@pytest.fixture
def config(tmp_path: Path) -> Path:
    identity_network(tmp_path / "identity.onnx", (1, 3, 12, 16))
    path = tmp_path / "robot.yaml"
    path.write_text(
        "device: {backend: onnxruntime, lanes: [{name: main}], realtime_priority: 0}\n"
        f"models: {{roots: ['{tmp_path}']}}\n"
        "tasks:\n"
        + "".join(
            f"  - {{name: {name}, model: {tmp_path}/{model}.onnx, period_ms: 1000,\n"
            f"     input: {{topic: /{name}, max_size: [24, 32]}}, preprocess: {{size: [12, 16]}},\n"
            f"     output: {{topic: /{name}/out}}}}\n"
            for name, model in (("good", "identity"), ("gone", "absent"))
        )
    )
    return path


def test_what_was_measured_is_what_check_reads(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    assert run(config, ["good"], 20, state, "json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert (answer["task"], answer["measured"], answer["runs"]) == ("good", True, 20)
    assert 0.0 < answer["p50_ms"] <= answer["max_ms"] < answer["wcet_ms"]
    text = config.read_text()
    config.write_text(text[: text.index("  - {name: gone")])
    assert check(config, "json", state, None) == 0
    (lane,) = json.loads(capsys.readouterr().out)["lanes"]
    assert answer["wcet_ms"] / 1000 <= lane["utilization"] < 0.5


def test_a_network_that_is_refused_does_not_keep_the_others_out(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, [], 20, tmp_path / "state", "text") == 1
    printed = capsys.readouterr().out
    assert "good was measured" in printed
    assert "absent.onnx" in printed


def test_an_unknown_task_is_named_beside_those_there_are(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nobody.*one of good, gone"):
        run(config, ["nobody"], 20, tmp_path / "state", "text")
