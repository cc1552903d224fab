"""The interface files keep what they promise: every field is explained, constants match."""

from __future__ import annotations

from pathlib import Path

import pytest

from aegis_ros.rationale import Decision
from aegis_ros.spec import Criticality

ROOT = Path(__file__).resolve().parent.parent
INTERFACES = sorted(
    path for folder in ("msg", "srv", "action") for path in (ROOT / folder).iterdir()
)


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.name)
def test_every_block_of_fields_has_a_comment_above_it(path: Path) -> None:
    previous = "#"
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line and not line.startswith("#") and line != "---":
            assert previous not in ("", "---"), f"{path.name}:{number}: {line!r}"
        previous = line


def _constants(path: Path, prefix: str) -> set[str]:
    return {
        line.split("=", 1)[1]
        for line in path.read_text().splitlines()
        if line.startswith(f"string {prefix}")
    }


def test_decision_constants_are_those_of_the_library() -> None:
    assert _constants(ROOT / "msg/Rationale.msg", "DECISION_") == {str(item) for item in Decision}


def test_criticality_constants_are_those_of_the_library() -> None:
    expected = {str(item) for item in Criticality}
    assert _constants(ROOT / "msg/ModelTask.msg", "CRITICALITY_") == expected
