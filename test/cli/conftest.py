"""The command as a user runs it, and files to run it on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer.main

from aegis_ros.cli.main import main

Aegis = Callable[..., "Said"]
Write = Callable[[str], str]


@dataclass(frozen=True)
class Said:
    """Exit code, stdout and stderr of one run."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="session")
def built_once() -> Iterator[None]:
    """Have typer read the signatures of all commands once, not for each command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture
def aegis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Aegis:
    def run(*arguments: str) -> Said:
        monkeypatch.setattr("sys.argv", ["aegis", *arguments])
        try:
            code = main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(text: str) -> str:
        path = tmp_path / "set.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return file
