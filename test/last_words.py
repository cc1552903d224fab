"""A pytest plug-in: what a process of the tests wrote as it crashed is shown with the crash.

pytest keeps what a test writes in a file without a name, which goes with the worker that dies.
"""

from __future__ import annotations

import faulthandler
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.sandbox.scratch import Scratch

_MOST_BYTES = 16_384
_PLACE = "last_words"
_TAKES_SIGSEGV = "tvm_ffi"  # once it is imported, its own handler ends the process
_opened: dict[str, Any] = {}  # of this process


def pytest_configure() -> None:
    _opened["stderr"] = os.dup(2)  # nothing is captured yet


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where to leave its words."""
    folder = _opened.setdefault("folder", Scratch())
    node.workerinput[_PLACE] = str(folder.path / node.gateway.id)


def pytest_runtest_setup(item: pytest.Item) -> None:
    place = getattr(item.config, "workerinput", {}).get(_PLACE)
    if place is not None and "named" not in _opened:
        _opened["named"] = place
        _name_what_is_captured(Path(place))
    if _TAKES_SIGSEGV in sys.modules and "heard" not in _opened:
        _opened["heard"] = True
        faulthandler.disable()
        faulthandler.enable(file=_opened["stderr"])


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: Any, sched: Any) -> None:
    place = Path(report.node.workerinput[_PLACE])
    if place.exists():
        words = place.read_bytes()[-_MOST_BYTES:].decode(errors="replace")
        report.sections.append(("Captured stderr of the worker that crashed", words))


def _name_what_is_captured(place: Path) -> None:
    """Put a file with a name where pytest has one without; while it captures."""
    captured = os.fstat(2)
    if not stat.S_ISREG(captured.st_mode) or captured.st_nlink:
        return  # a terminal or log, which keeps what it is given
    named = os.open(place, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            same = os.path.samestat(os.fstat(number), captured)
        except OSError:  # that of the list itself
            continue
        if same:
            os.dup2(named, number, inheritable=number == 2)
    os.close(named)
