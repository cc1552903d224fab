"""Turns a trace into Chrome's trace events, which Perfetto (ui.perfetto.dev) opens, too.

Four groups of tracks: what ran on each lane; the frames, jobs with their parts, and results of
each task with deadlines as markers and arrows from a frame through its segments to its result; the
decisions; arena, device and engine as counters.
Format: "Trace Event Format" (Chromium, Sinclair and others).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aegis_ros.trace.explain import split
from aegis_ros.trace.history import Ending, Trace, TracedJob, TracedSegment
from aegis_ros.trace.states import run_states, shown_series

__all__ = ["chrome_events"]

_LANES, _TASKS, _DECISIONS, _STATE = 1, 2, 3, 4
_FIRST_TRACK = 11  # no number of a process: Perfetto would call that track its main thread


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
            yield _name("thread_name", _LANES, _FIRST_TRACK + lane, f"lane {trace.lane_name(lane)}")
            for run in trace.lane_segments(lane):
                yield self._segment(run)
        for change in trace.lane_changes:
            what = "sheds tasks below high criticality" if change.on else "takes all tasks again"
            yield self._mark(_LANES, _FIRST_TRACK + change.lane, what, change.time_ns)
        track = _FIRST_TRACK
        for task, jobs in trace.by_task.items():
            rows = _rows(jobs)
            frames, results = track, track + 1 + len(set(rows))
            name = trace.task_name(task)
            yield _name("thread_name", _TASKS, frames, f"{name}: frames")
            for row in sorted(set(rows)):
                beside = f" ({row + 1})" if row else ""
                yield _name("thread_name", _TASKS, frames + 1 + row, f"{name}: jobs{beside}")
            yield _name("thread_name", _TASKS, results, f"{name}: results")
            for job, row in zip(jobs, rows, strict=True):
                yield from self._parts(job, frames + 1 + row)
            track = results + 1
            shown_ns = 0  # until when the track of the results is taken
            for index, job in enumerate(jobs):
                after = jobs[index + 1] if index + 1 < len(jobs) else None
                yield from self._job(job, after, frames=frames, results=results, shown_ns=shown_ns)
                if job.ending is Ending.FINISHED:
                    shown_ns = max(shown_ns + 1, job.end_ns)  # none is shorter
        if trace.rationales:
            yield _name("process_name", _DECISIONS, 0, "decisions")
            yield _name("thread_name", _DECISIONS, _FIRST_TRACK, "decisions")
        for item in trace.rationales:
            event = self._mark(
                _DECISIONS,
                _FIRST_TRACK,
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
        self,
        process: int,
        thread: int,
        name: str,
        *,
        begin_ns: int,
        end_ns: int,
        inner: bool = False,
    ) -> dict[str, Any]:
        # A little short of its end, and less so than what lies inside of it: a sum that is rounded
        # up would make viewers drop the inner slice, or take what follows for an inner one.
        short_ns = 0.4 if inner else 0.2
        begin = self._us(begin_ns)
        length = (max(end_ns, begin_ns + 1) - short_ns - begin_ns) / 1000
        return {
            "ph": "X",
            "pid": process,
            "tid": thread,
            "name": name,
            "ts": begin,
            "dur": length,
        }

    def _segment(self, run: TracedSegment) -> dict[str, Any]:
        trace = self._trace
        step = trace.step_name(run.task, run.segment)
        event = self._slice(
            _LANES,
            _FIRST_TRACK + run.lane,
            f"{trace.job_name(run.task, run.seq)} {step}".rstrip(),
            begin_ns=run.begin_ns,
            end_ns=run.end_ns,
        )
        args: dict[str, Any] = {
            "segment": run.segment,
            **({"name": trace.segment_name(run.task, run.segment)} if step else {}),
            "device_ms": (run.ended_ns - run.began_ns) / 1e6,
        }
        if run.budget_ns:
            args["budget_ms"] = run.budget_ns / 1e6
        if run.over_ns:
            args["over_ms"] = run.over_ns / 1e6
        return {**event, "cat": trace.task_name(run.task), "args": args}

    def _parts(self, job: TracedJob, track: int) -> Iterator[dict[str, Any]]:
        """Yield a job, and inside of it what each stretch was spent on."""
        trace = self._trace
        parts = split(trace, job)
        args: dict[str, Any] = {"ending": job.ending}
        for part in parts.parts:
            by = f" {trace.job_name(*part.by)}" if part.by is not None else ""
            args[f"{part.kind}{by} ms"] = part.length_ns / 1e6
        whole = self._slice(
            _TASKS,
            track,
            trace.job_name(job.task, job.seq),
            begin_ns=job.begin_ns,
            end_ns=job.end_ns,
        )
        yield {**whole, "cat": "late" if job.late_ns > 0 else "job", "args": args}
        for span in parts.spans:
            by = f" {trace.job_name(span.by.task, span.by.seq)}" if span.by is not None else ""
            over = ", beyond its budget" if span.over else ""
            piece = self._slice(
                _TASKS,
                track,
                f"{span.kind}{by}{over}",
                begin_ns=span.begin_ns,
                end_ns=span.end_ns,
                inner=True,
            )
            yield {**piece, "cat": str(span.kind)}

    def _job(
        self, job: TracedJob, after: TracedJob | None, *, frames: int, results: int, shown_ns: int
    ) -> Iterator[dict[str, Any]]:
        trace = self._trace
        name = trace.job_name(job.task, job.seq)
        self._flows += 1
        key = self._flows  # Perfetto takes nothing but numbers
        # Slices of one track may not overlap: Perfetto drops those.
        released = max(job.released_ns, job.begin_ns)
        if after is not None:
            released = min(released, max(after.begin_ns, job.begin_ns))
        yield {
            **self._slice(_TASKS, frames, name, begin_ns=job.begin_ns, end_ns=released),
            "cat": "frame",
        }
        flow = {"cat": "job", "id": key, "name": "frame to result"}
        yield {**flow, "ph": "s", "pid": _TASKS, "tid": frames, "ts": self._us(job.begin_ns)}
        for run in job.segments:
            step = {"pid": _LANES, "tid": _FIRST_TRACK + run.lane, "ts": self._us(run.begin_ns)}
            yield {**flow, **step, "ph": "t"}
        if job.deadline_ns > job.begin_ns:
            late = job.late_ns > 0
            text = f"deadline of {name}" + (f", missed by {job.late_ns / 1e6:.3g} ms" * late)
            yield self._mark(_TASKS, results, text, job.deadline_ns)
        if job.ending is Ending.FINISHED:
            begin = max(job.finished_ns or job.end_ns, shown_ns)
            until = max(job.end_ns, begin)
            what = "early result" if job.early_exit else "result"
            yield {
                **self._slice(_TASKS, results, f"{what} of {name}", begin_ns=begin, end_ns=until),
                "cat": "late" if job.late_ns > 0 else "in time",
            }
            end = {"pid": _TASKS, "tid": results, "ts": self._us(begin)}
            yield {**flow, **end, "ph": "f", "bp": "e"}
        elif job.ending is not Ending.OPEN:
            why = f" ({job.rule})" if job.rule is not None else ""
            yield self._mark(_TASKS, results, f"{name} {job.ending}{why}", job.end_ns)


def _rows(jobs: Sequence[TracedJob]) -> list[int]:
    """Return a row for each job, so that those of one row do not overlap in time."""
    ends: list[int] = []
    rows = []
    for job in jobs:
        row = next((row for row, end in enumerate(ends) if end <= job.begin_ns), len(ends))
        ends[row:] = [max(job.end_ns, job.begin_ns + 1), *ends[row + 1 :]]
        rows.append(row)
    return rows


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}
