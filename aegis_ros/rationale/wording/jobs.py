"""The English of :mod:`aegis_ros.rationale.jobs`."""

from __future__ import annotations

from aegis_ros.rationale import jobs
from aegis_ros.rationale.wording.units import ms
from aegis_ros.rationale.wording.words import words_of


@words_of(jobs.JobFailed)
def _job_failed(reason: jobs.JobFailed) -> str:
    return f"job {reason.job} of {reason.task} failed while it ran: {reason.problem}"


@words_of(jobs.JobNotRun)
def _job_not_run(reason: jobs.JobNotRun) -> str:
    return f"job {reason.job} of {reason.task} skipped: {reason.problem}"


@words_of(jobs.Overran)
def _overran(reason: jobs.Overran) -> str:
    return _what_overran(reason) + _what_follows(reason) + _what_is_skipped(reason)


def _what_overran(reason: jobs.Overran) -> str:
    job = f"job {reason.job} of {reason.task}"
    if reason.over_ns <= 0:
        used, whole = ms(reason.used_ns), ms(reason.whole_ns)
        return f"{job} used {used}, more than its budget of {whole}"
    part = f"segment {reason.segment + 1} of {reason.segments} of " if reason.segments > 1 else ""
    taken, budget = ms(reason.taken_ns), ms(reason.budget_ns)
    text = f"{part}{job} took {taken}, more than its budget of {budget}; "
    if reason.absorbed:
        return f"{text}lane {reason.lane} has enough slack for that, so no deadline is at risk"
    return (
        f"{text}jobs that waited for lane {reason.lane} can end up to {ms(reason.over_ns)} later "
        "than proven"
    )


def _what_follows(reason: jobs.Overran) -> str:
    if reason.applied == "stop":
        return ". The job is stopped (on_overrun: stop)"
    if reason.applied == "demote":
        return ". The rest of the job runs after everything else (on_overrun: demote)"
    if reason.applied == "early_exit" and reason.segment + 1 < reason.exit_after:
        return (
            f". The job ends at the network's early exit after segment {reason.exit_after}, unless "
            "it has caught up by then (on_overrun: early_exit)"
        )
    if reason.applied == "early_exit":
        return ". The job ends there, at the network's early exit (on_overrun: early_exit)"
    return ""


def _what_is_skipped(reason: jobs.Overran) -> str:
    if reason.skips == 1:
        return ". The next frame is skipped to repay it, unless the lane idles that long first"
    if reason.skips:
        return f". Up to {reason.skips} of the next frames are skipped to repay it"
    return ""


@words_of(jobs.SkippedToRepay)
def _skipped_to_repay(reason: jobs.SkippedToRepay) -> str:
    return f"job {reason.job} of {reason.task} skipped to repay an earlier overrun"


@words_of(jobs.JobStopped)
def _job_stopped(reason: jobs.JobStopped) -> str:
    return f"job {reason.job} of {reason.task} was stopped when it exceeded its budget"


@words_of(jobs.SkippedWhileShedding)
def _skipped_while_shedding(reason: jobs.SkippedWhileShedding) -> str:
    return (
        f"job {reason.job} of {reason.task} was shed: lane {reason.lane} runs only tasks of high "
        "criticality until it goes idle"
    )


@words_of(jobs.ShedForOverrun)
def _shed_for_overrun(reason: jobs.ShedForOverrun) -> str:
    return (
        f"{reason.task} ({reason.criticality}) is shed until lane {reason.lane} next goes idle: "
        f"job {reason.overran_job} of {reason.overran_task} exceeded its budget"
    )


@words_of(jobs.RestoredAtIdle)
def _restored_at_idle(reason: jobs.RestoredAtIdle) -> str:
    return (
        f"{reason.task} runs again after {reason.after_ns / 1e6:.1f} ms: lane {reason.lane} went "
        "idle"
    )


@words_of(jobs.FirstStageMissed)
def _first_stage_missed(reason: jobs.FirstStageMissed) -> str:
    return (
        f"job {reason.job} of {reason.task} skipped: job {reason.first_job} of {reason.first}, "
        "which triggers it, gave no result"
    )


@words_of(jobs.NoBoxes)
def _no_boxes(reason: jobs.NoBoxes) -> str:
    return (
        f"job {reason.job} of {reason.task} skipped: results of {reason.first}, which triggers it, "
        f"hold no boxes; give {reason.first} a decoder that finds boxes"
    )
