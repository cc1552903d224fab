"""``pypi://``: files that a distribution's RECORD lists, as they were installed."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_ros.errors import ModelError
from aegis_ros.network import resolve_model, resolve_resource
from aegis_ros.rationale import Rule

from .builders import identity_network

URI = "pypi://some-nets/models/n.onnx"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from, with an importable package that holds a network."""
    folder = tmp_path / "site"
    (folder / "some_nets" / "models").mkdir(parents=True)
    (folder / "some_nets" / "__init__.py").touch()
    identity_network(folder / "some_nets" / "models" / "n.onnx")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return folder


def record_of(path: Path, algorithm: str = "sha256") -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, path.read_bytes()).digest())
    return f"{algorithm}={digest.decode().rstrip('=')}"


def install(site: Path, record: str | None) -> None:
    """Have the package be a distribution whose RECORD is this; ``None`` for one without."""
    about = site / "some_nets-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: some-nets\nVersion: 1.0\n")
    if record is not None:
        (about / "RECORD").write_text(record)


def refused(uri: str = URI, roots: tuple[str, ...] = ()) -> ModelError:
    with pytest.raises(ModelError) as caught:
        resolve_model(uri, roots)
    return caught.value


def test_a_file_that_was_installed_is_found(site: Path) -> None:
    path = site / "some_nets" / "models" / "n.onnx"
    install(site, f"some_nets/models/n.onnx,{record_of(path)},{path.stat().st_size}\n")
    assert resolve_model(URI, []) == path


def test_a_folder_that_is_only_importable_is_no_distribution(site: Path) -> None:
    error = refused()
    assert error.rule is Rule.MODEL_FILE and "no distribution named 'some-nets'" in error.problem
    assert "pip install" in error.hint


def test_a_file_that_was_put_beside_those_installed_is_refused(site: Path) -> None:
    install(site, "some_nets/__init__.py,,0\nsome_nets/models/other.onnx,,9\n")
    error = refused()
    assert error.rule is Rule.MODEL_FILE and "has not installed such a file" in error.problem
    assert "pip show --files some-nets" in error.hint


def test_a_distribution_without_a_record_is_refused(site: Path) -> None:
    install(site, None)
    (site / "some_nets-1.0.dist-info" / "SOURCES.txt").write_text("some_nets/models/n.onnx\n")
    assert "nothing records which files belong" in refused().problem


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_file_that_was_changed_since_it_was_installed_is_refused(
    site: Path, algorithm: str
) -> None:
    path = site / "some_nets" / "models" / "n.onnx"
    install(site, f"some_nets/models/n.onnx,{record_of(path, algorithm)},9\n")
    assert resolve_model(URI, []) == path
    path.write_bytes(path.read_bytes() + b"\x00")
    error = refused()
    assert error.rule is Rule.MODEL_DIGEST and "'some-nets' installed" in error.problem
    assert "pip install --force-reinstall some-nets" in error.hint


@pytest.mark.parametrize("recorded", ["", "md5=AAAA", "sha1=AAAA"])
def test_without_a_digest_that_proves_anything_the_file_is_taken(site: Path, recorded: str) -> None:
    install(site, f"some_nets/models/n.onnx,{recorded},9\n")
    assert resolve_model(URI, []).is_file()


@pytest.mark.parametrize("recorded", ["sha256=", "sha256=no base64!", "sha256=AAAA"])
def test_a_digest_that_cannot_be_right_is_wrong(site: Path, recorded: str) -> None:
    install(site, f"some_nets/models/n.onnx,{recorded},9\n")
    assert refused().rule is Rule.MODEL_DIGEST


def test_a_record_that_names_files_elsewhere_allows_none_of_them(site: Path) -> None:
    outside = identity_network(site.parent / "n.onnx")
    relative = outside.relative_to("/")
    install(site, f"{outside},,9\n../n.onnx,,9\nsome_nets-1.0.dist-info/n.onnx,,9\n")
    identity_network(site / "some_nets-1.0.dist-info" / "n.onnx")
    for place in (relative, "n.onnx", "../n.onnx"):
        assert refused(f"pypi://some-nets/{place}").rule in (Rule.MODEL_FILE, Rule.MODEL_ROOTS)


def links(site: Path) -> Path:
    """Have the file be a link into a cache, as some installers make it; return its target."""
    path = site / "some_nets" / "models" / "n.onnx"
    install(site, f"some_nets/models/n.onnx,{record_of(path)},9\n")
    target = site.parent / "cache" / "n.onnx"
    target.parent.mkdir()
    path.rename(target)
    path.symlink_to(target)
    return target


def test_a_link_out_of_a_distribution_needs_its_target_in_a_root(site: Path) -> None:
    target = links(site)
    error = refused()
    assert error.rule is Rule.MODEL_ROOTS and str(target) in error.problem
    assert resolve_model(URI, [str(target.parent)]) == target


@pytest.mark.parametrize("find", [resolve_model, resolve_resource])
def test_nothing_of_a_distribution_is_imported_to_find_its_files(
    site: Path, find: Callable[[str, list[str]], Path]
) -> None:
    path = site / "some_nets" / "models" / "n.onnx"
    install(site, f"some_nets/models/n.onnx,{record_of(path)},9\n")
    (site / "some_nets" / "__init__.py").write_text("raise RuntimeError\n")
    assert find(URI, []) == path
