"""Accounts for every frame that was sent: a result, a reason that was told, or nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.soak.windows import Window, in_windows, near_stops

__all__ = ["Account", "Contract", "Count", "Punctuality", "account", "at_risk", "punctuality"]

# Frames that were sent: topic and kind as numbers, `seq` unique in the run.
SENT = np.dtype([("topic", "u1"), ("kind", "u1"), ("seq", "<u4"), ("sent_ns", "<i8")])
USUAL, WRONG_STAMP, MALFORMED = range(3)
SEQS_OF_A_LIFE = 1_000_000  # numbers of frames that each life of the driver has
_CLOSE_NS = 5_000_000

# Times at which the machine stopped the lane's core, however urgent what ran there.
STOPPED = np.dtype([("at_ns", "<i8"), ("for_ns", "<i8")])

# Results that were heard.
HEARD = np.dtype(
    [
        ("task", "u1"),
        ("met", "u1"),
        ("seq", "<u4"),
        ("received_ns", "<i8"),
        ("published_ns", "<i8"),
        ("response_ms", "<f4"),
        ("execution_ms", "<f4"),
    ]
)


@dataclass(frozen=True, slots=True)
class Contract:
    """What is held against a task.

    Attributes:
        name: of the task; its place among them is its number and that of its topic.
        deadline_ms: from the stamp to the published result.
        high: whether it is of high criticality.
        repaid: period by budget: a job that overruns is repaid with as many frames as have had that
            much of budget, so that an overrun is felt for as many times its own length.
    """

    name: str
    deadline_ms: float
    high: bool
    repaid: float = 0.0


@dataclass(frozen=True, slots=True)
class Count:
    """What the node had counted of a task at a moment at which no frame was on its way.

    Attributes:
        received, results, skipped, lost, decimated: as in its status.
        told: frames without a result that its decisions stood for.
        transport: frames that its middleware said never came.
    """

    received: int
    results: int
    skipped: int
    lost: int
    decimated: int
    told: int
    transport: int

    def since(self, before: Count | None) -> Count:
        """Return what was counted since an earlier count; all of it for ``None``."""
        if before is None:
            return self
        pairs = zip(astuple(self), astuple(before), strict=True)
        return Count(*(now - then for now, then in pairs))


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the frames of one task during one life of the node.

    Attributes:
        sent: frames, malformed ones included.
        heard: results that a subscriber heard of them.
        dropped: without a result for a reason: skipped, lost with an engine, decimated.
        transport: of which the middleware said that they never came.
        on_the_way: sent and never received, but in the hands of a driver that was killed, or so
            close to another frame of its topic that one may have replaced the other in the queue of
            the middleware, which holds one.
        unseen: sent, and never received for no such reason; negative where more was received than
            sent.
        unbalanced: received, and neither a result nor dropped.
        unheard: results that the node counts and nobody heard.
        untold: dropped, but not by a decision that was published.
    """

    sent: int
    heard: int
    dropped: int
    transport: int
    on_the_way: int
    unseen: int
    unbalanced: int
    unheard: int
    untold: int

    @property
    def missing(self) -> int:
        """Frames that nobody accounts for."""
        return sum(map(abs, (self.unseen, self.unbalanced, self.unheard, self.untold)))


def account(sent: int, heard: int, count: Count, risky: int = 0) -> Account:
    """Return the account at a moment at which no frame was on its way.

    Args:
        sent: frames.
        heard: results.
        count: what the node counted.
        risky: how many frames may have been lost on their way (see :func:`at_risk`).
    """
    dropped = count.skipped + count.lost + count.decimated
    gone = sent - count.received - count.transport
    on_the_way = min(max(gone, 0), risky)
    return Account(
        sent,
        heard,
        dropped,
        count.transport,
        on_the_way,
        unseen=gone - on_the_way,
        unbalanced=count.received - count.results - dropped,
        unheard=count.results - heard,
        untold=count.skipped + count.lost - count.told,
    )


