"""The English of :mod:`aegis_ros.rationale.arena`."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.rationale import Counterfactual, arena
from aegis_ros.rationale.wording.units import mib, names
from aegis_ros.rationale.wording.words import words_of

_SHOWN_BYTES = 512 * 1024  # what is less rounds to nothing
_HOLDERS_SHOWN = 3  # of those that hold most
_KINDS = {
    "weights": "weights",
    "activations": "activations",
    "state": "state",
    "staging": "frames and outputs",
}


@words_of(arena.ArenaFull)
def _arena_full(reason: arena.ArenaFull) -> str:
    free = max(0, reason.arena_bytes - reason.used_bytes)
    twice = reason.twice
    meanwhile = (
        ""
        if twice is None
        else f" while {twice.task} moves from lane {twice.before} to lane {twice.after}, and is in "
        "memory twice"
    )
    left = (
        f"only {mib(free)} of {mib(reason.arena_bytes)} are free{meanwhile}"
        if reason.used_bytes
        else f"the arena is {mib(reason.arena_bytes)}"
    )
    held = held_words(reason.holders, reason.shared)
    return (
        f"{reason.task} needs {mib(reason.need_bytes)}{_by_kind(reason.needs)}, but {left}"
        f"{f': {held}' if held else ''}{would_admit(reason.counterfactuals)}"
    )


def held_words(holders: Sequence[arena.Holder], shared: Sequence[arena.SharedPiece]) -> str:
    """Return who holds most, as a part of a sentence; empty where nobody holds much."""
    held = [
        (each.freed_bytes, f"{each.task} holds {mib(each.freed_bytes)}{_by_kind(each.shares)}")
        for each in holders
    ] + [(each.nbytes, _together(each)) for each in shared]
    shown = sorted(held, key=lambda item: -item[0])[:_HOLDERS_SHOWN]
    return "; ".join(text for size, text in shown if size >= _SHOWN_BYTES)


def would_admit(changes: Sequence[Counterfactual]) -> str:
    """Return what would make room, as a sentence that follows on another; empty for nothing."""
    ways = [_way(each) for each in changes]
    return f". It would be admitted {', or '.join(ways)}" if ways else ""


def _way(change: Counterfactual) -> str:
    if change.change == "arena_mib":
        return f"with device.arena_mib of {change.value:.0f} or more"
    if change.change == "resident":  # all that it says of what that costs
        return change.sentence.partition(" would be admitted ")[2]
    return f"without {names(change.task.split(', '))}"


def _by_kind(shares: arena.ArenaShares) -> str:
    kinds = [
        f"{words} {mib(size)}"
        for name, words in _KINDS.items()
        if (size := getattr(shares, name)) >= _SHOWN_BYTES
    ]
    return f" ({', '.join(kinds)})" if len(kinds) > 1 else ""


def _together(piece: arena.SharedPiece) -> str:
    where = f" of lane {piece.lane}" if piece.lane else ""
    return (
        f"{names(piece.tasks)} share {mib(piece.nbytes)} of {_KINDS.get(piece.holds, piece.holds)}"
        f"{where}"
    )
