"""docs/architecture.md: its picture is that of the code, its decoder works, its paths exist."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.decoders import Classification, FrameInfo, create_decoder
from aegis_ros.errors import DecodeError
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.spec import PreprocessSpec

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SCRIPT = ROOT / "docs" / "images" / "architecture.py"


def test_the_picture_shows_the_floors_as_they_are() -> None:
    drawn = runpy.run_path(str(SCRIPT))["drawing"]()
    committed = SCRIPT.with_suffix(".svg").read_text(encoding="utf-8")
    assert committed == drawn, "run: python docs/images/architecture.py"


def test_every_package_stands_on_a_floor_of_the_picture() -> None:
    shown = {item.name for floor in runpy.run_path(str(SCRIPT))["floors"]() for item in floor}
    packages = {path.parent.name for path in (ROOT / "aegis_ros").glob("*/__init__.py")}
    assert packages <= shown


def test_nothing_outside_of_nodes_imports_nodes_or_messages() -> None:
    # import-linter sees no import by name, and no generated module.
    barred = re.compile(r"aegis_ros\.(nodes|msg|srv|action)\b")
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for path in (ROOT / "aegis_ros").rglob("*.py")
        if path.relative_to(ROOT / "aegis_ros").parts[0] != "nodes"
        if re.search(r"\b(nodes|msg|srv|action)\b", text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        for name in _imported(node)
        if barred.match(name)
    ]
    assert found == []


def test_only_one_module_makes_and_removes_folders_that_a_killed_process_leaves() -> None:
    elsewhere = re.compile(
        r"tempfile\.(mkdtemp|mkstemp|NamedTemporaryFile|TemporaryDirectory)|shutil\.rmtree"
    )
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "aegis_ros").rglob("*.py")
        if re.search("tempfile|shutil", text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        for name in (*_imported(node), *_attribute(node))
        if elsewhere.match(name)
    }
    assert found == {"aegis_ros/sandbox/scratch.py"}


def _attribute(node: ast.AST) -> list[str]:
    return [ast.unparse(node)] if isinstance(node, ast.Attribute) else []


def _imported(node: ast.AST) -> list[str]:
    """Return what a statement or a call imports, as ``package.module.name``."""
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{each.name}" for each in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
        ("import_module", "__import__", "run_module", "load_module")
    ):
        return [each.value for each in node.args if isinstance(each, ast.Constant)]
    return []


def test_every_file_and_folder_that_is_named_is_there() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+(?:[A-Za-z_]+\.[a-z]+)?)`", PAGE)
    assert len(named) > 10
    missing = [
        name
        for name in named
        if not (ROOT / "aegis_ros" / name).exists() and not (ROOT / name).exists()
    ]
    assert missing == []


@pytest.fixture
def their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (block,) = re.findall(r"```python\n# mean_decoder\.py\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mean_decoder.py").write_text(block)
    ((group, line),) = re.findall(r'\[project\.entry-points\."([\w.]+)"\]\n(.+)\n', PAGE)
    info = tmp_path / "mean-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mean\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("mean_decoder", None)


@pytest.mark.usefixtures("their_package")
def test_a_decoder_of_one_file_is_found_and_works() -> None:
    outputs = (TensorInfo("values", "float32", (1, 4)),)
    decoder = create_decoder("mean", {}, PreprocessSpec(), outputs)
    found = decoder.decode(
        {"values": np.full((1, 4), 3.0, np.float32)}, FrameInfo.of((8, 8, 3), PreprocessSpec())
    )
    assert isinstance(found, Classification)
    assert found.labels == ("mean",) and found.scores.tolist() == [3.0]
    with pytest.raises(DecodeError, match="no output"):
        create_decoder("mean", {}, PreprocessSpec(), ())