def at_risk(sent: npt.NDArray[np.void], results: npt.NDArray[np.uint32]) -> int:
    """Return how many frames of one topic may have been lost on their way.

    A driver that is killed may hold one frame. Of two publishers on a topic, one frame may replace
    that of the other in the middleware before the node takes it.

    Args:
        sent: of one topic, dtype :data:`SENT`, shape (N,).
        results: numbers of the frames that gave a result, shape (M,).
    """
    ordered = np.sort(sent, order="sent_ns")
    close = int((np.diff(ordered["sent_ns"]) < _CLOSE_NS).sum())
    lives = ordered["seq"] // SEQS_OF_A_LIFE
    drivers = ordered["kind"] != MALFORMED
    last = [ordered["seq"][drivers & (lives == life)][-1] for life in np.unique(lives[drivers])]
    held = int((~np.isin(np.array(last[:-1], np.uint32), results)).sum())
    return close + held


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How punctual one task was.

    Attributes:
        frames: sent, without malformed ones and those with wrong stamps.
        outside: of these, sent and due outside all windows.
        late: of those outside, how many had a late result.
        without: of those outside, how many had no result.
        late_stopped, without_stopped: of these, how many were near a standstill of the machine.
        inside_late, inside_without: late ones and those without a result of the others.
        response_ms: of those outside with a result, shape (N,).
        bad: (sent_ns, response_ms) of those outside that were late, or had no result (NaN).
    """

    frames: int
    outside: int
    late: int
    without: int
    late_stopped: int
    without_stopped: int
    inside_late: int
    inside_without: int
    response_ms: npt.NDArray[np.float32]
    bad: Sequence[tuple[int, float]]


def punctuality(
    contracts: Sequence[Contract],
    sent: npt.NDArray[np.void],
    heard: npt.NDArray[np.void],
    windows: Iterable[Window],
    *,
    until_ns: int,
    from_ns: int = 0,
    stopped: npt.NDArray[np.void] | None = None,
) -> Mapping[str, Punctuality]:
    """Return how punctual each task was.

    Args:
        contracts: of the tasks, by their numbers.
        sent: frames, dtype :data:`SENT`, shape (N,).
        heard: results, dtype :data:`HEARD`, shape (M,).
        windows: of the faults.
        until_ns: frames that were sent later are left out: the run had ended.
        from_ns: those that were sent before are left out, too: the robot was warming up.
        stopped: when the machine stood still, dtype :data:`STOPPED`; ``None`` where nobody watched.
    """
    windows = list(windows)
    stopped = np.zeros(0, STOPPED) if stopped is None else stopped
    found = {}
    for number, contract in enumerate(contracts):
        mine = sent[(sent["topic"] == number) & (sent["kind"] == USUAL)]
        during = (mine["sent_ns"] >= from_ns) & (mine["sent_ns"] <= until_ns)
        mine = np.sort(mine[during], order="seq")
        results = heard[heard["task"] == number]
        results = results[np.unique(results["seq"], return_index=True)[1]]
        place = np.searchsorted(results["seq"], mine["seq"])
        place = np.minimum(place, max(0, len(results) - 1))
        there = (
            results["seq"][place] == mine["seq"] if len(results) else np.zeros(len(mine), np.bool_)
        )
        response = np.full(len(mine), np.nan, np.float32)
        late = np.zeros(len(mine), np.bool_)
        if len(results):
            response[there] = results["response_ms"][place[there]]
            late[there] = results["met"][place[there]] == 0
        length_ns = round(contract.deadline_ms * 1e6)
        inside = in_windows(mine["sent_ns"], length_ns, windows)
        bad = np.flatnonzero(~inside & (late | ~there))
        near = near_stops(mine["sent_ns"][bad], length_ns, stopped, contract.repaid)
        found[contract.name] = Punctuality(
            len(mine),
            int((~inside).sum()),
            int((late & ~inside).sum()),
            int((~there & ~inside).sum()),
            int((near & late[bad]).sum()),
            int((near & ~there[bad]).sum()),
            int((late & inside).sum()),
            int((~there & inside).sum()),
            response[there & ~inside],
            [(int(mine["sent_ns"][at]), float(response[at])) for at in bad],
        )
    return found
