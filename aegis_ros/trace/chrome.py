"""Turns a trace into Chrome's trace events, which Perfetto (ui.perfetto.dev) opens, too.

Four groups of tracks: what ran on each lane; the frames, jobs and results of each task with
deadlines as markers and arrows from a frame through its segments to its result; the decisions;
arena, device and engine as counters.
Format: "Trace Event Format" (Chromium, Sinclair and others).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aegis_ros.trace.explain import split
from aegis_ros.trace.history import Ending, Trace, TracedJob, TracedSegment
from aegis_ros.trace.states import run_states, shown_series

__all__ = ["chrome_events"]

_LANES, _TASKS, _DECISIONS, _STATE = 1, 2, 3, 4
_LEAST_US = 0.001


def chrome_events(trace: Trace) -> Iterator[dict[str, Any]]:
    """Yield the events; their times are microseconds since the first of them."""
    yield from _Writing(trace).events()


class _Writing:
    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._flows = 0
        self._states = run_states(trace)
        # Decisions come before the first job; a viewer may refuse times before zero.
        times = [item.time_ns - trace.wall_offset_ns for item in trace.rationales]
        times += [state.time_ns for state in self._states[:1]]
        times += [trace.span_ns[0]] if len(trace.records) else []
        self._origin_ns = min(times, default=0)

    def events(self) -> Iterator[dict[str, Any]]:
        trace = self._trace
        yield _name("process_name", _LANES, 0, "lanes")
        yield _name("process_name", _TASKS, 0, "tasks")
        for lane in trace.used_lanes:
            yield _name("thread_name", _LANES, lane + 1, f"lane {trace.lane_name(lane)}")
            for run in trace.lane_segments(lane):
                yield self._segment(run)
        for change in trace.lane_changes:
            what = "sheds tasks below high criticality" if change.on else "takes all tasks again"
            yield self._mark(_LANES, change.lane + 1, what, change.time_ns)
        for place, (task, jobs) in enumerate(trace.by_task.items()):
            frames, results = 2 * place + 1, 2 * place + 2
            name = trace.task_name(task)
            yield _name("thread_name", _TASKS, frames, f"{name}: frames")
            yield _name("thread_name", _TASKS, results, f"{name}: results")
            shown_ns = 0  # until when the track of the results is taken
            for index, job in enumerate(jobs):
                after = jobs[index + 1] if index + 1 < len(jobs) else None
                yield from self._job(job, after, frames, results, shown_ns)
                if job.ending is Ending.FINISHED:
                    shown_ns = max(shown_ns + 1, job.end_ns)  # none is shorter
        if trace.rationales:
            yield _name("process_name", _DECISIONS, 0, "decisions")
            yield _name("thread_name", _DECISIONS, 1, "decisions")
        for item in trace.rationales:
            event = self._mark(
                _DECISIONS,
                1,
                f"{item.task or 'orchestrator'} {item.decision} ({item.rule})",
                item.time_ns - trace.wall_offset_ns,
            )
            yield {**event, "args": {"id": item.id, "sentence": item.sentence}}
        if self._states:
            yield _name("process_name", _STATE, 0, "arena and device")
        for name, unit, points in shown_series(self._states):
            for time_ns, value in points:
                yield {
                    "ph": "C",
                    "pid": _STATE,
                    "name": f"{name} ({unit})" if unit else name,
                    "ts": self._us(time_ns),
                    "args": {"value": value},
                }

    def _us(self, time_ns: int) -> float:
        return (time_ns - self._origin_ns) / 1000

    def _mark(self, process: int, thread: int, name: str, time_ns: int) -> dict[str, Any]:
        return {
            "ph": "i",
            "s": "t",
            "pid": process,
            "tid": thread,
            "name": name,
            "ts": self._us(time_ns),
        }

    def _slice(
        self, process: int, thread: int, name: str, begin_ns: int, end_ns: int
    ) -> dict[str, Any]:
        return {
            "ph": "X",
            "pid": process,
            "tid": thread,
            "name": name,
            "ts": self._us(begin_ns),
            "dur": max(_LEAST_US, (end_ns - begin_ns) / 1000),
        }

    def _segment(self, run: TracedSegment) -> dict[str, Any]:
        trace = self._trace
        event = self._slice(
            _LANES, run.lane + 1, trace.job_name(run.task, run.seq), run.begin_ns, run.end_ns
        )
        args: dict[str, Any] = {
            "segment": run.segment,
            "device_ms": (run.ended_ns - run.began_ns) / 1e6,
        }
        if run.budget_ns:
            args["budget_ms"] = run.budget_ns / 1e6
        if run.over_ns:
            args["over_ms"] = run.over_ns / 1e6
        return {**event, "cat": trace.task_name(run.task), "args": args}

    def _job(
        self, job: TracedJob, after: TracedJob | None, frames: int, results: int, shown_ns: int
    ) -> Iterator[dict[str, Any]]:
        trace = self._trace
        name = trace.job_name(job.task, job.seq)
        self._flows += 1
        key = self._flows  # Perfetto takes nothing but numbers
        cat = trace.task_name(job.task)
        parts: dict[str, float] = {}
        for part in split(trace, job).parts:
            by = f" {trace.job_name(*part.by)}" if part.by is not None else ""
            parts[f"{part.kind}{by} ms"] = part.length_ns / 1e6
        # Slices of one track may not overlap: Perfetto drops those.
        released = max(job.released_ns, job.arrival_ns)
        if after is not None:
            released = min(released, max(after.arrival_ns, job.arrival_ns))
        yield {
            **self._slice(_TASKS, frames, name, job.arrival_ns, released),
            "cat": "frame",
        }
        span = {"pid": _TASKS, "tid": frames, "cat": cat, "id": key, "name": name}
        yield {**span, "ph": "b", "ts": self._us(job.arrival_ns), "args": parts}
        yield {**span, "ph": "e", "ts": self._us(job.end_ns), "args": {"ending": job.ending}}
        flow = {"cat": "job", "id": key, "name": "frame to result"}
        yield {**flow, "ph": "s", "pid": _TASKS, "tid": frames, "ts": self._us(job.arrival_ns)}
        for run in job.segments:
            step = {"pid": _LANES, "tid": run.lane + 1, "ts": self._us(run.begin_ns)}
            yield {**flow, **step, "ph": "t"}
        if job.deadline_ns:
            late = job.late_ns > 0
            text = f"deadline of {name}" + (f", missed by {job.late_ns / 1e6:.3g} ms" * late)
            yield self._mark(_TASKS, results, text, job.deadline_ns)
        if job.ending is Ending.FINISHED:
            begin = max(job.finished_ns or job.end_ns, shown_ns)
            until = max(job.end_ns, begin)
            yield {
                **self._slice(_TASKS, results, f"result of {name}", begin, until),
                "cat": "late" if job.late_ns > 0 else "in time",
            }
            end = {"pid": _TASKS, "tid": results, "ts": self._us(begin)}
            yield {**flow, **end, "ph": "f", "bp": "e"}
        elif job.ending is not Ending.OPEN:
            why = f" ({job.rule})" if job.rule is not None else ""
            yield self._mark(_TASKS, results, f"{name} {job.ending}{why}", job.end_ns)


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}
