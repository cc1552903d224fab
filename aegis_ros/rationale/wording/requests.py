"""The English of :mod:`aegis_ros.rationale.requests`."""

from __future__ import annotations

from aegis_ros.rationale import requests
from aegis_ros.rationale.wording.units import inner, moment, ms, names, reached_words
from aegis_ros.rationale.wording.words import words_of

__all__ = ["origin_words"]


def origin_words(*, since_ns: int, remembered: bool, from_file: bool = False) -> str:
    """Return where a task comes from: ``remembered from 2026-11-27 14:03:20``.

    Args:
        since_ns: when it was admitted (nanoseconds since 1970), 0 where that is not known.
        remembered: whether that was in an earlier run.
        from_file: whether it is in the configuration file.
    """
    if from_file:
        return "from the configuration file"
    when = moment(since_ns) if since_ns else "an earlier version"
    return f"remembered from {when}" if remembered else f"requested at {when}"


@words_of(requests.TaskRemoved)
def _task_removed(reason: requests.TaskRemoved) -> str:
    until = " until the orchestrator is configured again" if reason.from_file else ""
    kept = ""
    if reason.kept:
        have = "keeps the budget it has" if len(reason.kept) == 1 else "keep the budgets they have"
        again = "until the orchestrator is configured again"
        kept = f"; {names(reason.kept)} {have} beside it {again}"
    return (
        f"{reason.task} was removed on request{until}; utilization of lane {reason.lane} is now "
        f"{reason.utilization_after:.1%}{kept}"
    )


@words_of(requests.AdmissionCancelled)
def _admission_cancelled(reason: requests.AdmissionCancelled) -> str:
    reached = reached_words(reason.stage, reason.done, reason.total)
    if reason.request == "profile":
        return f"measuring {reason.task} was cancelled on request while {reached}"
    return f"the admission of {reason.task} was cancelled on request while {reached}"


@words_of(requests.TaskMoved)
def _task_moved(reason: requests.TaskMoved) -> str:
    why = f"so that {reason.admits} fits"
    if reason.back:
        why = f"again, because {reason.admits} was not admitted after all"
    return (
        f"{reason.task} moved from lane {reason.before} to lane {reason.lane} {why}; its "
        f"budget there is {ms(reason.work_ns)}, and the utilization of lane {reason.lane} is now "
        f"{reason.utilization_after:.1%}"
    )


@words_of(requests.TaskEnabled)
def _task_enabled(reason: requests.TaskEnabled) -> str:
    return f"{reason.task} receives frames again; {_reserved(reason)}"


@words_of(requests.TaskDisabled)
def _task_disabled(reason: requests.TaskDisabled) -> str:
    return f"{reason.task} receives no frames until it is enabled again; {_reserved(reason)}"


def _reserved(reason: requests.TaskEnabled | requests.TaskDisabled) -> str:
    return f"its {reason.share:.1%} of lane {reason.lane} stay reserved"


@words_of(requests.Measuring)
def _measuring(reason: requests.Measuring) -> str:
    return (
        f"{reason.task} has no WCET profile on this device; it is measured now ({reason.runs} "
        f"runs, at most {reason.limit_ns / 1e9:.0f} s)"
    )


@words_of(requests.MeasuringBeside)
def _measuring_beside(reason: requests.MeasuringBeside) -> str:
    where = "on another lane" if reason.lanes == 1 else f"on {reason.lanes} other lanes at once"
    return (
        f"{reason.task} was never measured beside {reason.neighbour} {where}; it is "
        f"measured now ({reason.runs} runs, at most {reason.limit_ns / 1e9:.0f} s)"
    )


@words_of(requests.Measured)
def _measured(reason: requests.Measured) -> str:
    return f"{reason.task} was measured: budget {ms(reason.budget_ns)}, {reason.basis}"


@words_of(requests.FileDecides)
def _file_decides(reason: requests.FileDecides) -> str:
    return (
        f"{reason.task} was also admitted through a service earlier; the configuration file takes "
        "precedence"
    )


@words_of(requests.JournalUnreadable)
def _journal_unreadable(reason: requests.JournalUnreadable) -> str:
    return (
        f"{reason.task} cannot be restored from the journal ({inner(reason.problem)}); register it "
        "again, or unregister it to drop its entry"
    )


