"""Keeps files that take long to make, so that a reader finds all of one build or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis_ros.config import read_json, read_text
from aegis_ros.errors import AegisError
from aegis_ros.sandbox.storage import kept_in

__all__ = ["Artifact", "ArtifactCache", "Build"]

Build = Callable[[Path], tuple[Mapping[str, Any], Iterable[Path]]]
"""Makes an artifact in the empty folder it is given; returns facts (plain JSON) and files there."""

_PATHS = "paths"
_MOST_FACTS = 8 * 1024 * 1024  # bytes
_SIZES = "sizes"  # of the files; versions before did not note them


@dataclass(frozen=True, slots=True)
class Artifact:
    """What was made.

    Attributes:
        facts: what the build noted, plain JSON.
        paths: its files, in the order the build named them.
    """

    facts: Mapping[str, Any]
    paths: tuple[Path, ...]


class ArtifactCache:
    """Artifacts in one folder: ``NAME.json`` with the facts, and the files that it names.

    Several processes may make the same artifact at once: files are named after what they hold, so
    that no build replaces a file of another, and the facts, written last, name those of one build.
    A power cut at any moment leaves the whole artifact or none.

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

    def find(self, name: str, *, file: str = "") -> Artifact | None:
        """Return an artifact; ``None`` where it was never made, or where it is seen to be damaged.

        That is where its facts cannot be read, or a file is gone or is not as long as it was.

        Args:
            name: of the artifact.
            file: its only file where the facts name none, as those of earlier versions do.
        """
        try:
            noted = self._folder / f"{name}.json"
            facts = read_json(
                read_text(noted, most_bytes=_MOST_FACTS), "facts", most_bytes=_MOST_FACTS
            )
            if not isinstance(facts, dict):
                return None
            names = facts.pop(_PATHS, [file] if file else [])
            sizes = facts.pop(_SIZES, None)
            paths = tuple(self._folder / each for each in names)
            found = [path.stat().st_size for path in paths if path.is_file()]
        except (AegisError, OSError, ValueError, TypeError):
            return None
        is_whole = len(found) == len(paths) and (all(found) if sizes is None else found == sizes)
        return Artifact(facts, paths) if is_whole else None

    def make(self, name: str, build: Build, *, beside: Sequence[str] = ()) -> Artifact:
        """Build an artifact, in place of an earlier one; nothing is left behind if that fails.

        Args:
            name: of the artifact.
            build: whatever it raises is raised.
            beside: suffixes of files that lie beside each of the artifact's and stay there.

        Raises:
            StateError: the disk is full, or the folder cannot be written to.
        """
        with (
            kept_in(self._folder),
            tempfile.TemporaryDirectory(dir=self._folder) as scratch,
        ):
            facts, files = build(Path(scratch))
            paths = tuple(
                self._keep(file, f"{name}.{number}", beside) for number, file in enumerate(files)
            )
            noted = Path(scratch) / "facts"
            names, sizes = [path.name for path in paths], [path.stat().st_size for path in paths]
            noted.write_text(json.dumps({**facts, _PATHS: names, _SIZES: sizes}))
            _write_through(noted)
            _write_through(self._folder)
            os.replace(noted, self._folder / f"{name}.json")
        return Artifact(facts, paths)

    def _keep(self, file: Path, name: str, beside: Sequence[str]) -> Path:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        _write_through(file)
        place = self._folder / f"{name}-{digest[:16]}{file.suffix}"
        for suffix in beside:
            _write_through(file.with_suffix(suffix))
            os.replace(file.with_suffix(suffix), place.with_suffix(suffix))
        os.replace(file, place)
        return place


def _write_through(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before anything else is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
