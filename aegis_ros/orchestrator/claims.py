"""Which cores and devices the orchestrators of a host have proven their tasks on."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis_ros.backends import Backend
from aegis_ros.backends.lanes import busy_cores, lanes_by_backend
from aegis_ros.errors import StateError
from aegis_ros.sandbox.file_lock import FileLock, holder_of
from aegis_ros.spec import DeviceSpec

__all__ = ["Claim", "Claims", "Neighbour", "claims_folder", "claims_of"]

_PATIENCE_S = 1.0
_NODE = re.compile(r"[\w/]{1,256}", re.ASCII)
_LARGEST_PID = 2**22  # of Linux
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Claim:
    """A part of the host that a lane computes on.

    Attributes:
        key: names it on this host, as ``core-3``.
        words: the same for people.
        lane: that computes on it.
        where: key of the configuration that chooses it.
        shared: whether another orchestrator may have it, too.
    """

    key: str
    words: str
    lane: str
    where: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another orchestrator on the same part of the host.

    Attributes:
        words: the part.
        node: full name of its node.
        pid: of its process, 0 where that is not known.
        utilization: which part of its lane there it has admitted, 0..1.
        shared: whether it lets others have it.
    """

    words: str
    node: str
    pid: int
    utilization: float
    shared: bool


class Claims:
    """What one orchestrator has claimed; each claim is a lock that ends with the process.

    A proof counts what its own lanes run. Two orchestrators that each prove 70 % on one core would
    both be wrong, so a core belongs to one of them, unless both say that they share it.

    Args:
        folder: of all claims of the host; is created.
        node: full name of the node.
    """

    def __init__(self, folder: Path, node: str) -> None:
        """Claim nothing yet."""
        self._folder = folder
        self._node = node
        self._held: list[tuple[Claim, FileLock, Path]] = []
        self._utilization: Mapping[str, float] = {}

    def take(self, claims: Sequence[Claim]) -> None:
        """Claim parts of the host, all of them or none.

        Raises:
            StateError: another orchestrator has one of them.
            OSError: the folder cannot be written to.
        """
        _make(self._folder)
        with _one_at_a_time(self._folder):
            for claim in claims:
                for other in self._others(claim):
                    if not (claim.shared and other.shared):
                        self.give_back()
                        raise _refused(claim, other)
                path = self._folder / f"{claim.key}.{os.getpid()}-{next(_numbers)}"
                lock = FileLock(path, common=True)
                lock.acquire(self._notes(claim))
                self._held.append((claim, lock, path))

    def note(self, utilization: Mapping[str, float]) -> None:
        """Let others see how much is admitted now, by lane."""
        if utilization != self._utilization:
            self._utilization = dict(utilization)
            for claim, lock, _ in self._held:
                lock.note(self._notes(claim))

    def neighbours(self, lane: str) -> tuple[Neighbour, ...]:
        """Return who shares what a lane computes on."""
        return tuple(
            other
            for claim, _, _ in self._held
            if claim.lane == lane
            for other in self._others(claim)
        )

    def give_back(self) -> None:
        """Claim nothing any more."""
        for _, lock, path in self._held:
            with suppress(OSError):
                path.unlink()
            lock.release()
        self._held = []

    def _others(self, claim: Claim) -> Iterator[Neighbour]:
        own = {path for _, _, path in self._held}
        for path in sorted(self._folder.glob(f"{claim.key}.*")):
            if path in own:
                continue
            notes = holder_of(path)
            if notes is None:
                with suppress(OSError):  # left by a process that has ended
                    path.unlink()
            else:
                yield _neighbour(claim, notes)

    def _notes(self, claim: Claim) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "node": self._node,
            "lane": claim.lane,
            "utilization": round(self._utilization.get(claim.lane, 0.0), 4),
            "shared": claim.shared,
        }


def claims_of(device: DeviceSpec, backends: Mapping[str, Backend]) -> list[Claim]:
    """Return what a device's lanes compute on: the cores they are pinned to, or a device.

    A lane whose thread spins while its device computes needs its core as well. On cores, a lane
    that the kernel may put anywhere claims nothing.

    Args:
        device: with its lanes.
        backends: by name, all that the lanes name.
    """
    found = []
    busy = busy_cores(device)
    for name, indices in lanes_by_backend(device.backend, device.lanes).items():
        backend = backends[name]
        identify = getattr(backend, "device_id", None)
        for index in indices:
            lane, where = device.lanes[index], f"device.lanes[{index}]"
            shared = device.shared if lane.shared is None else lane.shared
            if not backend.capabilities.on_cores and identify is not None:
                key = re.sub(r"[^A-Za-z0-9-]", "_", str(identify()))
                found.append(Claim(key, f"the device {key}", lane.name, where, shared))
            core = lane.cpu if backend.capabilities.on_cores else busy.get(index)
            if core is not None:
                found.append(
                    Claim(f"core-{core}", f"core {core}", lane.name, f"{where}.cpu", shared)
                )
    return found


def claims_folder() -> Path:
    """Return the folder of all claims of this host, which its users share."""
    return Path(os.environ.get("AEGIS_CLAIMS_DIR") or "/dev/shm/aegis_ros_claims")


def _neighbour(claim: Claim, notes: Mapping[str, Any]) -> Neighbour:
    """Return who wrote these notes, which any user of the host can write."""
    node, pid, share = notes.get("node"), notes.get("pid"), notes.get("utilization")
    return Neighbour(
        claim.words,
        node if isinstance(node, str) and _NODE.fullmatch(node) else "another orchestrator",
        pid if isinstance(pid, int) and 0 < pid <= _LARGEST_PID else 0,
        float(share) if isinstance(share, int | float) and 0 <= share <= 1 else 0.0,
        notes.get("shared") is True,
    )


def _refused(claim: Claim, other: Neighbour) -> StateError:
    process = f"process {other.pid}, " if other.pid else ""
    both = "set shared: true there as well" if claim.shared else "share it: shared: true in both"
    return StateError(
        f"{claim.words} is in use by {other.node} ({process}{other.utilization:.0%} admitted)",
        where=claim.where,
        expected="what no other orchestrator has proven its tasks on",
        hint=f"Choose another one, end that orchestrator, or {both} (docs/config.md)",
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    folder.chmod(0o1777)  # for all users of the host; nobody removes what is another's


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Have two orchestrators that start together see each other's claims.

    Whoever holds the lock for longer than that takes is not waited for.
    """
    lock = FileLock(folder / "lock", common=True)
    end = time.monotonic() + _PATIENCE_S
    while not lock.acquire({"pid": os.getpid()}) and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield
    finally:
        lock.release()