@words_of(requests.JournalLocked)
def _journal_locked(reason: requests.JournalLocked) -> str:
    return (
        f"another process has locked the journal {reason.path}; waiting for it, at most "
        f"{reason.most_ns / 1e9:.0f} s"
    )


@words_of(requests.JournalNotRead)
def _journal_not_read(reason: requests.JournalNotRead) -> str:
    return (
        f"the journal {reason.path} cannot be read ({inner(reason.problem)}); no task is "
        "remembered from it, and it is tried again every second"
    )


@words_of(requests.JournalNotWritten)
def _journal_not_written(reason: requests.JournalNotWritten) -> str:
    return (
        f"the journal {reason.path} cannot be written ({inner(reason.problem)}); tasks are "
        "admitted and removed all the same, and a restart would not know of it until it can be: it "
        "is tried again every second"
    )


@words_of(requests.JournalWritten)
def _journal_written(reason: requests.JournalWritten) -> str:
    return "the journal is written again, and lacks nothing"


@words_of(requests.JournalFound)
def _journal_found(reason: requests.JournalFound) -> str:
    return (
        f"the journal is read and written again; it remembers {names(reason.tasks)}, which no "
        "request has admitted since: clean up and configure the node to admit what is remembered"
    )


@words_of(requests.StateExposed)
def _state_exposed(reason: requests.StateExposed) -> str:
    who, hint = "every user", f"chmod o-w {reason.path}"
    if reason.owner >= 0:
        who, hint = f"user {reason.owner}", "choose another state_dir"
    return (
        f"{who} of this machine can write to {reason.path}, and so replace what the engine loads: "
        f"{hint}"
    )


@words_of(requests.StateNotKept)
def _state_not_kept(reason: requests.StateNotKept) -> str:
    return (
        f"the state directory {reason.path} cannot be written ({inner(reason.problem)}); what is "
        "measured and prepared is kept until the node is cleaned up, and not longer"
    )


@words_of(requests.NotClaimed)
def _not_claimed(reason: requests.NotClaimed) -> str:
    return (
        "other orchestrators of this host cannot be told which cores and devices are taken "
        f"({inner(reason.problem)}); see to it that no two use the same"
    )


@words_of(requests.ProfilesNotKept)
def _profiles_not_kept(reason: requests.ProfilesNotKept) -> str:
    return f"what is measured is kept in memory until it can be stored: {reason.problem}"


@words_of(requests.CyclesNotKept)
def _cycles_not_kept(reason: requests.CyclesNotKept) -> str:
    return reason.problem


@words_of(requests.TaskRemembered)
def _task_remembered(reason: requests.TaskRemembered) -> str:
    found = f"{reason.task} is {origin_words(since_ns=reason.since_ns, remembered=True)}"
    if not reason.left_out:
        return found
    return (
        f"{found}, without {names(reason.left_out)}: version 0.1 ignored that, and this one "
        "refuses it in files and requests"
    )


@words_of(requests.TaskForgotten)
def _task_forgotten(reason: requests.TaskForgotten) -> str:
    if reason.from_file:
        return (
            f"{reason.task} was not admitted, and is reported no longer; it is in the "
            "configuration file, and is tried again when the orchestrator is configured again"
        )
    return (
        f"{reason.task} was not admitted, and is now forgotten: the next start does not try to "
        "admit it again"
    )


@words_of(requests.StoreDamaged)
def _store_damaged(reason: requests.StoreDamaged) -> str:
    return (
        f"{reason.store} was damaged; it was moved to {reason.moved_to} and replaced by an empty "
        "one"
    )


@words_of(requests.NotLoaded)
def _not_loaded(reason: requests.NotLoaded) -> str:
    return (
        f"nothing is measured beside the {reason.load} load on lane {reason.lane} "
        f"({reason.problem}); device.contention: together leaves loads out"
    )


@words_of(requests.NotTraced)
def _not_traced(reason: requests.NotTraced) -> str:
    if reason.begun:
        return f"tracing stopped: {reason.problem}"
    return f"this run is not traced: {reason.problem}"


@words_of(requests.TracedAgain)
def _traced_again(reason: requests.TracedAgain) -> str:
    return (
        f"tracing goes on in the next file of the run; {reason.missing} records of "
        f"{reason.stood_ns / 1e9:.1f} s are missing"
    )
