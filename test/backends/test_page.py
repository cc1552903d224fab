"""docs/backends.md says of every backend what it says of itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aegis_ros.backends import backend_names, capabilities_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "backends.md").read_text()
COLUMNS = {
    "batches": "batches",
    "state": "state",
    "partitions": "partitions",
    "graphs": "graphs",
    "TF32": "tf32",
    "shares activations": "shares_activations",
    "streams weights": "streams_weights",
    "tunes": "tunes",
}


def rows() -> dict[str, dict[str, str]]:
    """Return the first table, by backend and column."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    heads, _, *table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    found = {}
    for cells in table:
        if len(cells) != len(heads):
            break
        found[cells[0].strip("`")] = dict(zip(heads, cells, strict=True))
    return found


def test_every_backend_of_a_robot_has_a_row() -> None:
    assert rows().keys() == {*backend_names()} - {"simulated"}


@pytest.mark.parametrize("name", sorted({*backend_names()} - {"simulated"}))
def test_a_row_is_what_the_backend_says_of_itself(name: str) -> None:
    row, said = rows()[name], capabilities_of(name)
    assert int(row["inputs"]) == said.inputs
    assert (row["computes on"] == "the lanes' cores") == said.on_cores
    for head, attribute in COLUMNS.items():
        assert {"yes": True, "no": False}[row[head]] == getattr(said, attribute), head


def test_what_it_names_is_there() -> None:
    named = re.findall(r"`((?:backends|sandbox|bootstrap|test)/[\w/.]+)`", PAGE)
    assert len(named) > 8
    gone = [
        name
        for name in named
        if not (ROOT / name).exists() and not (ROOT / "aegis_ros" / name).exists()
    ]
    assert gone == []
