"""`aegis check` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aegis_ros.cli.main import app, main

FITS = (
    "tasks: [{name: a, period_ms: 10, segments_ms: [2]}, "
    "{name: b, period_ms: 20, segments_ms: [4]}]"
)
TWICE = FITS.replace("name: b", "name: a")
BLOCKED = (
    "tasks: [{name: quick, period_ms: 10, segments_ms: [2]}, "
    "{name: slow, period_ms: 100, segments_ms: [30]}]"
)


def _write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "set.yaml"
    path.write_text(text)
    return str(path)


def test_says_yes_with_exit_code_0(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", _write(tmp_path, FITS)])
    assert result.exit_code == 0
    assert "schedulable" in result.output


def test_says_no_with_the_blocker_and_what_would_help(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", _write(tmp_path, BLOCKED), "--format", "json"])
    assert result.exit_code == 1
    answer = json.loads(result.output)
    lane = answer["lanes"][0]
    assert answer["rule"] == "demand_bound"
    assert lane["witness"]["blocking_task"] == "slow"
    assert lane["witness"]["slack_ms"] < 0
    assert {item["change"] for item in answer["counterfactuals"]} >= {"segments", "drop"}


def test_json_keeps_its_form(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", _write(tmp_path, FITS), "--format", "json"])
    answer = json.loads(result.output)
    assert set(answer) == {"schedulable", "policy", "lanes", "counterfactuals", "rule"}
    assert set(answer["lanes"][0]["tasks"][0]) == {
        "name",
        "response_bound_ms",
        "deadline_ms",
        "slack_ms",
    }


@pytest.mark.parametrize(
    "text",
    [
        "tasks: []",
        "tasks: [{name: a, period_ms: 0, segments_ms: [1]}]",
        "tasks: [{name: a, period_ms: 5, segments_ms: [0]}]",
        TWICE,
        "tasks: [{name: a, period_ms: 5, segments_ms: [1], lane: nowhere}]",
        "nonsense",
        ": :",
    ],
)
def test_bad_input_ends_with_code_2_and_one_message(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["aegis", "check", _write(tmp_path, text)])
    assert main() == 2
    assert capsys.readouterr().err.startswith("aegis: ")
