"""Shows which shared-memory ports of Fast DDS a process has, for a node that hears nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["open_ports"]

_NAME = "_port"
_FOLDER = "/dev/shm/"


def open_ports(pid: int) -> dict[str, list[str]]:
    """Return the files of ports that a process maps, and the locks of those it listens at.

    Those that were removed end in ``(deleted)``; those of the same name may be different files, so
    each has the number of its inode before it.
    """
    mapped, locks = set(), set()
    of = Path("/proc") / str(pid)
    with suppress(OSError):  # it has ended
        for line in (of / "maps").read_text(errors="replace").splitlines():
            parts = line.split(maxsplit=5)
            if len(parts) == 6 and parts[5].startswith(_FOLDER) and _NAME in parts[5]:
                mapped.add(f"{parts[4]} {parts[5]}")
        for each in (of / "fd").iterdir():
            with suppress(OSError):  # it was closed meanwhile
                name = os.readlink(each)
                if name.startswith(_FOLDER) and _NAME in name:
                    locks.add(name)
    return {"mapped": sorted(mapped), "locks": sorted(locks)}
