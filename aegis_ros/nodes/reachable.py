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

__all__ = ["Ports", "Reachable"]

_PORT = r"(?P<path>/\S*/fast(?:rtps|dds)_port(?P<port>\d+))"
# The process that listens at a port holds a lock on this file; deleted or not, it stays open.
_LISTENS = re.compile(_PORT + r"_el(?: \(deleted\))?")
_MAPPED = re.compile(r"\S+ \S+ \S+ \S+ (?P<inode>\d+)\s+" + _PORT + r"(?: \(deleted\))?")
_LOOKS = 2  # Fast DDS makes a port that it found broken anew, which takes a moment


class Ports:
    """The ports at which a process listens.

    Args:
        process: its folder in /proc.
    """

    def __init__(self, process: Path = Path("/proc/self")) -> None:
        """Know nothing yet."""
        self._process = process
        # A file that is mapped keeps its inode: while its name has that one, it is still mapped.
        self._reached: dict[int, tuple[str, int]] = {}  # by port: its file and what is mapped

    def cut_off(self) -> tuple[int, ...]:
        """Return the ports whose files have been removed or replaced.

        A process may have thousands of mappings, and going through them takes milliseconds: that is
        done only where the name of a port is not that of the file that was mapped the last time.
        """
        listens = set(self._listens())
        self._reached = {port: self._reached[port] for port in listens & self._reached.keys()}
        if all(self._is_as_before(port) for port in listens):
            return ()
        paths: dict[int, str] = {}
        mapped: dict[int, set[int]] = {}
        for port, path, inode in self._mapped():
            if port in listens:
                paths[port] = path
                mapped.setdefault(port, set()).add(inode)
        named = {port: _inode(path) for port, path in paths.items()}
        self._reached = {
            port: (paths[port], inode) for port, inode in named.items() if inode in mapped[port]
        }
        return tuple(sorted(paths.keys() - self._reached.keys()))

    def _is_as_before(self, port: int) -> bool:
        path, inode = self._reached.get(port, ("", 0))
        return inode != 0 and _inode(path) == inode

    def _listens(self) -> Iterator[int]:
        folder = self._process / "fd"
        for name in os.listdir(folder):
            with suppress(OSError):  # it was closed meanwhile
                found = _LISTENS.fullmatch(os.readlink(f"{folder}/{name}"))
                if found:
                    yield int(found["port"])

    def _mapped(self) -> Iterator[tuple[int, str, int]]:
        """Yield port, path and inode of each mapped file of a port."""
        with (self._process / "maps").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                found = _MAPPED.match(line)
                if found:
                    yield int(found["port"]), found["path"], int(found["inode"])


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
        self._ports = Ports()
        self._times = 0
        self._ever_heard = False
        self.problem = ""

    def look(self) -> None:
        """Look now."""
        self._ever_heard = self._ever_heard or self._heard()
        ports = self._ports.cut_off()
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
