"""The English of :mod:`aegis_ros.rationale.changes`."""

from __future__ import annotations

from aegis_ros.rationale import changes
from aegis_ros.rationale.wording.units import mib, ms
from aegis_ros.rationale.wording.words import words_of


@words_of(changes.PeriodLonger)
def _period_longer(change: changes.PeriodLonger) -> str:
    what = "period and a deadline" if change.with_deadline else "period"
    return (
        f"{change.admits} would be admitted with a {what} of {change.period_ns / 1e6:g} ms: "
        f"{1e9 / change.period_ns:.1f} instead of {1e9 / change.before_ns:.1f} frames a second"
    )


@words_of(changes.JitterLonger)
def _jitter_longer(change: changes.JitterLonger) -> str:
    return (
        f"every frame of {change.task} would have been taken with jitter_ms: "
        f"{change.jitter_ns / 1e6:g} instead of {change.before_ns / 1e6:g}; aegis check says "
        "whether the set holds with that"
    )


@words_of(changes.PeriodShorter)
def _period_shorter(change: changes.PeriodShorter) -> str:
    return (
        f"every frame of {change.task} would have been taken with period_ms: "
        f"{change.period_ns / 1e6:g} instead of {change.before_ns / 1e6:g}; aegis check says "
        "whether the set holds with that"
    )


@words_of(changes.DeadlineExtended)
def _deadline_extended(change: changes.DeadlineExtended) -> str:
    return f"{change.admits} would be admitted with a deadline {change.more_ns / 1e6:g} ms longer"


@words_of(changes.DeadlineLonger)
def _deadline_longer(change: changes.DeadlineLonger) -> str:
    return f"{change.admits} would be admitted with a deadline of {change.deadline_ns / 1e6:g} ms"


@words_of(changes.OtherDeadlineLonger)
def _other_deadline_longer(change: changes.OtherDeadlineLonger) -> str:
    return (
        f"{change.admits} would be admitted if {change.task} had a deadline of "
        f"{change.deadline_ns / 1e6:g} ms"
    )


@words_of(changes.BudgetSmaller)
def _budget_smaller(change: changes.BudgetSmaller) -> str:
    return (
        f"{change.admits} would be admitted with a budget of {change.budget_ns / 1e6:.1f} ms "
        f"instead of {change.before_ns / 1e6:.1f} ms (a smaller input size or network)"
    )


@words_of(changes.CutTask)
def _cut_task(change: changes.CutTask) -> str:
    return (
        f"{change.admits} would be admitted if its network ran in {change.segments} segments of "
        f"{change.longest_ns / 1e6:.1f} ms"
    )


@words_of(changes.CutBucket)
def _cut_bucket(change: changes.CutBucket) -> str:
    return (
        f"{change.bucket} of {change.generator} would be admitted in {change.parts} parts of at "
        f"most {ms(change.longest_ns)} each"
    )


@words_of(changes.CutOther)
def _cut_other(change: changes.CutOther) -> str:
    return (
        f"{change.admits} would be admitted if {change.task} ran in {change.segments} segments of "
        f"at most {change.longest_ns / 1e6:.1f} ms: declare segments: {change.segments} for it "
        "and register it again"
    )


@words_of(changes.ResidentOther)
def _resident_other(change: changes.ResidentOther) -> str:
    times = (
        f"{ms(change.budget_ns)} of loading a job"
        if change.loads_only
        else f"about {ms(change.budget_ns)} a job"
    )
    return (
        f"{change.admits} would be admitted with resident: {change.resident or 'all'} "
        f"({mib(change.need_bytes)} instead of {mib(change.before_bytes)}, {times} instead of "
        f"{ms(change.before_ns)})"
    )


@words_of(changes.DropTask)
def _drop_task(change: changes.DropTask) -> str:
    return f"{change.admits} would be admitted if {change.task} ({change.criticality}) were removed"


@words_of(changes.DropTasks)
def _drop_tasks(change: changes.DropTasks) -> str:
    return f"{change.admits} would be admitted if these were removed: {', '.join(change.tasks)}"


@words_of(changes.DropForArena)
def _drop_for_arena(change: changes.DropForArena) -> str:
    return (
        f"{change.admits} would be admitted if {change.task} ({mib(change.arena_bytes)}) were "
        "removed"
    )


@words_of(changes.ArenaLarger)
def _arena_larger(change: changes.ArenaLarger) -> str:
    return f"{change.admits} would be admitted with device.arena_mib of {change.arena_mib} or more"


@words_of(changes.DropForRest)
def _drop_for_rest(change: changes.DropForRest) -> str:
    return f"the other {change.kept} tasks would be admitted without {', '.join(change.tasks)}"
