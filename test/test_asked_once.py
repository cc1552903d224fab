"""The stand-in for contained children: the same about the same files is asked once, else anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.errors import ModelError
from aegis_ros.sandbox.containment import Containment
from test.asked_once import AskedOnce


class Children:
    """A compiler that writes its source in capitals; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, module: str, request: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        self.asked += 1
        text = Path(request["source"]).read_text()
        if text == "broken":
            raise ModelError("it is broken")
        made = Path(request["folder"]) / "made" / "code"
        made.parent.mkdir()
        made.write_text(text.upper())
        return {"paths": [str(made)], "nested": json.dumps({"path": str(made)})}


@pytest.fixture
def children() -> Children:
    return Children()


@pytest.fixture
def once(tmp_path: Path, children: Children) -> AskedOnce:
    return AskedOnce(tmp_path / "asked", children)


def compiled(
    once: AskedOnce, folder: Path, text: str, *, parts: int = 1, devices: bool = False
) -> str:
    """Compile a text in a folder of its own; return what came of it."""
    (folder / "build").mkdir(parents=True)
    source = folder / "source"
    source.write_text(text)
    allowed = Containment(
        memory_bytes=0, reads=(str(source),), writes=(str(folder / "build"),), devices=devices
    )
    request = {"source": str(source), "folder": str(folder / "build"), "parts": parts}
    said = once("compiler", request, allowed=allowed, timeout_s=1.0, subject=folder.name)
    assert json.loads(said["nested"]) == {"path": said["paths"][0]}
    assert Path(said["paths"][0]).is_relative_to(folder)
    return Path(said["paths"][0]).read_text()


def test_the_same_about_the_same_files_is_asked_once_wherever_they_lie(
    once: AskedOnce, children: Children, tmp_path: Path
) -> None:
    assert [compiled(once, tmp_path / name, "a network") for name in "abc"] == ["A NETWORK"] * 3
    assert children.asked == 1
    another = AskedOnce(tmp_path / "asked", children)  # of another process
    assert compiled(another, tmp_path / "d", "a network") == "A NETWORK"
    assert children.asked == 1


def test_what_is_made_may_be_damaged_by_whoever_asked(once: AskedOnce, tmp_path: Path) -> None:
    compiled(once, tmp_path / "first", "a network")
    for name in ("second", "third"):
        assert compiled(once, tmp_path / name, "a network") == "A NETWORK"
        (tmp_path / name / "build" / "made" / "code").write_text("damaged")


def test_anything_else_is_asked(once: AskedOnce, children: Children, tmp_path: Path) -> None:
    compiled(once, tmp_path / "first", "a network")
    assert compiled(once, tmp_path / "changed", "another one") == "ANOTHER ONE"
    compiled(once, tmp_path / "cut", "a network", parts=2)
    compiled(once, tmp_path / "device", "a network", devices=True)
    compiled(once, tmp_path / "devices", "a network", devices=True)
    assert children.asked == 5
    once.anew = True
    compiled(once, tmp_path / "anew", "a network")
    assert children.asked == 6


def test_a_refusal_is_asked_for_each_time(
    once: AskedOnce, children: Children, tmp_path: Path
) -> None:
    for number in range(2):
        with pytest.raises(ModelError, match="it is broken"):
            compiled(once, tmp_path / f"{number}", "broken")
    assert children.asked == 2
