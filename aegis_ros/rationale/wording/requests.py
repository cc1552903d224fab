"""The English of :mod:`aegis_ros.rationale.requests`."""

from __future__ import annotations

from aegis_ros.rationale import requests
from aegis_ros.rationale.wording.units import ms, reached_words
from aegis_ros.rationale.wording.words import words_of


@words_of(requests.TaskRemoved)
def _task_removed(reason: requests.TaskRemoved) -> str:
    until = " until the orchestrator is configured again" if reason.from_file else ""
    return (
        f"{reason.task} was removed on request{until}; utilization of lane {reason.lane} is now "
        f"{reason.utilization_after:.1%}"
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
    return reason.problem


@words_of(requests.StoreDamaged)
def _store_damaged(reason: requests.StoreDamaged) -> str:
    return (
        f"{reason.store} was damaged; it was moved to {reason.moved_to} and replaced by an empty "
        "one"
    )


@words_of(requests.NotTraced)
def _not_traced(reason: requests.NotTraced) -> str:
    if reason.begun:
        return f"tracing stopped: {reason.problem}"
    return f"this run is not traced: {reason.problem}"
