"""The English of :mod:`aegis_ros.rationale.rejection`."""

from __future__ import annotations

from aegis_ros.rationale import rejection
from aegis_ros.rationale.wording.units import inner, ms, names, reached_words
from aegis_ros.rationale.wording.words import words, words_of

_OTHERWISE = "or choose another on_overrun"


@words_of(rejection.Invalid)
def _invalid(reason: rejection.Invalid) -> str:
    return reason.problem


@words_of(rejection.Failed)
def _failed(reason: rejection.Failed) -> str:
    return reason.problem


@words_of(rejection.Unforeseen)
def _unforeseen(reason: rejection.Unforeseen) -> str:
    return f"the request failed unexpectedly ({inner(reason.problem)})"[:500]


@words_of(rejection.NotAccepted)
def _not_accepted(reason: rejection.NotAccepted) -> str:
    if not reason.elsewhere:
        return (
            f"services.accept is {reason.accept!r}: tasks are declared in the file only; add "
            f"{reason.task} there, or set services.accept to all or local"
        )
    return (
        f"services.accept is {reason.accept!r}, and a client of this service runs on another "
        f"machine ({names(reason.elsewhere)}); end it, or set services.accept to all"
    )


@words_of(rejection.NotConfigured)
def _not_configured(reason: rejection.NotConfigured) -> str:
    return (
        "the orchestrator is not configured; configure it first: ros2 lifecycle set <node> "
        "configure"
    )


@words_of(rejection.CriticalRunning)
def _critical_running(reason: rejection.CriticalRunning) -> str:
    return (
        "tasks of high criticality are running, and measuring would disturb them; deactivate the "
        "orchestrator or disable them first"
    )


@words_of(rejection.Cancelled)
def _cancelled(reason: rejection.Cancelled) -> str:
    reached = reached_words(reason.stage, reason.done, reason.total)
    done = {"evaluate": "judged", "profile": "measured"}.get(reason.request, "admitted")
    return f"{reason.task} was not {done}: the request was cancelled while {reached}"


@words_of(rejection.TooManyWaiting)
def _too_many_waiting(reason: rejection.TooManyWaiting) -> str:
    return (
        f"{reason.most} requests wait for their turn, which is the maximum; wait until some are "
        "answered (~/status lists them), or cancel one: unregister its task"
    )


@words_of(rejection.NameTaken)
def _name_taken(reason: rejection.NameTaken) -> str:
    return (
        f"a task named {reason.task} is already admitted; unregister it first, or choose another "
        "name"
    )


@words_of(rejection.NoSuchTask)
def _no_such_task(reason: rejection.NoSuchTask) -> str:
    known = ", ".join(reason.known) or "none"
    return f"there is no task {reason.asked!r}; admitted: {known}"


@words_of(rejection.TooManyTasks)
def _too_many_tasks(reason: rejection.TooManyTasks) -> str:
    return f"{reason.most} tasks are admitted, which is the maximum"


@words_of(rejection.NoSuchLane)
def _no_such_lane(reason: rejection.NoSuchLane) -> str:
    return f"there is no lane {reason.asked!r}; the lanes are {', '.join(reason.lanes)}"


@words_of(rejection.NotStreamed)
def _not_streamed(reason: rejection.NotStreamed) -> str:
    asked = f"{reason.task} declares resident: {reason.resident}, "
    if reason.note:
        return f"{asked}which cannot be done ({reason.note}). Declare resident: all, or auto"
    able = f", or a lane of backend {names(reason.able)}" if reason.able else ""
    return (
        f"{asked}and backend {reason.backend} keeps all weights in memory. Declare resident: all"
        f"{able}"
    )


@words_of(rejection.ModelUnreadable)
def _model_unreadable(reason: rejection.ModelUnreadable) -> str:
    return f"{reason.model} cannot be read: {reason.problem}"


@words_of(rejection.NoProfile)
def _no_profile(reason: rejection.NoProfile) -> str:
    cut = f" in {reason.segments} segments" if reason.segments > 1 else ""
    declare = f" (segments: {reason.segments})" if cut and not reason.declared else ""
    return (
        f"{reason.task} has no WCET profile{cut}{declare} on {reason.device}, and measuring one "
        "now would disturb tasks of high criticality. Measure it while the orchestrator is "
        "inactive (`ros2 lifecycle set <node> deactivate`, then register again) or beforehand "
        "(`aegis profile <config.yaml>`), or declare wcet_ms"
    )


