"""Commands whose output nobody reads to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SET = "tasks: [{name: t, period_ms: 10, segments_ms: [1], copies: 2000, lane: main}]"
_AEGIS = [sys.executable, "-m", "aegis_ros.cli.main"]


def _read_nothing_of(command: list[str], *, errors: bool = False) -> tuple[int, bytes]:
    """Return exit code and the stderr of a command whose reader is gone before it begins."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = subprocess.run(
            command,
            stdout=writer,
            stderr=writer if errors else subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    return ran.returncode, ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["check", "--format", "json"], ["simulate", "--duration", "20ms"]],
)
def test_a_closed_pipe_is_no_answer_and_prints_nothing(
    tmp_path: Path, arguments: list[str]
) -> None:
    """Through rich, and through print: 0 and 1 are answers about the set."""
    path = tmp_path / "set.yaml"
    path.write_text(_SET.replace("2000", "3"))
    command = [*_AEGIS, arguments[0], str(path), *arguments[1:]]
    assert _read_nothing_of(command) == (141, b"")


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["check", "--help"]])
def test_help_ends_the_same_way(arguments: list[str]) -> None:
    assert _read_nothing_of([*_AEGIS, *arguments]) == (141, b"")


def test_an_error_that_nobody_reads_is_no_bug(tmp_path: Path) -> None:
    command = [*_AEGIS, "check", str(tmp_path / "nosuch.yaml")]
    assert _read_nothing_of(command, errors=True) == (141, None)


def test_output_that_is_read_ends_with_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    path.write_text(_SET)  # far more than 100 %, and than a pipe holds
    ran = subprocess.run([*_AEGIS, "check", str(path)], capture_output=True, check=False)
    assert ran.returncode == 1 and b"NOT" in ran.stdout and ran.stderr == b""
