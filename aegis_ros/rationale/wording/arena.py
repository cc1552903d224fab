"""The English of :mod:`aegis_ros.rationale.arena`."""

from __future__ import annotations

from aegis_ros.rationale import arena
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
    held = [
        (each.freed_bytes, f"{each.task} holds {mib(each.freed_bytes)}{_by_kind(each.shares)}")
        for each in reason.holders
    ] + [(each.nbytes, _together(each)) for each in reason.shared]
    shown = sorted(held, key=lambda item: -item[0])[:_HOLDERS_SHOWN]
    holders = "; ".join(text for size, text in shown if size >= _SHOWN_BYTES)
    left = (
        f"only {mib(free)} of {mib(reason.arena_bytes)} are free{meanwhile}"
        if reason.used_bytes
        else f"the arena is {mib(reason.arena_bytes)}"
    )
    return (
        f"{reason.task} needs {mib(reason.need_bytes)}{_by_kind(reason.needs)}, but {left}"
        f"{f': {holders}' if holders else ''}{_advice(reason)}"
    )


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


def _advice(reason: arena.ArenaFull) -> str:
    ways = [
        f"with device.arena_mib of {each.value:.0f} or more"
        if each.change == "arena_mib"
        else f"without {names(each.task.split(', '))}"
        for each in reason.counterfactuals
    ]
    return f". It would be admitted {', or '.join(ways)}" if ways else ""
