"""Judges a run: what was lost, late or leaked, against the goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from benchmarks.soak.faults import Kind
from benchmarks.soak.ledger import Account, Punctuality, account, at_risk, punctuality
from benchmarks.soak.lives import KilledLives, killed_lives
from benchmarks.soak.record import Counted, Run
from benchmarks.soak.trends import Trend, trend
from benchmarks.soak.windows import Window

__all__ = ["Goal", "Judged", "judge"]

_SLOPE_MIB_H = 1.0
_STATUS_MS = 1000.0
PARTS = ("node", "engine")


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal.

    Attributes:
        name: what is asked.
        found: what was seen.
        met: whether that is enough; ``None`` where the run says nothing about it.
    """

    name: str
    found: str
    met: bool | None


@dataclass(frozen=True)
class Judged:
    """Everything a run comes to.

    Attributes:
        goals: and whether they are met.
        tasks: how punctual each task was.
        sooner: the same if each window ended with the first result in time of every task.
        accounts: of each task in the first life of the node; empty without an exact count.
        counted: the exact count that they are of.
        counts: how many exact counts there were in that life, and how many of them balanced.
        killed: the other lives.
        trends: of the longest life of each part.
    """

    goals: tuple[Goal, ...]
    tasks: Mapping[str, Punctuality]
    sooner: Mapping[str, Punctuality]
    accounts: Mapping[str, Account]
    counted: Counted | None
    counts: tuple[int, int]
    killed: KilledLives
    trends: Mapping[str, Trend]


def judge(run: Run, minutes: float) -> Judged:
    """Return what a run comes to.

    Args:
        run: what was recorded.
        minutes: that were asked for.
    """
    tasks = _punctuality(run, run.windows)
    sooner = _punctuality(run, [each.first for each in run.windows])
    first = [each for each in run.counts if each.quiet and each.life == 0]
    base = next((each for each in first if each.at_ns <= run.begin_ns), None)
    quiet = [each for each in first if each is not base]
    balances = [_accounts(run, each, base) for each in quiet]
    # Decisions of the last ten seconds may still be folded in all counts but the last.
    balanced = sum(
        all(not (a.unseen or a.unbalanced or a.unheard) for a in each.values()) for each in balances
    )
    accounts = balances[-1] if balances else {}
    killed = killed_lives(run)
    trends = {part: found for part in PARTS if (found := _longest(run, part)) is not None}
    goals = (
        *_ran(run, minutes),
        *_punctual(run, tasks),
        _accounted(accounts, quiet, killed),
        *_flat(trends),
        _reported(run),
        _healed(run),
    )
    return Judged(
        goals,
        tasks,
        sooner,
        accounts,
        quiet[-1] if quiet else None,
        (len(quiet), balanced),
        killed,
        trends,
    )


def _punctuality(run: Run, windows: Sequence[Window]) -> Mapping[str, Punctuality]:
    return punctuality(
        run.contracts,
        run.sent,
        run.heard,
        windows,
        from_ns=run.begin_ns,
        until_ns=run.end_ns,
        stopped=run.stopped,
    )


def _ran(run: Run, minutes: float) -> list[Goal]:
    injected = {kind: sum(each.kind is kind for each in run.windows) for kind in Kind}
    short = {
        kind: f"{injected[kind]} of {number} {kind}"
        for kind, number in run.asked.items()
        if injected[kind] < number
    }
    found = ", ".join(short.values()) or ", ".join(
        f"{number} {kind}" for kind, number in injected.items() if number
    )
    return [
        Goal(f"at least {minutes:g} minutes", f"{run.minutes:.1f}", run.minutes >= minutes),
        Goal("all faults injected", found, not short),
    ]


