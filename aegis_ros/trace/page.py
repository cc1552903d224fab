"""Makes one HTML page of a trace, with nothing outside it: no network, no other file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from aegis_ros.rationale import Decision, Rationale
from aegis_ros.trace.causes import Causes
from aegis_ros.trace.explain import split
from aegis_ros.trace.history import Ending, Trace, TracedJob
from aegis_ros.trace.states import run_states, shown_series
from aegis_ros.trace.summary import TaskFigures, figures, lane_figures, worst_jobs

__all__ = ["report_page"]

_MOST_SEGMENTS = 20_000
_MOST_DECISIONS = 500
_WORST = 10
_BINS = 48
_POINTS = 600


def report_page(trace: Trace, title: str) -> str:
    """Return the page: figures, timeline, latencies against deadlines, worst jobs, decisions.

    A long trace is shown around its worst job; the figures are those of all of it.
    """
    window = _window(trace)
    data = {
        "title": title,
        "facts": _facts(trace),
        "digests": dict(trace.digests),
        "config": trace.config,
        "tasks": [_task(trace, task) for task in figures(trace)],
        "lanes": [
            {"name": lane.name, "utilization": lane.utilization} for lane in lane_figures(trace)
        ],
        "timeline": _timeline(trace, window),
        "states": _states(trace),
        "worst": _worst(trace),
        "decisions": _decisions(trace),
        "lost": trace.lost,
        "cut": trace.cut,
    }
    # Text of a model's or task's name must not be able to end the script it stands in.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    template = files("aegis_ros.trace").joinpath("page.html").read_text(encoding="utf-8")
    return template.replace("/*DATA*/null", text, 1)


def _facts(trace: Trace) -> dict[str, str]:
    begin, end = trace.span_ns
    jobs = trace.jobs.values()
    return {
        "duration": f"{(end - begin) / 1e9:.4g} s",
        "jobs": f"{len(trace.jobs):,}",
        "late": f"{sum(job.late_ns > 0 for job in jobs):,}",
        "skipped": f"{sum(job.ending is Ending.SKIPPED for job in jobs):,}",
        "lost": f"{sum(job.ending is Ending.LOST for job in jobs):,}",
        **dict(trace.facts),
    }


def _window(trace: Trace) -> tuple[int, int]:
    """Return what the timeline shows: all, or what fits around the worst job."""
    begin, end = trace.span_ns
    starts = np.sort(
        np.array(
            [run.begin_ns for lane in trace.used_lanes for run in trace.lane_segments(lane)],
            np.int64,
        )
    )
    if len(starts) <= _MOST_SEGMENTS:
        return begin, end
    worst = worst_jobs(trace, 1)
    middle = int(np.searchsorted(starts, worst[0].begin_ns)) if worst else 0
    first = min(max(0, middle - _MOST_SEGMENTS // 2), len(starts) - _MOST_SEGMENTS)
    return int(starts[first]), int(starts[first + _MOST_SEGMENTS - 1])


def _timeline(trace: Trace, window: tuple[int, int]) -> dict[str, Any]:
    begin, end = window
    tasks = [task.id for task in figures(trace)]
    place = {task: index for index, task in enumerate(tasks)}
    runs = [
        [
            lane,
            place.get(run.task, -1),
            run.seq,
            run.segment,
            run.begin_ns - begin,
            run.end_ns - run.begin_ns,
            run.over_ns,
        ]
        for lane in trace.used_lanes
        for run in trace.lane_segments(lane)
        if begin <= run.begin_ns <= end
    ]
    jobs = [
        [
            place[job.task],
            job.seq,
            job.begin_ns - begin,
            job.end_ns - begin,
            job.deadline_ns - begin,
            1 if job.late_ns > 0 else 2 if job.ending in (Ending.SKIPPED, Ending.LOST) else 0,
        ]
        for job in trace.jobs.values()
        if begin <= job.begin_ns <= end
    ]
    worst = worst_jobs(trace, 1)
    show = (worst[0].begin_ns - begin, worst[0].end_ns - begin) if worst else (0, end - begin)
    return {
        "lanes": [trace.lane_name(lane) for lane in trace.used_lanes],
        "lane_ids": list(trace.used_lanes),
        "runs": runs,
        "jobs": jobs,
        "length": end - begin,
        "show": show,
        "all": window == trace.span_ns,
    }


def _segment_names(trace: Trace, task: int) -> list[str]:
    """Return how the segments of a generator are called; nothing for a network's."""
    known = trace.tasks.get(task)
    steps = () if known is None else known.steps
    return [trace.segment_name(task, segment) for segment in range(len(steps))]


