"""The English of :mod:`aegis_ros.rationale.adaptation`."""

from __future__ import annotations

from aegis_ros.rationale import adaptation
from aegis_ros.rationale.wording.units import inner, length, mib, plural
from aegis_ros.rationale.wording.words import words, words_of


@words_of(adaptation.ArenaHasRoom)
def _arena_has_room(cause: adaptation.ArenaHasRoom) -> str:
    return (
        f"{_used(cause.used_bytes, cause.arena_bytes)}, which is below {cause.below:.0%}, and "
        f"will be {cause.then_bytes / cause.arena_bytes:.0%} at most"
    )


@words_of(adaptation.ArenaTight)
def _arena_tight(cause: adaptation.ArenaTight) -> str:
    return f"{_used(cause.used_bytes, cause.arena_bytes)}, which is above {cause.above:.0%}"


def _used(used_bytes: int, arena_bytes: int) -> str:
    return f"{used_bytes / arena_bytes:.1%} of the arena of {mib(arena_bytes)} are in use"


@words_of(adaptation.FewerAreFaster)
def _fewer_are_faster(cause: adaptation.FewerAreFaster) -> str:
    return (
        f"all of them together get {cause.after_per_s:.3g} tokens a second instead of "
        f"{cause.before_per_s:.3g}"
    )


@words_of(adaptation.SlowerWithLength)
def _slower_with_length(cause: adaptation.SlowerWithLength) -> str:
    waiting = f"{plural(cause.waiting, 'request')} {'waits' if cause.waiting == 1 else 'wait'}"
    return (
        f"{waiting}, and sequences from {cause.tokens:,} tokens on give {cause.per_s:.3g} tokens a "
        f"second, less than {cause.below:.0%} of the {cause.short_per_s:.3g} of short ones"
    )


@words_of(adaptation.RequestsWait)
def _requests_wait(cause: adaptation.RequestsWait) -> str:
    now = f", {cause.waiting} of them now" if cause.waiting else ""
    return f"requests have been waiting for {length(cause.for_ns)} without a break{now}"


@words_of(adaptation.NobodyWaits)
def _nobody_waits(cause: adaptation.NobodyWaits) -> str:
    return f"no request has waited for {length(cause.for_ns)}"


@words_of(adaptation.AllocationFailed)
def _allocation_failed(cause: adaptation.AllocationFailed) -> str:
    return (
        f"{_memory(cause.need_bytes)} for request {cause.request} could not be taken; it is tried "
        "once more"
    )


@words_of(adaptation.PolicyAsked)
def _policy_asked(cause: adaptation.PolicyAsked) -> str:
    asked = f"policy {cause.policy} asked for it"
    return f"{asked}: {inner(cause.why)}" if cause.why.strip() else asked


@words_of(adaptation.LimitChanged)
def _limit_changed(reason: adaptation.LimitChanged) -> str:
    before, after = _value(reason.before), _value(reason.after)
    if reason.limit == "batch":
        first = f"{reason.task} gives up to {after} answers at once instead of {before}"
        if reason.after == 1:
            first = f"{reason.task} gives one answer at a time instead of up to {before} at once"
    elif reason.limit == "chunk":
        first = f"{reason.task} reads prompts in chunks of up to {after} tokens instead of {before}"
    elif reason.limit == "length":
        first = (
            f"new requests of {reason.task} get up to {after} tokens, prompt included, instead of "
            f"{before}"
        )
    else:
        first = f"new requests of {reason.task} run with {after} instead of {before}"
    return f"{first}: {words(reason.cause)}"


def _value(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value or "the usual precision"


@words_of(adaptation.OutOfMemory)
def _out_of_memory(reason: adaptation.OutOfMemory) -> str:
    more = (
        "ask again when another one has ended"
        if reason.batch > 1
        else "free some memory, or give the generator fewer or shorter slots"
    )
    tried = "once" if reason.tried == 1 else f"{reason.tried} times"
    return (
        f"request {reason.request} of {reason.task} is refused: {_memory(reason.need_bytes)} for "
        f"it could not be taken, tried {tried}; {more}"
    )


def _memory(need_bytes: int) -> str:
    return mib(need_bytes) if need_bytes else "memory"


@words_of(adaptation.PolicyLeftAside)
def _policy_left_aside(reason: adaptation.PolicyLeftAside) -> str:
    return (
        f"policy {reason.policy} of {reason.task} is left aside, and the default one decides: it "
        f"{inner(reason.problem)}"
    )
