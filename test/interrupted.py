"""A program that runs as a process of its own, gets Ctrl+C, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from aegis_ros.sandbox.descendants import MARK, marked

__all__ = ["Interrupted"]

_WAIT_SECONDS = 100.0
_WORDS = ("Traceback", "Exception", "ERROR", "RCLError", "Error:", "\x1b[31m", "\x1b[1;31m")
# ONNX Runtime writes the first at its import, and `launch_ros` the others and leaves them.
_OF_LIBRARIES = re.compile(r"\.ses|launch_params_\w+")


class Interrupted:
    """Runs a command in a session of its own, as a terminal does; to be used in a ``with``.

    Args:
        command: to run.
        folder: where it runs, and where what it writes is looked for.
        more: of its environment.
    """

    def __init__(self, command: Sequence[str], folder: Path, **more: str) -> None:
        self._folder = folder
        self._word = f"{folder.name}.{time.monotonic_ns()}"
        self._log = folder / "said"
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        environment = os.environ | {
            "TMPDIR": str(self._scratch),
            MARK: f"{os.environ.get(MARK, '')} {self._word}",
            "PYTHONUNBUFFERED": "1",
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                # In the background of a shell, what runs the tests ignores SIGINT.
                ["env", "--default-signal=INT", *command],
                cwd=folder,
                env=environment | more,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Interrupted:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pid in marked(self._word):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)

    def said(self) -> str:
        """Return all it has printed."""
        return self._log.read_text(errors="replace")

    def processes(self) -> int:
        """Return how many processes there are of it, itself among them."""
        return len(marked(self._word))

    def children_with(self, library: str) -> int:
        """Return how many of its children have loaded a library."""
        found = 0
        for pid in marked(self._word):
            with suppress(OSError):  # it has ended meanwhile
                maps = Path(f"/proc/{pid}/maps").read_text()
                found += pid != self.process.pid and library in maps
        return found

    def until(self, true: Callable[[], object]) -> None:
        """Wait until ``true()`` is; it must not end before."""
        end = time.monotonic() + _WAIT_SECONDS
        while not true():
            assert time.monotonic() < end and self.process.poll() is None, self.said()
            time.sleep(0.01)

    def interrupt(self) -> None:
        """Send SIGINT to the group, as Ctrl+C does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> int:
        """Return its exit code; nothing runs any more, lies in scratch, or was called an error."""
        code = self.process.wait(_WAIT_SECONDS)
        said = self.said()
        assert not [word for word in _WORDS if word in said], said
        end = time.monotonic() + _WAIT_SECONDS
        while self.processes():  # children end with it, a moment later
            assert time.monotonic() < end, "a child lives on"
            time.sleep(0.01)
        left = [path.name for path in self._scratch.iterdir()]
        left = [name for name in left if not _OF_LIBRARIES.fullmatch(name)]
        left += [path.name for path in self._folder.rglob("state/**/tmp*")]
        assert not left, left
        return code