def _task(trace: Trace, task: TaskFigures) -> dict[str, Any]:
    ended = [job for job in trace.by_task.get(task.id, ()) if job.ending is Ending.FINISHED]
    latency = np.array([job.latency_ns for job in ended], np.float64) / 1e6
    most = max([float(latency.max(initial=0.0)), task.deadline_ns / 1e6, task.bound_ns / 1e6, 1e-6])
    top = most * 1.05
    counts, _ = np.histogram(latency, _BINS, (0.0, top))
    return {
        "name": task.name,
        "segments": _segment_names(trace, task.id),
        "lane": task.lane,
        "jobs": task.jobs,
        "finished": task.finished,
        "late": task.late,
        "skipped": task.skipped + task.lost,
        "early": task.early,
        "p50": task.latency_p50_ns / 1e6,
        "p99": task.latency_p99_ns / 1e6,
        "max": task.latency_max_ns / 1e6,
        "execution_p50": task.execution_p50_ns / 1e6,
        "execution_max": task.execution_max_ns / 1e6,
        "budget": task.budget_ns / 1e6,
        "deadline": task.deadline_ns / 1e6,
        "bound": task.bound_ns / 1e6,
        "histogram": {"top": top, "counts": counts.tolist()},
    }


def _states(trace: Trace) -> list[dict[str, Any]]:
    """Return what arena, device and engine were like; of a long run, the highest of each stretch.

    Times are seconds since the first record.
    """
    begin = trace.span_ns[0]
    shown = []
    for name, unit, points in shown_series(run_states(trace)):
        step = -(-len(points) // _POINTS)
        kept = [
            max(points[at : at + step], key=lambda point: point[1])
            for at in range(0, len(points), step)
        ]
        values = [value for _, value in points]
        shown.append(
            {
                "name": name,
                "unit": unit,
                "points": [[(time_ns - begin) / 1e9, value] for time_ns, value in kept],
                "least": min(values),
                "most": max(values),
                "last": values[-1],
            }
        )
    return shown


def _worst(trace: Trace) -> list[dict[str, Any]]:
    causes = Causes(trace)
    return [_job(trace, job, causes) for job in worst_jobs(trace, _WORST)]


def _job(trace: Trace, job: TracedJob, causes: Causes) -> dict[str, Any]:
    return {
        "name": trace.job_name(job.task, job.seq),
        "latency": job.latency_ns / 1e6,
        "deadline": (job.deadline_ns - job.begin_ns) / 1e6,
        "late": max(0, job.late_ns) / 1e6,
        "parts": [
            [
                part.kind,
                part.length_ns / 1e6,
                trace.job_name(*part.by) if part.by is not None else "",
                part.over_ns / 1e6,
            ]
            for part in split(trace, job).parts
        ],
        "causes": [cause.sentence for cause in causes.of(job)[:3]],
    }


def _decisions(trace: Trace) -> list[dict[str, Any]]:
    shown: Sequence[Rationale] = trace.rationales
    if len(shown) > _MOST_DECISIONS:  # what was skipped says least
        shown = [item for item in shown if item.decision is not Decision.SKIPPED]
    return [
        {
            "id": item.id,
            "at": (item.time_ns - trace.wall_offset_ns - trace.span_ns[0]) / 1e9,
            "task": item.task,
            "decision": item.decision,
            "rule": item.rule,
            "sentence": item.sentence,
            "test": f"{item.left:.6g} {item.relation} {item.right:.6g} {item.unit}".strip()
            if item.relation
            else "",
            "count": item.count,
        }
        for item in shown[-_MOST_DECISIONS:]
    ]
