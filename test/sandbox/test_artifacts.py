"""Files that take long to make: all of one build are found, or none."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.errors import StateError
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.artifacts import ArtifactCache


def build(*contents: str, **facts: Any) -> Callable[[Path], tuple[dict[str, Any], list[Path]]]:
    def make(folder: Path) -> tuple[dict[str, Any], list[Path]]:
        files = [folder / f"{number}.part" for number in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            file.write_text(content)
        (folder / "left over").touch()
        return facts, files

    return make


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_what_was_made_is_found_with_its_facts_and_files_in_order(tmp_path: Path) -> None:
    made = ArtifactCache(tmp_path / "cache").make("net", build("one", "two", bytes=3))
    assert [path.read_text() for path in made.paths] == ["one", "two"]
    assert all(path.suffix == ".part" for path in made.paths)
    found = ArtifactCache(tmp_path / "cache").find("net")
    assert found == made and found.facts == {"bytes": 3}


def test_a_cache_that_moves_takes_its_artifacts_along(tmp_path: Path) -> None:
    ArtifactCache(tmp_path / "here").make("net", build("one"))
    (tmp_path / "here").rename(tmp_path / "there")
    found = ArtifactCache(tmp_path / "there").find("net")
    assert found is not None and found.paths[0].read_text() == "one"


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails(folder: Path) -> tuple[dict[str, Any], list[Path]]:
        (folder / "half").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        ArtifactCache(tmp_path).make("net", fails)
    assert files_of(tmp_path) == []


def test_a_build_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    made = cache.make("net", build("one"))
    with pytest.raises(ZeroDivisionError):
        cache.make("net", lambda folder: ({}, [1 // 0]))  # type: ignore[list-item]
    assert cache.find("net") == made


def test_builds_that_run_at_once_never_mix_their_files(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)

    def slower(folder: Path) -> tuple[dict[str, Any], list[Path]]:
        mine = build("a1", "same", cut="a")(folder)
        cache.make("net", build("b1", "same", cut="b"))  # meanwhile, in another process
        return mine

    cache.make("net", slower)
    found = cache.find("net")
    assert found is not None and found.facts == {"cut": "a"}
    assert [path.read_text() for path in found.paths] == ["a1", "same"]


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{half",
        "3",
        "[]",
        '[["bytes", 3]]',
        '{"paths": 3}',
        '{"paths": [""]}',
        '{"paths": ["' + "a" * 5000 + '"]}',
        "[" * 100_000,
    ],
)
def test_damaged_facts_count_as_none(damage: str, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    cache.make("net", build("one"))
    (tmp_path / "net.json").write_text(damage)
    assert cache.find("net") is None
    assert cache.make("net", build("one")).paths[0].exists()


def test_an_artifact_without_one_of_its_files_is_not_found(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    made = cache.make("net", build("one", "two"))
    made.paths[1].unlink()
    assert cache.find("net") is None


@pytest.mark.parametrize("left", ["", "on", "one and more"])
@pytest.mark.parametrize("sizes", [True, False])
def test_an_artifact_with_a_file_of_another_length_is_not_found(
    left: str, sizes: bool, tmp_path: Path
) -> None:
    cache = ArtifactCache(tmp_path)
    made = cache.make("net", build("one"))
    made.paths[0].write_text(left)
    if not sizes:  # as earlier versions noted it: only what is empty is seen
        noted = tmp_path / "net.json"
        facts = json.loads(noted.read_text())
        del facts["sizes"]
        noted.write_text(json.dumps(facts))
    assert (cache.find("net") is None) == (sizes or not left)
    assert cache.make("net", build("one")).paths[0].read_text() == "one"
    assert cache.find("net") == made


def test_artifacts_of_the_version_before_are_found(tmp_path: Path) -> None:
    (tmp_path / "whole.onnx").write_text("whole")
    (tmp_path / "whole.json").write_text(json.dumps({"bytes": 7}))
    part = tmp_path / "part.onnx"
    part.write_text("part")
    (tmp_path / "cut.json").write_text(json.dumps({"cuts": "c", "paths": [str(part)]}))
    cache = ArtifactCache(tmp_path)
    whole, cut = cache.find("whole", file="whole.onnx"), cache.find("cut")
    assert whole is not None and whole.paths == (tmp_path / "whole.onnx",)
    assert cut is not None and cut.paths == (part,) and cut.facts == {"cuts": "c"}


def test_what_lies_beside_a_file_goes_with_it_and_equal_files_keep_their_own(
    tmp_path: Path,
) -> None:
    def make(folder: Path) -> tuple[dict[str, Any], list[Path]]:
        facts, files = build("same", "same")(folder)
        for number, file in enumerate(files):
            file.with_suffix(".note").write_text(str(number))
        return facts, files

    made = ArtifactCache(tmp_path).make("net-1.2", make, beside=[".note"])
    assert [path.with_suffix(".note").read_text() for path in made.paths] == ["0", "1"]


def test_a_full_disk_is_told_from_a_bad_network(tmp_path: Path) -> None:
    def fill(folder: Path) -> tuple[dict[str, Any], list[Path]]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StateError, match=f"the disk is full, .* into {tmp_path}") as caught:
        ArtifactCache(tmp_path).make("net", fill)
    assert caught.value.rule is Rule.STATE and "Free some space" in caught.value.hint
    assert files_of(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"cannot be kept in .*file/cache") as caught:
        ArtifactCache(tmp_path / "file" / "cache")
    assert "state_dir" in caught.value.hint


def test_a_folder_that_is_removed_meanwhile_is_refused_in_words(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache")
    (tmp_path / "cache").rmdir()
    assert cache.find("net") is None
    with pytest.raises(StateError, match="is gone"):
        cache.make("net", build("one"))
    assert ArtifactCache(tmp_path / "cache").make("net", build("one")).paths
