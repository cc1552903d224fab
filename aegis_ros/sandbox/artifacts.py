"""Keeps files that take long to make, so that a reader finds all of one build or nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis_ros.config import read_json, read_text
from aegis_ros.errors import AegisError, StateError
from aegis_ros.sandbox.scratch import Scratch
from aegis_ros.sandbox.storage import kept_in
from aegis_ros.sandbox.verified import digest_of

__all__ = ["Artifact", "ArtifactCache", "Build"]

Build = Callable[[Path], tuple[Mapping[str, Any], Iterable[Path]]]
"""Makes an artifact in the empty folder it is given; returns facts (plain JSON) and files there."""

_NAMED_BY = 16  # digits of a file's digest
_BUILD_S = 86_400.0  # longer than any build
_MOST_FACTS = 8 * 1024 * 1024  # bytes
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Artifact:
    """What was made.

    Attributes:
        facts: what the build noted, plain JSON.
        paths: its files, in the order the build named them.
        digests: SHA-256 of each in hex.
    """

    facts: Mapping[str, Any]
    paths: tuple[Path, ...]
    digests: tuple[str, ...]


class ArtifactCache:
    """Artifacts in one folder: ``NAME.json`` with the facts, the names of its files and digests.

    Several processes may make the same artifact at once: files are named after what they hold, so
    that no build replaces a file of another, and the facts, written last, name those of one build.
    A power cut at any moment leaves the whole artifact or none.

    Digests find what a disk or a copy did to the files; they do not keep out who may write to the
    folder.

    Args:
        folder: is created.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder.

        Raises:
            StateError: it cannot be.
        """
        self._folder = folder
        with kept_in(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def find(self, name: str) -> Artifact | None:
        """Return an artifact that is what was made; ``None`` where it has to be made (again).

        That is where it was never made, where facts or files are not those that were made, or where
        a version of this package made it that noted no digests; all but the first are logged.

        Args:
            name: of the artifact.
        """
        noted = self._folder / f"{name}.json"
        try:
            if not noted.exists():
                return None
            return self._noted(noted)
        except (AegisError, OSError, ValueError, TypeError, KeyError) as error:
            problem = str(error) if isinstance(error, AegisError) else "what it notes has no sense"
            if isinstance(error, OSError):
                problem = f"{error.filename or 'a file of it'} cannot be read ({error.strerror})"
        except _DamagedError as error:
            problem = str(error)
        _log.warning("%s is made anew: %s", noted, problem)
        return None

    def make(self, name: str, build: Build, *, only: bool = False) -> Artifact:
        """Build an artifact, in place of an earlier one; nothing is left behind if that fails.

        Args:
            name: of the artifact.
            build: whatever it raises is raised.
            only: remove the files of the earlier one; they stay otherwise until the next build,
                since an engine may have to load them again.

        Raises:
            StateError: the disk is full, the folder cannot be written to, or the build names a file
                that is not in the folder it was given.
        """
        with (
            kept_in(self._folder),
            Scratch(self._folder) as scratch,
        ):
            made, named = build(scratch)
            files = [_of_build(file, scratch) for file in named]
            facts: dict[str, Any] = json.loads(json.dumps(made))  # as they will be read
            kept = [self._keep(file, f"{name}.{number}") for number, file in enumerate(files)]
            listed = [[path.name, digest] for path, digest in kept]
            noted = scratch / "facts"
            noted.write_text(
                json.dumps({"facts": facts, "files": listed, "sha256": _digest(facts, listed)})
            )
            _write_through(noted)
            _write_through(self._folder)
            earlier = set(self._files_of(name))
            _put(noted, self._folder / f"{name}.json")
            unwanted = earlier if only else self._abandoned(name) - earlier
            for path in unwanted.difference(path for path, _ in kept):
                if not _is_folder(path):
                    path.unlink(missing_ok=True)
        return Artifact(facts, tuple(path for path, _ in kept), tuple(digest for _, digest in kept))

    def _noted(self, noted: Path) -> Artifact:
        """Return an artifact from its facts; raise in some way where it is not what was made."""
        kept = read_json(read_text(noted, most_bytes=_MOST_FACTS), "facts", most_bytes=_MOST_FACTS)
        if not isinstance(kept, dict) or "sha256" not in kept:
            raise _DamagedError("an earlier version made it, without digests, or it is damaged")
        facts, listed = kept["facts"], kept["files"]
        if kept["sha256"] != _digest(facts, listed):
            raise _DamagedError("it is damaged")
        paths = tuple(self._folder / name for name, _ in listed)
        for path, (_, digest) in zip(paths, listed, strict=True):
            if path.parent != self._folder or path.is_symlink():
                raise _DamagedError("it names a file that is not in the cache")
            if _is_folder(path):
                raise _DamagedError(f"a folder stands in place of {path.name}")
            if not path.is_file():
                raise _DamagedError(f"{path.name} is gone")
            if digest_of(path) != digest:
                raise _DamagedError(f"{path.name} is damaged")
        return Artifact(facts, paths, tuple(digest for _, digest in listed))

    def _files_of(self, name: str) -> tuple[Path, ...]:
        """Return the files that an artifact names, whatever has become of them."""
        noted = self._folder / f"{name}.json"
        try:
            kept = read_json(read_text(noted, most_bytes=_MOST_FACTS), "", most_bytes=_MOST_FACTS)
            names = [str(each) for each, _ in kept["files"]]
        except (AegisError, ValueError, TypeError, KeyError):
            return ()
        return tuple(self._folder / each for each in names if each == Path(each).name)

    def _abandoned(self, name: str) -> set[Path]:
        """Return the files that a build made of an artifact, and so long ago that it has ended."""
        of_build = re.compile(rf"{re.escape(name)}\.\d+-[0-9a-f]{{{_NAMED_BY}}}(\.\w+)?")
        before_s = time.time() - _BUILD_S
        found = set()
        for entry in os.scandir(self._folder):
            if of_build.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < (
                before_s
            ):
                found.add(self._folder / entry.name)
        return found

    def _keep(self, file: Path, name: str) -> tuple[Path, str]:
        digest = digest_of(file)
        _write_through(file)
        place = self._folder / f"{name}-{digest[:_NAMED_BY]}{file.suffix}"
        _put(file, place)
        return place, digest


def _of_build(file: Path, scratch: Path) -> Path:
    """Return a file that a build made; what it names is chosen by a child that nobody trusts.

    Raises:
        StateError: it lies elsewhere, or is a link, a pipe or a folder.
    """
    inside = Path(os.path.realpath(file.parent)).is_relative_to(os.path.realpath(scratch))
    if not inside or not stat.S_ISREG(os.lstat(file).st_mode):
        raise StateError(
            "a build names what is no file of its own",
            value=str(file),
            expected="a file in the folder that it was given",
            hint="Do not trust the network it was built from",
        )
    return file


def _put(file: Path, place: Path) -> None:
    """Move a file to its place; a folder that stands there is moved aside, with all it holds."""
    if _is_folder(place):
        aside = place.with_name(f"{place.name}.folder-{time.time_ns()}")
        place.rename(aside)
        _log.warning("a folder stood in place of %s; it is %s now", place, aside)
    os.replace(file, place)


def _is_folder(path: Path) -> bool:
    """Return whether a folder is there, and not a link to one, which a file can replace."""
    return path.is_dir() and not path.is_symlink()


class _DamagedError(Exception):
    """An artifact is not what was made; its text says why."""


def _digest(facts: Any, listed: Any) -> str:
    """Return the SHA-256 of facts and of the names and digests of files, in hex."""
    text = json.dumps([facts, listed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_through(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before anything else is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
