"""Files that take long to make: all of one build are found, or none."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.errors import StateError
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.artifacts import ArtifactCache, _digest


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


@pytest.mark.parametrize("kind", ["elsewhere", "link", "pipe", "folder", "linked folder"])
def test_a_build_keeps_nothing_but_files_of_its_own(tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "elsewhere" / "precious"
    precious.parent.mkdir()
    precious.write_text("precious")

    def hostile(folder: Path) -> tuple[dict[str, Any], list[Path]]:
        named = folder / "made"
        if kind == "elsewhere":
            named = folder / ".." / ".." / "elsewhere" / "precious"
        elif kind == "link":
            named.symlink_to(precious)
        elif kind == "pipe":
            os.mkfifo(named)
        elif kind == "folder":
            named.mkdir()
        else:
            named.symlink_to(precious.parent)
            named /= "precious"
        return {}, [named]

    with pytest.raises(StateError, match="no file of its own"):
        ArtifactCache(tmp_path / "cache").make("net", hostile)
    assert precious.read_text() == "precious"
    assert files_of(tmp_path / "cache") == []


def test_a_build_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    made = cache.make("net", build("one"))
    with pytest.raises(ZeroDivisionError):
        cache.make("net", lambda folder: ({}, [1 // 0]))  # type: ignore[list-item]
    assert cache.find("net") == made


def test_the_files_before_stay_unless_nobody_can_want_them(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    first = cache.make("net", build("one", "same"))
    second = cache.make("net", build("two", "same"))
    assert first.paths[0].exists()
    third = cache.make("net", build("three", "same"), only=True)
    assert not second.paths[0].exists() and second.paths[1] == third.paths[1]
    assert cache.find("net") == third


def test_files_that_no_build_names_any_more_go_with_a_later_one(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    others = [cache.make(name, build("other")).paths[0] for name in ("net.0", "net2", "xnet")]
    aside = tmp_path / "net.0-note.part"
    aside.touch()
    builds = [cache.make("net", build(text)).paths[0] for text in ("one", "two", "three")]
    under_way = tmp_path / "net.0-0123456789abcdef.part"  # of a process that builds it, too
    under_way.touch()
    for path in (*others, *builds, aside):
        os.utime(path, (0, 0))
    last = cache.make("net", build("four")).paths[0]
    for path in (*others, aside, under_way, builds[2], last):
        assert path.exists()
    assert not builds[0].exists() and not builds[1].exists()


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
        '{"facts": {}, "files": 3, "sha256": ""}',
        '{"facts": {}, "files": [["' + "a" * 5000 + '", "00"]], "sha256": "00"}',
        "[" * 100_000,
    ],
)
def test_damaged_facts_count_as_none(damage: str, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    cache.make("net", build("one"))
    (tmp_path / "net.json").write_text(damage)
    assert cache.find("net") is None
    assert cache.make("net", build("one")).paths[0].exists()


@pytest.mark.parametrize("place", ["{outside}", "../outside", "folder/../../outside", "link"])
def test_a_file_that_is_not_in_the_cache_is_not_found(place: str, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "cache"
    cache = ArtifactCache(folder)
    (made,) = cache.make("net", build("one")).paths
    outside.write_text("one")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(outside)
    noted = folder / "net.json"

    def named(name: str) -> None:
        kept = json.loads(noted.read_text())
        kept["files"][0][0] = name
        kept["sha256"] = _digest(kept["facts"], kept["files"])  # whoever writes there can do that
        noted.write_text(json.dumps(kept))

    named(place.format(outside=outside))
    assert cache.find("net") is None
    named(made.name)
    assert cache.find("net") is not None


def test_an_artifact_without_one_of_its_files_is_not_found(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    made = cache.make("net", build("one", "two"))
    made.paths[1].unlink()
    assert cache.find("net") is None


@pytest.mark.parametrize("left", ["", "on", "one and more", "oNe"])
def test_an_artifact_whose_file_is_not_what_was_made_is_not_found_and_that_is_logged_once(
    left: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = ArtifactCache(tmp_path)
    made = cache.make("net", build("one"))
    made.paths[0].write_text(left)
    assert cache.find("net") is None
    assert cache.make("net", build("one")).paths[0].read_text() == "one"
    assert cache.find("net") == made
    (said,) = caplog.messages
    assert f"{tmp_path / 'net.json'} is made anew: " in said and "is damaged" in said


@pytest.mark.parametrize("which", ["facts", "file", "both"])
def test_a_folder_in_place_of_a_file_is_moved_aside_with_what_it_holds(
    which: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = ArtifactCache(tmp_path)
    made = cache.make("net", build("one"))
    places = {"facts": [tmp_path / "net.json"], "file": [made.paths[0]]}
    places["both"] = places["facts"] + places["file"]
    for place in places[which]:
        place.unlink()
        place.mkdir()
        (place / "mine").write_text("keep me")
    assert cache.find("net") is None
    assert cache.make("net", build("one")) == made
    assert cache.find("net") == made and made.paths[0].read_text() == "one"
    for place in places[which]:
        (aside,) = tmp_path.glob(f"{place.name}.folder-*")
        assert (aside / "mine").read_text() == "keep me"
        assert f"a folder stood in place of {place}; it is {aside} now" in caplog.messages
    assert cache.make("net", build("two"), only=True).paths[0].read_text() == "two"


def test_a_folder_with_the_name_of_an_old_build_bars_no_later_one(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    (old := tmp_path / f"net.0-{'a' * 16}.part").mkdir()
    os.utime(old, (0, 0))
    assert cache.make("net", build("one")).paths[0].read_text() == "one"
    assert old.is_dir()


def test_a_folder_in_place_of_an_earlier_file_bars_no_later_build(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    (earlier,) = cache.make("net", build("one")).paths
    earlier.unlink()
    earlier.mkdir()
    assert cache.make("net", build("two"), only=True).paths[0].read_text() == "two"


@pytest.mark.parametrize("link", [True, False])
def test_a_file_that_cannot_be_read_is_made_anew_and_the_log_says_why(
    link: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that another user's node has made; whoever may write to the folder may replace it."""
    cache = ArtifactCache(tmp_path)
    made = cache.make("net", build("one"))
    if link:
        (tmp_path / "net.json").unlink()
        (tmp_path / "net.json").symlink_to(tmp_path)  # opens as a folder does, and is a link
    else:
        refused = PermissionError(errno.EACCES, "Permission denied", str(made.paths[0]))

        def digest_of(path: Path) -> str:
            raise refused

        monkeypatch.setattr("aegis_ros.sandbox.artifacts.digest_of", digest_of)
    assert cache.find("net") is None
    (said,) = caplog.messages
    assert "cannot be read (" in said and "no sense" not in said
    assert link or f"{made.paths[0]} cannot be read (Permission denied)" in said
    monkeypatch.undo()
    assert cache.make("net", build("one")) == made == cache.find("net")


