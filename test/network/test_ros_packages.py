"""``package://`` in a workspace that ``colcon build --symlink-install`` built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from aegis_ros.errors import ModelError
from aegis_ros.network import resolve_model
from aegis_ros.rationale import Rule

from .builders import identity_network

URI = "package://nets/models/n.onnx"


class Workspace:
    """A package ``nets``, laid out as colcon does for Python: install links to build to source."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "src" / "nets"
        self.build = folder / "build" / "nets"
        self.prefix = folder / "install" / "nets"
        self.share = self.prefix / "share" / "nets"
        for each in (self.source, self.build, self.share):
            (each / "models").mkdir(parents=True)
        index = self.prefix / "share/ament_index/resource_index/packages"
        index.mkdir(parents=True)
        (index / "nets").touch()
        (self.source / "package.xml").write_text("<package/>")
        self.network = identity_network(self.source / "models" / "n.onnx")
        for place in ("package.xml", "models/n.onnx"):
            (self.build / place).symlink_to(self.source / place)
            (self.share / place).symlink_to(self.build / place)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    made = Workspace(tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'other'}:{made.prefix}")
    return made


def refused(uri: str, roots: Sequence[str]) -> ModelError:
    with pytest.raises(ModelError) as caught:
        resolve_model(uri, roots)
    assert caught.value.rule is Rule.MODEL_ROOTS
    return caught.value


@pytest.mark.parametrize("root", ["package://nets", "package://nets/models"])
def test_a_network_that_is_linked_to_its_source_is_found_below_its_package(
    workspace: Workspace, root: str
) -> None:
    assert resolve_model(URI, [root]) == workspace.network


def test_a_path_into_the_install_folder_is_found_as_well(workspace: Workspace) -> None:
    installed = str(workspace.share / "models" / "n.onnx")
    for root in (workspace.share, workspace.prefix):
        assert resolve_model(installed, [str(root)]) == workspace.network


def test_a_link_whose_target_lies_in_a_root_is_found(workspace: Workspace) -> None:
    assert resolve_model(URI, [str(workspace.source / "models")]) == workspace.network


def test_another_root_does_not_allow_it(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    refused(URI, [str(tmp_path / "elsewhere")])
    refused(URI, ["package://nets/other"])


def test_a_link_to_anything_but_the_packages_own_source_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    beside = tmp_path / "src" / "nets_private"
    beside.mkdir()
    for number, target in enumerate((beside / "n.onnx", tmp_path / "n.onnx")):
        identity_network(target)
        (workspace.share / "models" / f"{number}.onnx").symlink_to(target)
        error = refused(f"package://nets/models/{number}.onnx", ["package://nets"])
        assert f"is a link to {target}" in error.problem


def test_a_link_inside_the_source_that_leads_out_of_it_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    outside = identity_network(tmp_path / "n.onnx")
    workspace.network.unlink()
    workspace.network.symlink_to(outside)
    refused(URI, ["package://nets"])


def test_a_package_that_was_copied_has_no_links_to_follow(workspace: Workspace) -> None:
    manifest = workspace.share / "package.xml"
    manifest.unlink()
    manifest.write_text("<package/>")
    refused(URI, ["package://nets"])


def test_a_manifest_that_is_linked_to_something_else_names_no_source(workspace: Workspace) -> None:
    manifest = workspace.share / "package.xml"
    manifest.unlink()
    manifest.symlink_to(workspace.source / "README.md")
    (workspace.source / "README.md").touch()
    refused(URI, ["package://nets"])


def test_a_package_that_was_copied_allows_no_links_out_of_the_root_into_itself(
    workspace: Workspace,
) -> None:
    manifest = workspace.share / "package.xml"
    manifest.unlink()
    manifest.write_text("<package/>")
    shared = workspace.share / "n.onnx"
    shared.write_bytes(workspace.network.read_bytes())
    link = workspace.share / "models" / "n.onnx"
    link.unlink()
    link.symlink_to(shared)
    refused(URI, ["package://nets/models"])


def test_a_link_in_a_root_that_no_package_shares_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    root = tmp_path / "models"
    root.mkdir()
    (root / "package.xml").symlink_to(workspace.source / "package.xml")
    (root / "n.onnx").symlink_to(workspace.network)
    refused(str(root / "n.onnx"), [str(root)])
