"""Decides what a picture of an answer or of a simulation shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aegis_ros.analysis import AnalysisTask, LaneVerdict
from aegis_ros.analysis.demand import LaneLoad
from aegis_ros.cli.gantt import LanePicture, draw
from aegis_ros.cli.output_file import require_drawable
from aegis_ros.planning.answer import Answer
from aegis_ros.planning.critical import CriticalRun, case_of, critical_run
from aegis_ros.rationale import Rule
from aegis_ros.simulation import Outcome
from aegis_ros.views.terminal import reason

__all__ = ["draw_answer", "draw_timeline", "require_picture"]

_SUFFIXES = (".png", ".svg", ".pdf")
_MAX_RUNS = 160  # more cannot be distinguished
_MAX_PERIODS = 10  # of the most frequent task


def require_picture(path: Path) -> None:
    """Refuse a picture that could not be drawn, before anything is computed for it.

    Raises:
        ConfigError: unknown format, no such folder, or matplotlib is not installed.
    """
    require_drawable(
        path, option="--plot", noun="picture", suffixes=_SUFFIXES, expected=", ".join(_SUFFIXES)
    )


def draw_answer(answer: Answer, path: Path) -> None:
    """Draw the critical instant of each lane with its demand curve; of a rejection, what fails.

    Args:
        answer: of the set.
        path: checked by :func:`require_picture`.

    Raises:
        ConfigError: the file cannot be written.
    """
    verdicts = list(answer.assignment.verdicts.values())
    if not answer.schedulable:
        verdicts = [verdict for verdict in verdicts if not verdict.schedulable]
    lanes = [lane for verdict in verdicts if (lane := _critical_picture(answer, verdict))]
    pattern = "the critical instant" if answer.asked.policy == "edf" else "a periodic start"
    if answer.schedulable:
        heading = f"Schedulable under {answer.asked.policy}: {pattern} of each lane"
    else:
        heading = f"NOT schedulable under {answer.asked.policy}: {pattern}, and which jobs are late"
    draw(heading, lanes, path)


def draw_timeline(heading: str, lanes: Sequence[tuple[str, Outcome]], path: Path) -> None:
    """Draw what ran on each lane around what is most worth seeing.

    Args:
        heading: above all.
        lanes: title and outcome (with its runs) of each.
        path: checked by :func:`require_picture`.

    Raises:
        ConfigError: the file cannot be written.
    """
    window = _timeline_window([outcome for _, outcome in lanes])
    draw(heading, [LanePicture(title, outcome, 0, window) for title, outcome in lanes], path)


def _timeline_window(outcomes: Sequence[Outcome]) -> tuple[int, int]:
    """Return a stretch of all lanes that can be read, around what is most worth seeing.

    That is the first late job, or else the one that took most of what it was allowed.
    """
    worst = (0.0, 0)  # how much worth seeing, and when
    first, last = 0, 1
    for outcome in outcomes:
        if not outcome.runs:
            continue
        workload = outcome.workload
        first = min(first, int(workload.arrival_ns.min()))  # jitter may begin before 0
        last = max(last, outcome.end_ns)
        late = np.nonzero(outcome.missed)[0]
        if late.size:
            arrival = int(workload.arrival_ns[late[np.argmin(outcome.finished_ns[late])]])
            worst = max(worst, (2.0 + 1.0 / (1.0 + max(0, arrival)), arrival))
        else:
            promised = np.array([not task.best_effort for task in outcome.tasks], bool)
            share = outcome.response_ns / (outcome.deadline_ns - workload.arrival_ns)
            share[~promised[workload.task]] = 0.0
            job = int(np.argmax(share))
            worst = max(worst, (float(share[job]), int(workload.arrival_ns[job])))
    shortest = min((task.period_ns for outcome in outcomes for task in outcome.tasks), default=last)
    length = min(last - first, _MAX_PERIODS * shortest)
    begin = max(first, min(worst[1] - length // 4, last - length))
    return begin, begin + length


def _critical_picture(answer: Answer, verdict: LaneVerdict) -> LanePicture | None:
    tasks = case_of(answer, verdict).tasks
    until_ns = None
    if not tasks:
        return None
    if verdict.schedulable:
        # As much as can be distinguished, at least the first deadline.
        until_ns = max(task.deadline_ns for task in tasks)
        least = min(task.deadline_ns for task in tasks)
        most = 2 * _MAX_PERIODS * min(task.period_ns for task in tasks)
        while until_ns // 2 > least and (
            until_ns > most or _parts_within(tasks, until_ns) > _MAX_RUNS
        ):
            until_ns //= 2
    run = critical_run(answer, verdict, until_ns)
    if run is None:
        return None
    # A task that is too long by itself needs no curve to show it.
    decided = run.case.verdict
    curved = run.witness is not None and decided.rule is not Rule.WCET_DEADLINE
    load = LaneLoad(tasks, answer.asked.switch_ns) if curved else None
    return LanePicture(
        _title(verdict, run, answer.utilization(verdict.lane)),
        run.outcome,
        run.start_ns,
        _window(run),
        _blocking_job(run),
        load,
        decided if load is not None else None,
    )


def _parts_within(tasks: Sequence[AnalysisTask], until_ns: int) -> int:
    return sum(
        len(task.segments_ns) * max(0, (until_ns - task.deadline_ns) // task.period_ns + 1)
        for task in tasks
    )


def _title(verdict: LaneVerdict, run: CriticalRun, share: float) -> str:
    word = "schedulable" if verdict.schedulable else "NOT schedulable"
    title = f"lane {verdict.lane}: {word}, U = {share:.1%}. {reason(verdict)}."
    if run.case.words:
        title += f" Shown: {run.case.words}."
    if not verdict.schedulable and run.first_miss is None and run.witness is not None:
        title += (
            " No job of this pattern is late: with jitter or segments the test is "
            "sufficient, not exact."
        )
    return title


def _blocking_job(run: CriticalRun) -> int:
    for job in run.outcome.runs:
        if job.start_ns < run.start_ns <= job.end_ns:
            return job.job
    return -1


def _window(run: CriticalRun) -> tuple[int, int]:
    """Return what to show: all, or from before the first miss where all would be too much."""
    runs = run.outcome.runs
    begin = min(int(run.outcome.workload.arrival_ns.min()), run.start_ns)
    blocker = _blocking_job(run)
    others = np.arange(len(run.outcome.workload)) != blocker
    due = run.outcome.deadline_ns[others]
    end = max(int(due.max(initial=0)), run.outcome.end_ns)
    if run.witness is not None:
        end = max(end, run.start_ns + run.witness.t_ns)
    if len(runs) <= _MAX_RUNS:
        return begin, end
    if run.first_miss is not None:
        late = run.first_miss.finished_ns + run.start_ns
        last = next(i for i, item in enumerate(runs) if item.end_ns >= late)
        first = max(0, last - _MAX_RUNS)
        end = runs[min(last + 3, len(runs) - 1)].end_ns
        shortest = min(task.period_ns for task in run.case.tasks)
        return max(runs[first].start_ns, end - 2 * _MAX_PERIODS * shortest), end
    return begin, runs[_MAX_RUNS].end_ns
