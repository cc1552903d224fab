"""Names of a package that are imported when they are asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aegis_ros import config, engine, host, network, scheduling

_OF_NO_MODULE = ("Action", "Actions", "MESSAGE_TYPES", "Number")


@pytest.fixture
def orchard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with an apple in one of its modules."""
    package = tmp_path / "orchard"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from aegis_ros.on_demand import on_demand\n"
        "__getattr__ = on_demand(__name__, {'apple': 'trees'})\n"
    )
    (package / "trees.py").write_text("apple = object()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "orchard"
    for name in ("orchard", "orchard.trees"):
        sys.modules.pop(name, None)


def test_a_name_is_imported_once_when_it_is_asked_for(orchard: str) -> None:
    package = importlib.import_module(orchard)
    assert "orchard.trees" not in sys.modules
    apple = package.apple
    assert vars(package)["apple"] is apple is sys.modules["orchard.trees"].apple


def test_a_name_that_is_not_there_is_an_attribute_error(orchard: str) -> None:
    with pytest.raises(AttributeError, match="'orchard' has no attribute 'pear'"):
        importlib.import_module(orchard).pear  # noqa: B018


@pytest.mark.parametrize("package", [config, engine, host, network, scheduling])
def test_every_public_name_of_ours_can_be_had(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        module = getattr(getattr(package, name), "__module__", "")
        assert str(module).startswith("aegis_ros") or name in _OF_NO_MODULE
