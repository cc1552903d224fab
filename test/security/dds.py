"""Participants of DDS as processes of their own, with the security that ROS's wheels lack."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Dds", "Participant", "build"]

_ROOT = Path(__file__).resolve().parents[2]
_SOURCE = Path(__file__).with_name("participant.cpp")
_UNPACKED = _ROOT / ".fastdds" / "usr"
_WAIT_S = 100.0
_ENDED = ("no participant", "no endpoint")
_NEEDS = "Fast DDS with security: `bash bootstrap/fastdds.sh` on Debian 12, with g++ and openssl"


def build(folder: Path) -> Dds:
    """Compile the program; skip the test where there is nothing to do it with."""
    compiler = shutil.which("g++")
    libraries = next(_UNPACKED.glob("lib/*/libfastrtps.so"), None)
    if compiler is None or libraries is None or shutil.which("openssl") is None:
        pytest.skip(_NEEDS)
    where = libraries.parent
    program = folder / "participant"
    # Its libraries must be found before those of the wheels, by the libraries, too.
    linked = (f"-L{where}", f"-Wl,-rpath,{where}", "-Wl,--disable-new-dtags")
    include = _UNPACKED / "include"
    headers = ("-isystem", str(include), "-isystem", str(include / where.name))
    made = subprocess.run(
        [
            *(compiler, "-std=c++17", "-pthread", *headers, str(_SOURCE), "-o", str(program)),
            *(*linked, "-lfastrtps", "-lfastcdr"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    return Dds(program)


class Participant:
    """A running participant with one endpoint, and what it has told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._news = threading.Condition()
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._lines.append("ended")
            self._news.notify_all()

    def heard(self) -> list[int]:
        """Return the numbers that came."""
        with self._news:
            return [int(line.split()[1]) for line in self._lines if line.startswith("heard ")]

    def began(self) -> str:
        """Wait until it is ready, or could not begin; return which."""
        self._until(lambda: any(line in (*_ENDED, "ready", "ended") for line in self._lines))
        return next(line for line in self._lines if line in (*_ENDED, "ready", "ended"))

    def wait_heard(self, count: int) -> None:
        """Wait until so many numbers have come."""
        self._until(lambda: len(self.heard()) >= count)

    def _until(self, true: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(true, _WAIT_S), self._lines[-5:]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._thread.join()


class Dds:
    """Starts participants in the domain of the tests.

    Args:
        program: what `participant.cpp` became.
    """

    def __init__(self, program: Path) -> None:
        self._program = program
        self.domain = int(os.environ["ROS_DOMAIN_ID"])

    @contextmanager
    def hears(self, topic: str, enclave: Path | None = None) -> Iterator[Participant]:
        """Start one that hears a topic; without an enclave it is not secured."""
        yield from self._running("hear", topic, 0, enclave)

    @contextmanager
    def says(self, topic: str, first: int, enclave: Path | None = None) -> Iterator[Participant]:
        """Start one that says numbers from ``first`` on."""
        yield from self._running("say", topic, first, enclave)

    def _running(
        self, role: str, topic: str, first: int, enclave: Path | None
    ) -> Iterator[Participant]:
        process = subprocess.Popen(
            [
                *(str(self._program), str(self.domain), role, topic, str(first)),
                *((str(enclave),) if enclave is not None else ()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        participant = Participant(process)
        try:
            yield participant
        finally:
            participant.close()
