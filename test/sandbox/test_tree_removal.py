"""A folder is removed however deep a stranger has nested it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aegis_ros.sandbox.artifacts import ArtifactCache
from aegis_ros.sandbox.scratch import Scratch
from aegis_ros.sandbox.tree_removal import remove_tree

_LEVELS = 3_000  # more than Python's own calls, or open files of a process, may be


def nest(folder: Path, levels: int = _LEVELS) -> None:
    """Make folders in each other, with a file in each; their path is too long to be opened."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at))
        os.mkdir("a folder", dir_fd=at)
        inside = os.open("a folder", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inside
    os.close(at)


def test_folders_that_are_nested_thousands_of_times_are_removed(tmp_path: Path) -> None:
    (tmp_path / "tree" / "beside").mkdir(parents=True)
    nest(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    assert not list(tmp_path.iterdir())


def test_nobody_who_works_in_a_scratch_folder_can_keep_it_from_being_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Scratch(tmp_path) as folder:
        nest(folder)
    made = ArtifactCache(tmp_path / "cache").make("net", lambda folder: (nest(folder) or {}, []))
    assert made.paths == ()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["net.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert not caplog.messages


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "link").symlink_to(precious)
    (tmp_path / "tree" / "inner" / "link").symlink_to(precious)
    (tmp_path / "tree" / "gone").symlink_to("nowhere")
    remove_tree(tmp_path / "tree")
    assert [path.name for path in tmp_path.rglob("*")] == ["precious", "file"]
    (tmp_path / "link").symlink_to(precious)
    with pytest.raises(OSError):
        remove_tree(tmp_path / "link")
    assert (precious / "file").exists()


def test_folders_that_nobody_may_open_are_removed(tmp_path: Path) -> None:
    """It says something only where this user is not root."""
    for name in ("tree/a/b/c", "tree/d"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("tree/a/b/c", "tree/a/b", "tree/a", "tree/d", "tree"):
        (tmp_path / name).chmod(0)
    remove_tree(tmp_path / "tree")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_needs_no_removal(tmp_path: Path) -> None:
    remove_tree(tmp_path / "tree")
