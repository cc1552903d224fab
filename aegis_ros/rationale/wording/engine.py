"""The English of :mod:`aegis_ros.rationale.engine`."""

from __future__ import annotations

import signal

from aegis_ros.rationale import engine
from aegis_ros.rationale.wording.units import inner, names, plural
from aegis_ros.rationale.wording.words import words, words_of


@words_of(engine.EngineEnded)
def _engine_ended(cause: engine.EngineEnded) -> str:
    if cause.outside:
        return (
            f"the engine was ended from outside ({_how(cause.exit_code)}: by a person, or by the "
            "kernel because memory ran out)"
        )
    return f"the engine ended ({_how(cause.exit_code)})"


def _how(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


@words_of(engine.LoopStuck)
def _loop_stuck(cause: engine.LoopStuck) -> str:
    return f"the engine's loop has not moved for {cause.stuck_ns / 1e9:.1f} s"


@words_of(engine.LaneStuck)
def _lane_stuck(cause: engine.LaneStuck) -> str:
    budget = (
        f"its budget is {cause.budget_ns / 1e6:.1f} ms a segment"
        if cause.budget_ns
        else "its budget is unknown"
    )
    name = cause.task or "a measured network"
    return f"{name} has been running for {cause.busy_ns / 1e9:.1f} s ({budget})"


@words_of(engine.EngineLost)
def _engine_lost(reason: engine.EngineLost) -> str:
    text = f"{words(reason.cause)}; {plural(reason.jobs, 'job')} in flight lost"
    if reason.quarantined:
        verb = "is" if len(reason.quarantined) == 1 else "are"
        text += f"; {names(reason.quarantined)} crashed it too often and {verb} quarantined"
    return text


@words_of(engine.EngineNotBack)
def _engine_not_back(reason: engine.EngineNotBack) -> str:
    return f"the engine did not restart: {reason.problem}"


@words_of(engine.EngineGivenUp)
def _engine_given_up(reason: engine.EngineGivenUp) -> str:
    return (
        f"the engine was lost {reason.losses} times within {reason.within_ns / 1e9:g} s and is not "
        "restarted; deactivate and activate the orchestrator to try again"
    )


@words_of(engine.EngineBack)
def _engine_back(reason: engine.EngineBack) -> str:
    text = (
        f"the engine is back after {reason.outage_ns / 1e6:.0f} ms with "
        f"{plural(reason.tasks, 'task')}"
    )
    if reason.quarantined:
        text += f"; quarantined for crashing it: {', '.join(reason.quarantined)}"
    if reason.failed:
        text += "; could not be loaded again: " + ", ".join(
            f"{name} ({inner(problem)})" for name, problem in reason.failed
        )
    return text


@words_of(engine.JobsLost)
def _jobs_lost(reason: engine.JobsLost) -> str:
    verb = "was" if reason.jobs == 1 else "were"
    return f"{plural(reason.jobs, 'frame')} of {reason.task} {verb} in the engine when it was lost"


@words_of(engine.Quarantined)
def _quarantined(reason: engine.Quarantined) -> str:
    return (
        f"{reason.task} is quarantined: it ran each time the engine was lost, the last time "
        f"because {inner(reason.problem)}; unregister it, fix or replace its network, and "
        "register it again"
    )


@words_of(engine.TaskNotReloaded)
def _task_not_reloaded(reason: engine.TaskNotReloaded) -> str:
    return (
        f"{reason.task} could not be loaded again: {inner(reason.problem)}. Once that is fixed, "
        "unregister it and register it again"
    )


@words_of(engine.LaneOutage)
def _lane_outage(reason: engine.LaneOutage) -> str:
    periods = -(-reason.outage_ns // reason.period_ns)
    because = "" if reason.cause is None else f" because {words(reason.cause)}"
    return (
        f"{reason.task} runs again: lane {reason.lane} ran none of its jobs for "
        f"{reason.outage_ns / 1e6:.0f} ms ({plural(periods, 'period')}){because}"
    )


@words_of(engine.NotUnloaded)
def _not_unloaded(reason: engine.NotUnloaded) -> str:
    return f"the engine did not unload {reason.task}: {reason.problem}"
