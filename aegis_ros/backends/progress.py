"""How far a child process is with what takes long, written to a file and read from it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.errors import AegisError

__all__ = ["Progress", "note_progress", "read_progress", "watched"]

_EVERY_S = 0.2

Progress = Callable[[str, float], None]
"""Called with what is done at present and how much of all is, 0..1."""


def note_progress(path: Path, phase: str, done: float) -> None:
    """Write how far it is, for :func:`watched` in another process."""
    made = path.with_suffix(".new")
    made.write_text(json.dumps({"phase": phase, "done": done}))
    os.replace(made, path)


@contextmanager
def watched(path: Path, on_progress: Progress | None) -> Iterator[None]:
    """Report what another process writes to ``path`` about its progress."""
    if on_progress is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_S):
            now = read_progress(path)
            if now is not None:
                on_progress(*now)

    thread = threading.Thread(target=watch, name="build-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def read_progress(path: Path) -> tuple[str, float] | None:
    """Return what was written last; ``None`` where that is nothing, or makes no sense."""
    from aegis_ros.config import read_json, read_text  # what an engine has no use for

    try:
        now = read_json(read_text(path, most_bytes=4096), "progress")
        return str(now["phase"]), float(now["done"])
    except (AegisError, TypeError, KeyError, ValueError):
        return None
