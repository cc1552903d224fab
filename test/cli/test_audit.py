"""`aegis audit`: what a person reads about the audit log."""

from __future__ import annotations

from pathlib import Path

import pytest

from aegis_ros.audit.chain import FILE_NAME
from aegis_ros.cli.audit import show, verify_log
from aegis_ros.errors import ConfigError
from test.audit.test_audit import written
from test.cli.conftest import Aegis


def test_a_whole_chain_is_said_to_be_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, head = written(tmp_path, 3)
    assert verify_log(tmp_path, "") == 0
    assert capsys.readouterr().out == (
        f"3 records; the last has the digest {head}.\nThe chain is whole.\n"
    )
    assert verify_log(tmp_path, head) == 0


def test_an_edit_is_named_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, 3)
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text().replace("task1", "task9"))
    assert verify_log(tmp_path, "") == 1
    assert f"{FILE_NAME}, line 2: record 2, or the one before, was edited." in (
        capsys.readouterr().out
    )


def test_records_are_listed_by_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, 3)
    assert show(tmp_path, "task1", 10) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "admitted" in out and "It fits." in out


def test_no_log_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no audit log") as caught:
        verify_log(tmp_path, "")
    assert "state_dir" in caught.value.hint


def test_the_command_asks_for_a_digest_and_chooses_a_task(aegis: Aegis, tmp_path: Path) -> None:
    _, head = written(tmp_path, 3)
    folder = str(tmp_path)
    assert aegis("audit", "verify", folder, "--head", head).code == 0
    cut = aegis("audit", "verify", folder, "--head", "0" * 64)
    assert cut.code == 1 and "the end is gone" in cut.out
    shown = aegis("audit", "show", folder, "--task", "task1", "--last", "0")
    assert shown.code == 0 and len(shown.out.splitlines()) == 1 and "It fits." in shown.out
    assert aegis("audit", "verify", str(tmp_path / "nowhere")).code == 2