def _punctual(run: Run, tasks: Mapping[str, Punctuality]) -> list[Goal]:
    high = [tasks[each.name] for each in run.contracts if each.high]
    outside = sum(each.outside for each in high)
    none = "outside the windows of the faults"
    late = _Missed(sum(each.late for each in high), sum(each.late_stopped for each in high))
    without = _Missed(
        sum(each.without for each in high), sum(each.without_stopped for each in high)
    )
    watched = len(run.stopped) > 0
    return [
        Goal(
            f"no late result of high criticality {none}",
            late.of(outside, watched),
            late.all == 0,
        ),
        Goal(
            f"no frame of high criticality without a result {none}",
            without.of(outside, watched),
            without.all == 0,
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Missed:
    """How many frames missed something, and how many of these near a stop of the core."""

    all: int
    stopped: int

    def of(self, frames: int, watched: bool) -> str:
        text = f"{self.all} of {frames:,}"
        if watched:
            text += (
                f"; {self.stopped} while the machine had stopped the core or that was repaid, "
                f"{self.all - self.stopped} without that"
            )
        return text


def _accounted(
    accounts: Mapping[str, Account], quiet: Sequence[Counted], killed: KilledLives
) -> Goal:
    name = "every frame is accounted for"
    if not accounts:
        return Goal(name, "never counted", None)
    last = quiet[-1]
    missing = sum(each.missing for each in accounts.values())
    # Of a run that was cut off, the last count did not wait for what is told later.
    unsaid = 0 if last.waited else sum(max(0, each.untold) for each in accounts.values())
    unknown = missing - unsaid + killed.unexplained
    in_flight = last.in_flight
    sent = sum(each.sent for each in accounts.values()) + killed.sent
    found = f"{unknown} of {sent:,} are not; {in_flight} in flight at rest"
    if unsaid:
        found += f"; of {unsaid} the reason was still to be told when the run was cut off"
    found += "".join(f"; {each.frames} of {each.task} in life {each.life}" for each in killed.gaps)
    met = unknown == 0 and in_flight == 0
    return Goal(name, found, None if met and unsaid else met)


def _flat(trends: Mapping[str, Trend]) -> list[Goal]:
    goals = []
    for part in PARTS:
        found = trends.get(part)
        slope = None if found is None else found.slope_mib_h
        name = f"memory of the {part} grows by less than {_SLOPE_MIB_H:g} MiB an hour"
        if found is None or slope is None:
            goals.append(Goal(name, "no life was long enough", None))
            continue
        text = f"{slope:+.2f} MiB"
        if found.half_mib_h is not None:
            text += f"; {found.half_mib_h:+.2f} in the second half of its life"
        if found.anon_mib_h is not None:
            text += f"; {found.anon_mib_h:+.2f} of what is shared with nobody"
        goals.append(Goal(name, text, slope < _SLOPE_MIB_H))
        assert found.fds is not None and found.threads is not None
        goals.append(
            Goal(
                f"file descriptors and threads of the {part} do not grow",
                f"{found.fds:+g} and {found.threads:+g}",
                found.fds <= 0 and found.threads <= 0,
            )
        )
    return goals


def _reported(run: Run) -> Goal:
    gap_ms = run.status_gap_ms
    name = f"the node publishes its status every {_STATUS_MS / 1e3:g} s, whatever else it does"
    if not gap_ms:
        return Goal(name, "nobody looked", None)
    return Goal(name, f"every {gap_ms:.0f} ms at most", gap_ms <= _STATUS_MS)


def _healed(run: Run) -> Goal:
    bad = [each for each in run.windows if not each.good]
    found = f"{len(run.windows) - len(bad)} of {len(run.windows)}"
    if run.remarks:
        found += f"; {run.remarks[0]}"
    return Goal("all is good again after each fault", found, not bad and not run.remarks)


def _accounts(run: Run, counted: Counted, base: Counted | None) -> dict[str, Account]:
    """Return the accounts of a life up to a count at which no frame was on its way.

    Args:
        run: what was recorded.
        counted: the count.
        base: the count, after the warm-up, from which on it is; ``None`` for since the beginning.
    """
    begin_ns = run.lives[counted.life] if base is None else base.at_ns
    found = {}
    for number, contract in enumerate(run.contracts):
        if contract.name not in counted.tasks:
            continue
        sent = run.sent["topic"] == number
        sent &= (run.sent["sent_ns"] >= begin_ns) & (run.sent["sent_ns"] <= counted.at_ns)
        mine = run.heard["task"] == number
        mine &= (run.heard["published_ns"] >= begin_ns) & (
            run.heard["published_ns"] <= counted.at_ns
        )
        results = np.unique(run.heard["seq"][mine])
        found[contract.name] = account(
            int(sent.sum()),
            len(results),
            counted.tasks[contract.name].since(
                None if base is None else base.tasks.get(contract.name)
            ),
            at_risk(run.sent[sent], results),
        )
    return found


def _longest(run: Run, part: str) -> Trend | None:
    """Return the trend of the longest life of a part; one number may be given to two processes."""
    mine = [each for each in run.samples if each.part == part]
    lives = [list(life) for _, life in groupby(mine, key=lambda each: each.pid)]
    if not lives:
        return None
    return trend(max(lives, key=lambda life: life[-1].at_ns - life[0].at_ns))
