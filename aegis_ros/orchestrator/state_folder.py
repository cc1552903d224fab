"""The folder for what is measured and prepared, or another one where that cannot be written."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from aegis_ros.rationale.requests import StateExposed
from aegis_ros.sandbox.scratch import MEMORY, Scratch, remove_abandoned

__all__ = ["StateFolder", "exposed"]

_TRIED_BYTES = 64 * 1024


class StateFolder:
    """The state directory; a folder in memory that begins as its copy, where it cannot be written.

    The folder in memory goes with this object, at the latest when the process ends. What was left
    half made by a process that was killed goes when this one begins.

    Args:
        state_dir: as configured.

    Attributes:
        path: where profiles and prepared networks are.
        problem: why that is not ``state_dir``; empty where it is.
    """

    def __init__(self, state_dir: Path) -> None:
        """Look whether the directory can be written; create it where it is not there.

        Raises:
            OSError: there is no place in memory either.
        """
        self.path = state_dir
        self.problem = _why_not_written(state_dir)
        self._scratch: Scratch | None = None
        remove_abandoned(None, MEMORY, *_folders_in(state_dir / "cache"))
        if self.problem:
            self._scratch = Scratch.in_memory()
            self.path = self._scratch.path
            _begin_as(self.path, state_dir)

    def close(self) -> None:
        """Remove the folder in memory, if there is one; nothing is kept any more."""
        if self._scratch is not None:
            self._scratch.close()


def exposed(state_dir: Path, node: Path) -> StateExposed | None:
    """Return which folder of a node's state another user can write to; ``None`` for none.

    A group that may write is meant to; root may anyway.

    Args:
        state_dir: as configured.
        node: the node's own folder.
    """
    cache = state_dir / "cache"
    for folder in (state_dir, cache, node.parent, node, *_folders_in(cache), *_folders_in(node)):
        try:
            found = folder.stat()
        except OSError:
            continue  # nothing is kept there
        if found.st_uid not in (0, os.geteuid()):
            return StateExposed(str(folder), found.st_uid)
        if found.st_mode & stat.S_IWOTH:
            return StateExposed(str(folder))
    return None


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir()]
    except OSError:  # nothing was kept there
        return []


def _why_not_written(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TRIED_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _begin_as(folder: Path, state_dir: Path) -> None:
    """Copy the profiles, and link to prepared networks, which nobody changes."""
    for each in state_dir.glob("profiles.sqlite*"):
        with suppress(OSError):
            shutil.copyfile(each, folder / each.name)
    cache = folder / "cache"
    cache.mkdir()
    with suppress(OSError):
        for each in (state_dir / "cache").iterdir():
            (cache / each.name).symlink_to(each)
