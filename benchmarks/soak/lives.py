"""Accounts for the frames of each life of the node that was killed: its counts are cut off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.soak.faults import Kind
from benchmarks.soak.ledger import Contract
from benchmarks.soak.record import Counted, Run
from benchmarks.soak.windows import in_windows

__all__ = ["Gap", "KilledLives", "killed_lives"]

_SILENT_NS = 1_000_000_000  # between two statuses, at most: longer silence is a goal missed
_KILLS = (Kind.NODE_KILL, Kind.NODE_KILL_DISK_FULL)


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames of one task in one life of the node of which nobody knows anything."""

    life: int
    task: str
    frames: int


@dataclass(frozen=True, slots=True)
class KilledLives:
    """What became of the frames of these lives; each frame is counted once.

    Attributes:
        lives: how many.
        sent: frames of their time.
        heard: results of them.
        with_node: without a result, and due when the node was killed: in the window of that.
        inside: the others without a result whose time touches the window of a fault.
        dropped: outside of the windows, for a reason that the node of that life told of that task.
        unreported: outside of the windows, and so shortly before the kill that the last status
            which the node published cannot hold what became of them.
        gaps: the others.
    """

    lives: int = 0
    sent: int = 0
    heard: int = 0
    with_node: int = 0
    inside: int = 0
    dropped: int = 0
    unreported: int = 0
    gaps: tuple[Gap, ...] = ()

    @property
    def unexplained(self) -> int:
        """Frames of which nobody knows anything."""
        return sum(each.frames for each in self.gaps)


@dataclass(frozen=True, slots=True)
class _Life:
    """One life, or what is left of the first one after its last exact count.

    Attributes:
        number: from 0.
        begin_ns, end_ns: of its frames.
        killed_ns: when it was killed; 0 where nobody did.
        before: what had been counted when it began.
        last: its last counts.
    """

    number: int
    begin_ns: int
    end_ns: int
    killed_ns: int
    before: Counted | None
    last: Counted | None

    def told(self, task: str) -> int:
        """Return how many frames without a result the node had told a reason for."""
        return _told(self.last, task) - _told(self.before, task)

    @property
    def unreported_ns(self) -> int:
        """Since when no status before the kill can hold what became of frames; a second at most."""
        if self.last is None or not self.killed_ns:
            return self.end_ns
        return max(self.last.status_ns or self.last.at_ns, self.killed_ns - _SILENT_NS)


def _told(counted: Counted | None, task: str) -> int:
    if counted is None or task not in counted.tasks:
        return 0
    count = counted.tasks[task]
    # A decision may have been published after the last status.
    return max(count.skipped + count.lost, count.told) + count.decimated


def killed_lives(run: Run) -> KilledLives:
    """Return what became of the frames after the last exact count of the first life."""
    if len(run.lives) < 2:
        return KilledLives()
    lives = list(_lives(run))
    parts = []
    for number, contract in enumerate(run.contracts):
        frames = _frames(run, number, contract)
        parts += [_account(frames, life, contract) for life in lives]
    return KilledLives(
        len(run.lives) - 1,
        sent=sum(each.sent for each in parts),
        heard=sum(each.heard for each in parts),
        with_node=sum(each.with_node for each in parts),
        inside=sum(each.inside for each in parts),
        dropped=sum(each.dropped for each in parts),
        unreported=sum(each.unreported for each in parts),
        gaps=tuple(sorted((gap for each in parts for gap in each.gaps), key=_place)),
    )


def _place(gap: Gap) -> tuple[int, str]:
    return gap.life, gap.task


def _lives(run: Run) -> Iterator[_Life]:
    quiet = [each for each in run.counts if each.quiet and each.life == 0]
    for number, begin_ns in enumerate(run.lives):
        end_ns = run.lives[number + 1] if number + 1 < len(run.lives) else run.end_ns
        before = quiet[-1] if quiet and number == 0 else None
        if number == 0:
            if before is None:
                continue  # never counted: nothing is said of it
            begin_ns = before.at_ns
        kills = [
            each.begin_ns
            for each in run.windows
            if each.kind in _KILLS and begin_ns <= each.begin_ns <= end_ns
        ]
        counts = [each for each in run.counts if each.life == number]
        yield _Life(
            number,
            begin_ns,
            end_ns,
            killed_ns=max(kills, default=0),
            before=before,
            last=counts[-1] if counts else None,
        )


@dataclass(frozen=True, slots=True)
class _Frames:
    """Frames of one task, in the order in which they were sent; arrays of shape (N,)."""

    sent_ns: npt.NDArray[np.int64]
    heard: npt.NDArray[np.bool_]
    inside: npt.NDArray[np.bool_]


def _frames(run: Run, number: int, contract: Contract) -> _Frames:
    mine = np.sort(run.sent[run.sent["topic"] == number], order="sent_ns")
    results = run.heard["seq"][run.heard["task"] == number]
    length_ns = round(contract.deadline_ms * 1e6)
    return _Frames(
        mine["sent_ns"],
        np.isin(mine["seq"], results),
        in_windows(mine["sent_ns"], length_ns, run.windows),
    )


def _account(frames: _Frames, life: _Life, contract: Contract) -> KilledLives:
    first = np.searchsorted(frames.sent_ns, life.begin_ns, side="right" if life.before else "left")
    last = np.searchsorted(frames.sent_ns, life.end_ns, side="left")
    here = slice(int(first), int(last))
    sent_ns, heard, inside = frames.sent_ns[here], frames.heard[here], frames.inside[here]
    due_ns = sent_ns + round(contract.deadline_ms * 1e6)
    with_node = ~heard & (sent_ns <= life.killed_ns) & (due_ns >= life.killed_ns)
    outside = ~heard & ~inside & ~with_node
    told = min(int(outside.sum()), life.told(contract.name))
    rest = int(outside.sum()) - told
    unreported = min(rest, int((outside & (due_ns >= life.unreported_ns)).sum()))
    unknown = rest - unreported
    return KilledLives(
        sent=len(sent_ns),
        heard=int(heard.sum()),
        with_node=int(with_node.sum()),
        inside=int((~heard & inside & ~with_node).sum()),
        dropped=told,
        unreported=unreported,
        gaps=(Gap(life.number, contract.name, unknown),) if unknown else (),
    )
