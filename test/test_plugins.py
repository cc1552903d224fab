"""Plug-ins by name: ours and those of other distributions."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import setuptools

from aegis_ros.backends import registry as backends
from aegis_ros.decoders import registry as decoders
from aegis_ros.errors import ConfigError
from aegis_ros.plugins import Plugins
from aegis_ros.scheduling.adaptation import registry as adaptation
from aegis_ros.scheduling.plans import registry as plans

ROOT = Path(__file__).resolve().parent.parent
FRUIT = Plugins("fruit", "test.fruit", "bowl.fruit", {"pear": "test.test_plugins:pear"})


def pear() -> str:
    return "a pear"


@pytest.fixture
def orchard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution that offers an apple, and a pear of its own."""
    info = tmp_path / "orchard-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orchard\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[test.fruit]\napple = orchard:apple\npear = orchard:stone\n"
    )
    (tmp_path / "orchard.py").write_text("def apple(): return 'an apple'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("orchard", None)


def test_ours_need_no_installation() -> None:
    assert FRUIT.names() == ("pear",)
    assert FRUIT.load("pear")() == "a pear"


def test_those_of_others_are_found_beside_ours_and_never_replace_them(orchard: Path) -> None:
    assert FRUIT.names() == ("apple", "pear")
    assert FRUIT.load("apple")() == "an apple"
    assert FRUIT.load("pear")() == "a pear"


def test_an_unknown_name_is_answered_with_the_nearest_and_all_there_are(orchard: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such fruit") as caught:
        FRUIT.load("aple")
    text = str(caught.value)
    assert "bowl.fruit" in text and "one of apple, pear" in text
    assert "Did you mean 'apple'?" in text and "test.fruit" in text


@pytest.mark.parametrize(
    "plugins",
    [
        adaptation._POLICIES,
        backends._BACKENDS,
        decoders._DECODERS,
        plans._PLANS,
    ],
)
def test_ours_are_listed_for_installation_as_they_are_in_the_code(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured: dict[str, dict[str, list[str]]] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **keywords: captured.update(keywords))
    runpy.run_path(str(ROOT / "setup.py"))
    listed = dict(line.split(" = ") for line in captured["entry_points"][plugins.group])
    assert listed == plugins.ours
