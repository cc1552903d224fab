"""The English of :mod:`aegis_ros.rationale.memory`."""

from __future__ import annotations

from aegis_ros.rationale import memory
from aegis_ros.rationale.wording.units import mib
from aegis_ros.rationale.wording.words import words_of


@words_of(memory.ShedForMemory)
def _shed_for_memory(reason: memory.ShedForMemory) -> str:
    free = (
        f"{mib(reason.available_bytes)} of {mib(reason.total_bytes)} are free ({reason.source})"
        if reason.total_bytes
        else "how much is free is not known"
    )
    if reason.available_bytes < reason.least_bytes:
        why = f"{free}, and {mib(reason.least_bytes)} must be"
    else:
        why = (
            f"in {reason.stalled:.0%} of the last 10 s everything waited for memory, and "
            f"{reason.most_stalled:.0%} may be lost so; {free}"
        )
    return (
        f"{reason.task} is shed and unloaded, which gives {mib(reason.nbytes)} back: {why}. It "
        "stays admitted, and is loaded again when memory has been free for a while"
    )


@words_of(memory.RestoredForMemory)
def _restored_for_memory(reason: memory.RestoredForMemory) -> str:
    room = (
        f"{mib(reason.available_bytes)} of {mib(reason.total_bytes)} are free ({reason.source}), "
        f"which leaves half as much again as the {mib(reason.least_bytes)} that must be once it "
        f"has its {mib(reason.nbytes)}"
        if reason.total_bytes
        else "nothing waits for memory"
    )
    return (
        f"{reason.task} is loaded again: memory has not been short for "
        f"{reason.hold_ns / 1e9:g} s, and {room}"
    )


@words_of(memory.StillShort)
def _still_short(reason: memory.StillShort) -> str:
    return (
        f"{reason.task} was shed for memory and could not be loaded again ({reason.problem}); it "
        "is tried again later"
    )
