"""Keeps the inputs on which something did not hold, so that they can be tried again."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from test.fuzz.session import Failure
from test.fuzz.target import Target

__all__ = ["Kept", "command", "target_of"]

_MOST_OF_A_KIND = 3  # the tenth tells nothing that the first did not


class Kept:
    """A folder of inputs, in one folder for each target.

    Args:
        folder: is created when there is something to keep.
    """

    def __init__(self, folder: Path) -> None:
        """Keep nothing yet."""
        self._folder = folder
        self._kinds: Counter[tuple[str, str]] = Counter()

    def keep(self, target: Target, failure: Failure) -> Path | None:
        """Keep an input with what is wrong; return its file, ``None`` where enough are kept."""
        kind = (target.name, failure.kind)
        self._kinds[kind] += 1
        if self._kinds[kind] > _MOST_OF_A_KIND:
            return None
        folder = self._folder / target.name
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{hashlib.sha256(failure.data).hexdigest()[:12]}.input"
        file.write_bytes(failure.data)
        said = f"input {failure.number}: {failure.kind}\n\n{failure.problem}\n"
        file.with_suffix(".txt").write_text(said, encoding="utf-8")
        return file


def command(file: Path) -> str:
    """Return the command that tries a kept input again."""
    return f"python -m test.fuzz --replay {file}"


def target_of(file: Path) -> str:
    """Return the name of the target that a kept input belongs to."""
    return file.resolve().parent.name
