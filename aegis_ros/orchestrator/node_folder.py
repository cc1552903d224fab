"""The folder below ``state_dir`` that belongs to one node alone, and who owns it."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

from aegis_ros.errors import ConfigError, StateError
from aegis_ros.sandbox.file_lock import FileLock, holder_of

__all__ = ["DEFAULT_NODE", "NodeFolder"]

DEFAULT_NODE = "/orchestrator"
_LATEST = 1 << 32  # seconds since 1970, in 2106
_NAME = re.compile(r"(/[A-Za-z0-9_]+)+")


class NodeFolder:
    """What a node remembers lies here: its journal and its traces.

    Profiles and prepared networks are the same for all nodes, and lie beside it. While a node is
    configured the folder is locked: two nodes of one name would each delete what the other keeps.

    Args:
        state_dir: shared by the nodes of a user.
        node: full name of the node, as ``/left/orchestrator``.

    Attributes:
        path: the folder.
    """

    def __init__(self, state_dir: Path, node: str = DEFAULT_NODE) -> None:
        """Create nothing yet.

        Raises:
            ConfigError: that is no name of a node.
        """
        if not _NAME.fullmatch(node):
            raise ConfigError("no full name of a node", where="node", value=node)
        self._state_dir = state_dir
        self._node = node
        self.path = state_dir / "nodes" / node.strip("/").replace("/", ".")
        self._lock = FileLock(self.path / "lock")

    def take(self) -> None:
        """Lock the folder; the default node takes over what versions before 0.2 left beside it.

        Raises:
            StateError: another process owns it.
            OSError: the folder cannot be written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._lock.acquire(_notes(self._node)):
            raise self._taken()
        if self._node == DEFAULT_NODE:
            self._take_over()

    def give_back(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def _take_over(self) -> None:
        before = self._state_dir / "journal.sqlite"
        if (self.path / before.name).exists() or not before.is_file():
            return
        for suffix in ("-wal", "-shm", ""):  # the log first: without it, the file lacks a part
            part = before.with_name(before.name + suffix)
            if part.exists():
                part.rename(self.path / part.name)

    def _taken(self) -> StateError:
        notes = holder_of(self.path / "lock") or {}
        pid, host, since = notes.get("pid"), notes.get("host"), notes.get("since")
        owner = f"process {pid}" if pid else "another process"
        if host and host != platform.node():
            owner += f" on {host}"
        if isinstance(since, int | float) and 0 < since < _LATEST:
            owner += f", since {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(since))}"
        return StateError(
            f"the state of {self._node} is in use by {owner}",
            where="state_dir",
            value=str(self._state_dir),
            hint="End that process, or give this node another name, namespace or state_dir",
        )


def _notes(node: str) -> dict[str, object]:
    return {"pid": os.getpid(), "node": node, "host": platform.node(), "since": int(time.time())}
