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

__all__ = ["Artifact", "ArtifactCache", "Build"]

Build = Callable[[Path], tuple[Mapping[str, Any], Iterable[Path]]]
"""Makes an artifact in the empty folder it is given; returns facts (plain JSON) and files there."""

_PATHS = "paths"


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

    Args:
        folder: is created.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, name: str, *, file: str = "") -> Artifact | None:
        """Return an artifact; ``None`` where it was never made or is damaged.

        Args:
            name: of the artifact.
            file: its only file where the facts name none, as those of earlier versions do.
        """
        try:
            facts = dict(json.loads((self._folder / f"{name}.json").read_text()))
            names = facts.pop(_PATHS, [file] if file else [])
            paths = tuple(self._folder / each for each in names)
        except (OSError, ValueError, TypeError):
            return None
        return Artifact(facts, paths) if all(path.exists() for path in paths) else None

    def make(self, name: str, build: Build, *, beside: Sequence[str] = ()) -> Artifact:
        """Build an artifact, in place of an earlier one; nothing is left behind if that fails.

        Args:
            name: of the artifact.
            build: whatever it raises is raised.
            beside: suffixes of files that lie beside each of the artifact's and stay there.
        """
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            facts, files = build(Path(scratch))
            paths = tuple(
                self._keep(file, f"{name}.{number}", beside) for number, file in enumerate(files)
            )
            noted = Path(scratch) / "facts"
            noted.write_text(json.dumps({**facts, _PATHS: [path.name for path in paths]}))
            os.replace(noted, self._folder / f"{name}.json")
        return Artifact(facts, paths)

    def _keep(self, file: Path, name: str, beside: Sequence[str]) -> Path:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        place = self._folder / f"{name}-{digest[:16]}{file.suffix}"
        for suffix in beside:
            os.replace(file.with_suffix(suffix), place.with_suffix(suffix))
        os.replace(file, place)
        return place
