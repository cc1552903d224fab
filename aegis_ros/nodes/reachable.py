"""Knows whether other processes of this machine can still reach this one by shared memory.

A Fast DDS process listens at ports: files in /dev/shm that whoever sends opens by their names. When
a process was killed, those that send to it and the one that takes its place may remove and make the
same port at once; the one that listens may be left with a file that has no name any more. What was
sent from then on went to another file that nobody reads: no frame came, and nothing said so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from rclpy.node import Node

__all__ = ["Reachable", "cut_off_ports"]

_PORT = r"(?P<path>/\S*/fast(?:rtps|dds)_port(?P<port>\d+))"
# The process that listens at a port holds a lock on this file; deleted or not, it stays open.
_LISTENS = re.compile(_PORT + r"_el(?: \(deleted\))?")
_MAPPED = re.compile(r"\S+ \S+ \S+ \S+ (?P<inode>\d+)\s+" + _PORT + r"(?: \(deleted\))?")
_LOOKS = 2  # Fast DDS makes a port that it found broken anew, which takes a moment


def cut_off_ports(process: Path = Path("/proc/self")) -> tuple[int, ...]:
    """Return the ports at which a process listens and that have been removed or replaced.

    Args:
        process: its folder in /proc.
    """
    listens = set(_listens(process))
    if not listens:
        return ()
    mapped: dict[int, set[int]] = {}
    paths = {}
    with (process / "maps").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = _MAPPED.match(line)
            if found and int(found["port"]) in listens:
                mapped.setdefault(int(found["port"]), set()).add(int(found["inode"]))
                paths[int(found["port"])] = found["path"]
    return tuple(port for port in sorted(mapped) if _inode(paths[port]) not in mapped[port])


def _listens(process: Path) -> Iterator[int]:
    for each in (process / "fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            found = _LISTENS.fullmatch(os.readlink(each))
            if found:
                yield int(found["port"])


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


class Reachable:
    """Looks again and again, and reports where this process cannot be reached.

    Args:
        node: logs it.
        heard: whether this process has ever heard a frame. While it has not, a new process in its
            place loses nothing; later, those who sent before still reach it.
        begin_again: puts a new process in the place of this one; returns whether it will. ``None``
            where that is not wanted.

    Attributes:
        problem: what is wrong, empty where nothing is.
    """

    def __init__(
        self, node: Node, heard: Callable[[], bool], begin_again: Callable[[], bool] | None = None
    ) -> None:
        """Look when asked to."""
        self._node = node
        self._heard = heard
        self.begin_again = begin_again
        self._times = 0
        self._ever_heard = False
        self.problem = ""

    def look(self) -> None:
        """Look now."""
        self._ever_heard = self._ever_heard or self._heard()
        ports = cut_off_ports()
        self._times = self._times + 1 if ports else 0
        if not ports:
            if self.problem:
                self._node.get_logger().info("programs on this machine reach this node again")
            self.problem = ""
        elif self._times >= _LOOKS and not self.problem:
            self._report(ports)

    def _report(self, ports: tuple[int, ...]) -> None:
        files = " and ".join(f"port{port}" for port in ports)
        what = (
            f"programs on this machine that start now cannot reach this node: its shared memory "
            f"({files} of Fast DDS in /dev/shm) was removed or replaced by another process"
        )
        self.problem = f"{what}; restart this node"
        if not self._ever_heard and self.begin_again is not None and self.begin_again():
            self._node.get_logger().warning(f"{what}; no frame has come yet, so it starts again")
        else:
            self._node.get_logger().error(self.problem)