@pytest.mark.parametrize(("this", "other"), [("3", "4"), ("[1, 2]", "[2, 1]"), ("bytes", "Bytes")])
def test_facts_that_are_not_those_that_were_noted_are_not_found(
    this: str, other: str, tmp_path: Path
) -> None:
    cache = ArtifactCache(tmp_path)
    cache.make("net", build("one", bytes=3, extents=(1, 2)))
    noted = tmp_path / "net.json"
    text = noted.read_text()
    assert this in text.partition("files")[0]
    noted.write_text(text.replace(this, other, 1))
    assert cache.find("net") is None


def test_every_flipped_bit_of_an_artifact_is_seen(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    made = cache.make("net", build("one", bytes=3))
    for path in (tmp_path / "net.json", *made.paths):
        whole = path.read_bytes()
        for at in range(8 * len(whole)):
            flipped = bytearray(whole)
            flipped[at // 8] ^= 1 << at % 8
            path.write_bytes(flipped)
            assert cache.find("net") in (None, made), flipped  # a blank may become another
        path.write_bytes(whole)
    assert cache.find("net") == made


def test_artifacts_of_the_versions_before_are_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They had no digests: nothing tells whether they are what was made."""
    part = tmp_path / "part.onnx"
    part.write_text("part")
    for name, facts in {
        "whole": {"bytes": 7},
        "cut": {"cuts": "c", "paths": [str(part)]},
        "sized": {"cuts": "c", "paths": ["part.onnx"], "sizes": [4]},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(facts))
        assert ArtifactCache(tmp_path).find(name) is None
    assert len(caplog.messages) == 3 and "an earlier version" in caplog.messages[0]


def test_facts_hold_no_path_of_this_machine(tmp_path: Path) -> None:
    ArtifactCache(tmp_path).make("net", build("one", bytes=3))
    assert str(tmp_path) not in (tmp_path / "net.json").read_text()


def test_nothing_is_logged_of_what_was_never_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert ArtifactCache(tmp_path).find("net") is None
    assert caplog.messages == []


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