@words_of(rejection.NotMeasuredBeside)
def _not_measured_beside(reason: rejection.NotMeasuredBeside) -> str:
    return (
        f"{reason.task} on lane {reason.lane} was never measured beside {names(reason.neighbours)} "
        f"on another lane, and the lanes share {reason.contends}. Measure it while the "
        "orchestrator is inactive (`ros2 lifecycle set <node> deactivate`, then register again) or "
        "beforehand (`aegis profile <config.yaml>`)"
    )


@words_of(rejection.OthersLate)
def _others_late(reason: rejection.OthersLate) -> str:
    late = f" by up to {ms(reason.late_ns)}" if reason.late_ns else ""
    slowed = ", ".join(
        f"{each.task} may take {ms(each.after_ns)} instead of {ms(each.before_ns)}"
        for each in reason.slowed
    )
    advice = (
        reason.counterfactuals[0].sentence
        if reason.counterfactuals
        else "No single change that was tried would help"
    )
    return (
        f"{reason.task} is rejected: on lane {reason.lane} it would make {reason.other} on lane "
        f"{reason.other_lane} late{late}. Beside it, {slowed}; {words(reason.finding)}. {advice}"
    )


@words_of(rejection.ProfileUnreadable)
def _profile_unreadable(reason: rejection.ProfileUnreadable) -> str:
    return (
        f"{reason.task} was measured, but its profile cannot be read back; check the disk that "
        "holds state_dir"
    )


@words_of(rejection.NotSchedulable)
def _not_schedulable(reason: rejection.NotSchedulable) -> str:
    everywhere = f" (none of {reason.lanes} lanes fits)" if reason.lanes > 1 else ""
    cut = f"; {words(reason.cut)}" if reason.cut is not None else ""
    advice = (
        reason.counterfactuals[0].sentence
        if reason.counterfactuals
        else "No single change that was tried would help"
    )
    return f"{reason.task} is rejected: {words(reason.finding)}{everywhere}{cut}. {advice}"


@words_of(rejection.NoSuchOutput)
def _no_such_output(reason: rejection.NoSuchOutput) -> str:
    return (
        f"early_exit of {reason.task} names output {reason.output!r}, which the network does not "
        f"have; its outputs are {', '.join(reason.outputs)}"
    )


@words_of(rejection.OutputsDiffer)
def _outputs_differ(reason: rejection.OutputsDiffer) -> str:
    return (
        f"output {reason.stand_in!r} ({reason.stand_in_type}) cannot stand in for "
        f"{reason.output!r} ({reason.output_type}) in early_exit of {reason.task}: the same "
        "decoder reads both, so type and shape must be equal"
    )


@words_of(rejection.NoStandIn)
def _no_stand_in(reason: rejection.NoStandIn) -> str:
    return (
        f"decoder {reason.decoder} of {reason.task} reads output {reason.output!r}, and nothing "
        f"stands in for it at the early exit after segment {reason.exit_after} of "
        f"{reason.segments}; name a stand-in in early_exit, {_OTHERWISE}"
    )


@words_of(rejection.ExitUnknownToBackend)
def _exit_unknown(reason: rejection.ExitUnknownToBackend) -> str:
    return (
        f"{_stand_in(reason)} is available only after the last segment: backend {reason.backend} "
        f"does not support early exits. Use another backend, {_OTHERWISE}"
    )


@words_of(rejection.ExitIncomplete)
def _exit_incomplete(reason: rejection.ExitIncomplete) -> str:
    count = reason.segments
    which = f"segment {count} of {count}" if count > 1 else "its only segment"
    note = f" ({reason.note})" if reason.note else ""
    return (
        f"{_stand_in(reason)} is complete with {which}, not before{note}. Cut the network into "
        f"more segments (segments: {reason.advised}), {_OTHERWISE}"
    )


def _stand_in(reason: rejection.ExitUnknownToBackend | rejection.ExitIncomplete) -> str:
    return (
        f"output {reason.stand_in!r}, which stands in for {reason.output!r} at the early exit of "
        f"{reason.task},"
    )


@words_of(rejection.ChainLate)
def _chain_late(reason: rejection.ChainLate) -> str:
    return (
        f"{reason.task} is rejected on lane {reason.lane}: "
        + "; ".join(words(each) for each in reason.findings)
        + ". Lengthen the deadline of the last task of the chain, or the periods on its lanes"
    )


@words_of(rejection.Followed)
def _followed(reason: rejection.Followed) -> str:
    return (
        f"{reason.task} cannot be removed: its results trigger {names(reason.followers)}; "
        f"unregister {'it' if len(reason.followers) == 1 else 'them'} first"
    )
