"""Who holds what of the arena, as a table and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from aegis_ros.cli.changes_json import changes_as_json
from aegis_ros.memory import Footprint, Kind
from aegis_ros.planning.arena_witness import holders_of, shared_of
from aegis_ros.planning.set_memory import SetMemoryAnswer
from aegis_ros.rationale.arena import ArenaShares
from aegis_ros.rationale.wording import sentence, words
from aegis_ros.views.terminal import say, sheet

__all__ = ["memory_as_json", "print_memory"]

_MIB = 1024 * 1024
_MANY_ROWS = 60


def print_memory(console: Console, answer: SetMemoryAnswer | None) -> None:
    """Print who holds what, what is free, and who finds no room; nothing where it is not known."""
    if answer is None:
        return
    plan = answer.plan
    fits = "[green]fits[/green]" if answer.fits else "[red]does NOT fit[/red]"
    table = sheet(
        f"memory: {fits}, {_mib(plan.nbytes)} of {_mib(answer.arena_bytes)} MiB held, "
        f"{_mib(answer.room_bytes)} free[dim], in MiB[/dim]",
        [
            ("held by", "left"),
            ("weights", "right"),
            ("activations", "right"),
            ("state", "right"),
            ("frames, outputs", "right"),
            ("all", "right"),
        ],
    )
    rows = [(each.task, each.shares) for each in holders_of(plan)]
    for piece in shared_of(plan):
        where = f" on {piece.lane}" if piece.lane else ""
        rows.append((" + ".join(piece.tasks) + where, ArenaShares(**{piece.holds: piece.nbytes})))
    rows.sort(key=lambda row: -_sum(row[1]))
    for name, shares in rows[:_MANY_ROWS]:
        table.add_row(Text(name), *_cells(shares), _mib(_sum(shares)))
    if len(rows) > 1:
        table.add_row(Text("together", style="bold"), *_cells(plan.footprint), _mib(plan.nbytes))
    if rows:
        console.print()
        console.print(table)
    if len(rows) > _MANY_ROWS:
        say(console, f"Shown are the {_MANY_ROWS} of {len(rows)} that are largest")
    if answer.estimated:
        say(
            console,
            f"What {', '.join(answer.estimated)} took in memory was never measured: shown are the "
            "sizes of files and cache, and it is more; a node measures it when it admits it",
        )
    for name, turns in answer.streamed.items():
        say(console, f"{name}: {words(turns)}")
    for reason in answer.refused:
        say(console, sentence(reason), style="red")


def memory_as_json(answer: SetMemoryAnswer | None) -> dict[str, Any] | None:
    """Return who holds what in the documented JSON form; ``None`` where it is not known."""
    if answer is None:
        return None
    plan = answer.plan
    return {
        "fits": answer.fits,
        "arena_mib": answer.arena_bytes / _MIB,
        "held_mib": plan.nbytes / _MIB,
        "free_mib": answer.room_bytes / _MIB,
        "estimated": list(answer.estimated),
        "holders": [{"task": each.task, **_kinds(each.shares)} for each in holders_of(plan)],
        "shared": [
            {
                "tasks": list(each.tasks),
                "kind": each.holds,
                "lane": each.lane,
                "mib": each.nbytes / _MIB,
            }
            for each in shared_of(plan)
        ],
        "streamed": [
            {
                "task": name,
                "segments": each.segments,
                "resident": each.resident,
                "weights_mib": each.weights_bytes / _MIB,
                "all_weights_mib": each.all_bytes / _MIB,
                "load_mib": each.load_bytes / _MIB,
                "load_ms": each.load_ns / 1e6,
                "storage": each.storage,
                "sentence": words(each),
            }
            for name, each in answer.streamed.items()
        ],
        "refused": [
            {
                "task": each.task,
                "need_mib": each.need_bytes / _MIB,
                "sentence": sentence(each),
                "counterfactuals": changes_as_json(each.counterfactuals),
            }
            for each in answer.refused
        ],
    }


def _cells(shares: ArenaShares | Footprint) -> list[str]:
    return [_mib(size) if (size := getattr(shares, kind)) else "-" for kind in Kind]


def _kinds(shares: ArenaShares) -> dict[str, float]:
    return {f"{kind}_mib": getattr(shares, kind) / _MIB for kind in Kind}


def _sum(shares: ArenaShares) -> int:
    return shares.weights + shares.activations + shares.state + shares.staging


def _mib(nbytes: int) -> str:
    """Return MiB with a digit or two, never rounded to nothing."""
    value = nbytes / _MIB
    return f"{value:.1f}" if value >= 10 or not nbytes else f"{max(value, 0.01):.2f}"
