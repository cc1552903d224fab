"""Targets on which something does not hold, each in its way; what the fuzzing must find."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from aegis_ros.errors import InputError
from test.fuzz.target import MIB, Limits, Target, Try, answered

__all__ = ["broken"]

_BAD = b"bad"


_PATIENT = Limits(seconds=3600.0)


def broken(way: str, *, limits: Limits = _PATIENT) -> Target:
    """Return a target that does something wrong with every third input."""
    return Target(
        name=f"broken_{way}",
        title=way,
        seeds=_seeds,
        mutate=_mutate,
        opened=partial(_opened, _WAYS[way]),
        limits=limits,
    )


def _seeds() -> Sequence[bytes]:
    return [b"good", b"refused", _BAD]


def _mutate(seeds: Sequence[bytes], rng: Random) -> bytes:
    return rng.choice(seeds) + rng.randbytes(4)


@contextmanager
def _opened(bad: Callable[[Path], object], scratch: Path) -> Iterator[Try]:
    def refuse(data: bytes) -> None:
        if data.startswith(b"refused"):
            raise InputError("no")
        if data.startswith(_BAD):
            bad(scratch)

    yield lambda data: answered(lambda: refuse(data), InputError)


def _raises(scratch: Path) -> None:
    raise KeyError("a mistake of ours")


def _says_too_much(scratch: Path) -> None:
    error = InputError("no")
    error.args = ("x" * 100_001,)
    raise error


def _fills_memory(scratch: Path) -> None:
    assert len(b"x" * (64 * MIB))


def _reads(scratch: Path) -> None:
    Path("/etc/passwd").read_bytes()


def _writes(scratch: Path) -> None:
    (scratch / ".." / f"{scratch.name}.outside").write_bytes(b"")
    os.remove(scratch / ".." / f"{scratch.name}.outside")


def _starts(scratch: Path) -> None:
    subprocess.run(["true"], check=True)


def _crashes(scratch: Path) -> None:
    ctypes.string_at(0)


def _hangs(scratch: Path) -> None:
    time.sleep(3600)


def _stays_inside(scratch: Path) -> None:
    (scratch / "file").write_bytes(b"x")
    (scratch / "file").read_bytes()
    os.listdir(scratch)


_WAYS: dict[str, Callable[[Path], object]] = {
    "raises": _raises,
    "says too much": _says_too_much,
    "fills memory": _fills_memory,
    "reads": _reads,
    "writes": _writes,
    "starts": _starts,
    "crashes": _crashes,
    "hangs": _hangs,
    "stays inside": _stays_inside,
}
