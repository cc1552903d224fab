"""The table of cases in README.md leads to tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_ROWS = [
    line
    for line in (Path(__file__).parent / "README.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| case ", "| ---"))
]


def _named(row: str) -> list[tuple[str, str]]:
    """Return (file, beginning of a test's name) of each test in the last column of a row."""
    last = re.split(r"(?<!\\)\|", row.rstrip("| "))[-1]
    found = re.findall(r"`((?:test|aegis_ros)/[\w/]+\.py)(?:::(\w+)…?)?`", last)
    return [(file, name) for file, name in found]


@pytest.mark.parametrize("row", _ROWS, ids=[row[2:60] for row in _ROWS])
def test_each_case_names_a_test_that_is_there(row: str) -> None:
    named = _named(row)
    assert named, row
    for file, name in named:
        text = (_ROOT / file).read_text()
        beginning = re.escape(name or "test_")
        assert re.search(rf"^ *(async )?def {beginning}", text, re.MULTILINE), row


def test_every_file_of_this_folder_is_named() -> None:
    named = {file for row in _ROWS for file, _ in _named(row)}
    own = {f"test/field/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}
    assert own - named == {f"test/field/{Path(__file__).name}"}
