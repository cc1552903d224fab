"""`aegis explain`: what happened in a run, and where the time of a job went."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from aegis_ros.cli.traces import open_trace
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import Decision, Rationale
from aegis_ros.trace.causes import Cause, Causes
from aegis_ros.trace.explain import Part, Split, split
from aegis_ros.trace.history import Ending, Trace, TracedJob
from aegis_ros.trace.states import run_states, state_sentences
from aegis_ros.trace.steps import Slack, StepTotal, slack_of, steps_of
from aegis_ros.trace.summary import figures, find_job, lane_figures, worst_jobs
from aegis_ros.views.terminal import inequality, say, sheet, terminal, to_ms

__all__ = ["run"]

_WORST = 5
_DECISIONS = 10
_CAUSES = 3


def run(
    path: Path, *, job: str, worst: bool, decision: int | None, form: str, plot: Path | None
) -> int:
    """Explain a run, a job or a decision.

    Args:
        path: of the trace.
        job: ``task#number``; empty for none.
        worst: the job that was latest, or nearest to its deadline.
        decision: number of a decision.
        form: ``text`` or ``json``.
        plot: also draw the job (without one, the worst) there.

    Returns:
        0 where all that was asked about was in time or admitted, 1 otherwise.

    Raises:
        ConfigError: what was asked for is not in the trace; the text says what is.
    """
    if form not in ("text", "json"):
        raise ConfigError("unknown", where="--format", value=form, expected="text or json")
    if sum((bool(job), worst, decision is not None)) > 1:
        raise ConfigError("these exclude each other", where="--job, --worst, --decision")
    if plot is not None:
        from aegis_ros.cli.picture import require_picture

        require_picture(plot)
    trace = open_trace(path)
    if decision is not None:
        return _decision(trace, decision, form)
    chosen = _job(trace, job) if job else None
    if chosen is None and (worst or plot is not None):
        chosen = next(iter(worst_jobs(trace, 1)), None)
        if chosen is None:
            raise ConfigError("no job ended in this trace", where="TRACE", value=path)
    code = _run(trace, form) if not (job or worst) else _one(trace, chosen, form)
    if plot is not None and chosen is not None:
        from aegis_ros.cli.explain_plot import draw_job

        draw_job(trace, chosen, plot)
    return code


def _job(trace: Trace, name: str) -> TracedJob:
    found = find_job(trace, name)
    if found is not None:
        return found
    task = name.rpartition("#")[0] or name
    for number, jobs in trace.by_task.items():
        if trace.task_name(number) == task:
            first, last = f"{task}#{jobs[0].seq}", f"{task}#{jobs[-1].seq}"
            raise ConfigError(
                "there is no such job in the trace",
                where="--job",
                value=name,
                expected=first if first == last else f"{first} to {last}",
            )
    known = ", ".join(trace.task_name(number) for number in trace.by_task)
    raise ConfigError(
        "there is no such task in the trace",
        where="--job",
        value=name,
        expected=f"task#number with one of: {known or 'none, the trace holds no job'}",
    )


# -- a whole run ------------------------------------------------------------------------------


def _run(trace: Trace, form: str) -> int:
    tasks = figures(trace)
    late = sum(task.late for task in tasks)
    worst = worst_jobs(trace, _WORST)
    causes = Causes(trace)
    if form == "json":
        begin, end = trace.span_ns
        print(
            json.dumps(
                {
                    "duration_ms": (end - begin) / 1e6,
                    "records": len(trace.records),
                    "records_lost": trace.lost,
                    "cut": trace.cut,
                    "jobs": len(trace.jobs),
                    "late": late,
                    "facts": dict(trace.facts),
                    "digests": dict(trace.digests),
                    "lanes": [asdict(lane) for lane in lane_figures(trace)],
                    "tasks": [asdict(task) for task in tasks],
                    "states": [
                        {"time_ns": state.time_ns, **state.plain()} for state in run_states(trace)
                    ],
                    "worst": [_job_json(trace, job, causes) for job in worst],
                    "decisions": [asdict(item) for item in trace.rationales],
                },
                indent=2,
            )
        )
        return int(late > 0)
    console = terminal()
    for sentence in _sentences(trace):
        say(console, sentence)
    if tasks:
        console.print(_task_table(trace))
    for job in worst[:_CAUSES]:
        if job.late_ns > 0:
            _say_job(console, trace, job, causes, most=1)
    if worst:
        name = trace.job_name(worst[0].task, worst[0].seq)
        say(console, f"To take a job apart: aegis explain TRACE --job {name}")
    _say_decisions(console, trace)
    return int(late > 0)


def _sentences(trace: Trace) -> list[str]:
    begin, end = trace.span_ns
    jobs = trace.jobs.values()
    late = sum(job.late_ns > 0 for job in jobs)
    skipped = sum(job.ending is Ending.SKIPPED for job in jobs)
    gone = sum(job.ending is Ending.LOST for job in jobs)
    lanes = lane_figures(trace)
    text = (
        f"{(end - begin) / 1e9:.3g} s on {len(lanes)} lane{'s' * (len(lanes) != 1)}: "
        f"{len(trace.jobs):,} jobs, {late:,} late, {skipped:,} skipped, {gone:,} lost"
    )
    busy = ", ".join(f"{lane.name} {lane.utilization:.1%}" for lane in lanes)
    sentences = [text]
    if busy:
        sentences.append(f"Busy: {busy}")
    sentences += state_sentences(trace)
    if trace.lost:
        sentences.append(
            f"{trace.lost:,} records were overwritten before they were written to the file: jobs "
            "may be missing"
        )
    if trace.cut:
        sentences.append(
            "The file has no closing part: its writer still runs or was killed, and up to a second "
            "may be missing"
        )
    return sentences


def _task_table(trace: Trace) -> Any:
    tasks = figures(trace)
    bounded = any(task.bound_ns for task in tasks)
    early = any(task.early for task in tasks)
    table = sheet(
        "latency from frame to result[dim], in ms[/dim]",
        [
            ("task", "left"),
            ("lane", "left"),
            ("jobs", "right"),
            ("late", "right"),
            ("skipped", "right"),
            *([("early exits", "right")] if early else []),
            ("p50", "right"),
            ("p99", "right"),
            ("max", "right"),
            *([("bound", "right")] if bounded else []),
            ("deadline", "right"),
        ],
    )
    for task in tasks:
        style = "red" if task.late else ""
        table.add_row(
            Text(task.name),
            Text(task.lane),
            str(task.jobs),
            Text(str(task.late), style="bold red" if task.late else "green"),
            Text(str(task.skipped + task.lost), style="yellow" * bool(task.skipped + task.lost)),
            *([str(task.early)] if early else []),
            *(
                to_ms(value) if task.finished else "-"
                for value in (task.latency_p50_ns, task.latency_p99_ns)
            ),
            Text(to_ms(task.latency_max_ns), style=style) if task.finished else "-",
            *([to_ms(task.bound_ns) if task.bound_ns else "-"] if bounded else []),
            to_ms(task.deadline_ns) if task.deadline_ns else "-",
        )
    return table


def _say_decisions(console: Console, trace: Trace) -> None:
    shown = [item for item in trace.rationales if item.decision is not Decision.SKIPPED]
    if not shown:
        return
    table = sheet(
        f"decisions[dim], the last {min(_DECISIONS, len(shown))} of {len(shown)}[/dim]",
        [("id", "right"), ("task", "left"), ("decision", "left"), ("why", "left")],
    )
    for item in shown[-_DECISIONS:]:
        table.add_row(
            str(item.id), Text(item.task or "-"), Text(str(item.decision)), Text(item.sentence)
        )
    console.print(table)
    say(console, f"The numbers behind one: aegis explain TRACE --decision {shown[-1].id}")


# -- one job ----------------------------------------------------------------------------------


def _one(trace: Trace, job: TracedJob | None, form: str) -> int:
    assert job is not None
    causes = Causes(trace)
    bad = job.late_ns > 0 or job.ending in (Ending.SKIPPED, Ending.LOST)
    if form == "json":
        print(json.dumps(_job_json(trace, job, causes), indent=2))
        return int(bad)
    console = terminal()
    _say_job(console, trace, job, causes, most=_CAUSES)
    parts = split(trace, job)
    table = sheet(
        f"where the time of {escape(trace.job_name(job.task, job.seq))} went",
        [("part", "left"), ("for", "left"), ("ms", "right"), ("share", "right")],
    )
    whole = parts.total_ns()
    for part in parts.parts:
        table.add_row(
            str(part.kind),
            Text(_whom(trace, part)),
            to_ms(part.length_ns),
            f"{part.length_ns / whole:.1%}",
        )
    table.add_section()
    table.add_row("all", "", to_ms(whole), "100.0%" if whole else "-")
    console.print(table)
    steps = steps_of(trace, parts)
    if steps:
        console.print(_step_table(trace, job, steps))
        say(console, _slack_sentence(trace, slack_of(parts)))
    return int(bad)


def _step_table(trace: Trace, job: TracedJob, steps: Sequence[StepTotal]) -> Any:
    table = sheet(
        f"steps of {escape(trace.job_name(job.task, job.seq))}[dim], in ms[/dim]",
        [("step", "left"), ("times", "right"), ("ran for", "right"), ("longest part", "right")],
    )
    for step in steps:
        table.add_row(
            Text(step.name), str(step.times), to_ms(step.length_ns), to_ms(step.longest_ns)
        )
    return table


def _slack_sentence(trace: Trace, slack: Slack) -> str:
    text = (
        f"In {to_ms(slack.whole_ns)} ms, tasks held its lane for {to_ms(slack.taken_ns)} ms "
        f"({slack.taken_ns / max(1, slack.whole_ns):.0%}); of the {to_ms(slack.left_ns)} ms that "
        f"they left it used {to_ms(slack.used_ns)} ms ({slack.used_ns / max(1, slack.left_ns):.0%})"
    )
    if slack.longest_ns:
        assert slack.longest_by is not None
        text += (
            f"; the longest wait without a break took {to_ms(slack.longest_ns)} ms, the last of it "
            f"for {trace.job_name(*slack.longest_by)}"
        )
    return text


def _say_job(console: Console, trace: Trace, job: TracedJob, causes: Causes, *, most: int) -> None:
    say(console, _headline(trace, job), style="red" if job.late_ns > 0 else "")
    if job.early_exit:
        say(console, "It ended at an early exit of its network", bullet="-")
    found = causes.of(job)[:most]
    for index, cause in enumerate(found):
        lead = "Because " if index == 0 and job.late_ns > 0 else "Unusual: "
        tail = "; without it, the job would have met its deadline" if cause.enough else ""
        say(console, f"{lead}{cause.sentence}{tail}", bullet="-")
    if not found and job.ending is Ending.FINISHED:
        say(console, "Nothing in it was unusual", bullet="-")


def _headline(trace: Trace, job: TracedJob) -> str:
    name = trace.job_name(job.task, job.seq)
    why = f" ({job.rule})" if job.rule is not None else ""
    answers = any(trace.step_name(job.task, run.segment) for run in job.segments)
    if answers and job.ending is Ending.SKIPPED:
        return f"{name} was stopped{why} after it had answered for {to_ms(job.latency_ns)} ms"
    if answers and job.ending is Ending.OPEN:
        return f"{name} had answered for {to_ms(job.latency_ns)} ms when the trace ended"
    if job.ending is Ending.SKIPPED:
        return f"{name} was skipped{why} {to_ms(job.latency_ns)} ms after its frame"
    if job.ending is Ending.LOST:
        return f"{name} was lost with the engine {to_ms(job.latency_ns)} ms after its frame"
    if job.ending is Ending.OPEN:
        return f"{name} still ran when the trace ended, {to_ms(job.latency_ns)} ms after its frame"
    if answers:
        return f"{name} answered for {to_ms(job.latency_ns)} ms; no deadline is promised to it"
    if not job.promised:
        return (
            f"the result of {name} was {to_ms(job.latency_ns)} ms old; best effort has no deadline "
            "that is promised"
        )
    allowed = job.deadline_ns - job.begin_ns
    word = f"{to_ms(job.late_ns)} ms late" if job.late_ns > 0 else "in time"
    return f"{name} was {word}: it took {to_ms(job.latency_ns)} ms of {to_ms(allowed)} ms"


def _whom(trace: Trace, part: Part) -> str:
    if part.by is None:
        return ""
    text = trace.job_name(*part.by)
    steps = dict.fromkeys(trace.step_name(part.by[0], each) for each in part.segments)
    if len(part.segments) == 1:
        text += f" {trace.segment_name(part.by[0], part.segments[0])}"
    elif all(steps):
        text += f" {', '.join(steps)}"
    elif part.segments:
        text += f" segments {part.segments[0]}-{part.segments[-1]}"
    return text + (f", {to_ms(part.over_ns)} of it beyond its budget" if part.over_ns else "")


def _job_json(trace: Trace, job: TracedJob, causes: Causes) -> dict[str, Any]:
    parts: Split = split(trace, job)
    return {
        "task": trace.task_name(job.task),
        "job": job.seq,
        "lane": trace.lane_name(job.lane),
        "ending": job.ending,
        "rule": job.rule,
        "sentence": _headline(trace, job),
        "latency_ms": job.latency_ns / 1e6,
        "deadline_ms": (job.deadline_ns - job.begin_ns) / 1e6,
        "late_ms": max(0, job.late_ns) / 1e6,
        "parts": [
            {
                "kind": part.kind,
                "ms": part.length_ns / 1e6,
                "task": trace.task_name(part.by[0]) if part.by is not None else None,
                "job": part.by[1] if part.by is not None else None,
                "segments": list(part.segments),
                "names": [trace.segment_name(part.by[0], each) for each in part.segments]
                if part.by is not None
                else [],
                "over_ms": part.over_ns / 1e6,
            }
            for part in parts.parts
        ],
        "causes": [_cause_json(trace, cause) for cause in causes.of(job)],
        **_steps_json(trace, parts),
    }


def _steps_json(trace: Trace, parts: Split) -> dict[str, Any]:
    """Return the steps of a generator's job, and the slack it had; nothing for a network's."""
    steps = steps_of(trace, parts)
    if not steps:
        return {}
    slack = slack_of(parts)
    return {
        "steps": [
            {
                "step": step.name,
                "times": step.times,
                "ms": step.length_ns / 1e6,
                "longest_part_ms": step.longest_ns / 1e6,
            }
            for step in steps
        ],
        "slack": {
            "taken_ms": slack.taken_ns / 1e6,
            "left_ms": slack.left_ns / 1e6,
            "used_ms": slack.used_ns / 1e6,
            "longest_wait_ms": slack.longest_ns / 1e6,
        },
    }


def _cause_json(trace: Trace, cause: Cause) -> dict[str, Any]:
    return {
        "kind": cause.kind,
        "task": trace.task_name(cause.task) if cause.task >= 0 else None,
        "jobs": list(cause.jobs),
        "ms": cause.length_ns / 1e6,
        "excess_ms": cause.excess_ns / 1e6,
        "breach": cause.breach,
        "enough": cause.enough,
        "sentence": cause.sentence,
    }


# -- one decision -----------------------------------------------------------------------------


def _decision(trace: Trace, number: int, form: str) -> int:
    found = next((item for item in trace.rationales if item.id == number), None)
    if found is None:
        known = ", ".join(str(item.id) for item in trace.rationales[-20:])
        raise ConfigError(
            "there is no such decision in the trace",
            where="--decision",
            value=number,
            expected=f"one of: {known}" if known else "none, the trace holds no decision",
        )
    bad = found.decision in (Decision.REJECTED, Decision.LOST, Decision.SHED)
    if form == "json":
        print(json.dumps(asdict(found), indent=2))
        return int(bad)
    console = terminal()
    who = found.task or "the orchestrator"
    job = f" job {found.job}" if found.job >= 0 else ""
    say(
        console,
        f"Decision {found.id}: {who}{job} {found.decision} by the rule {found.rule}",
        style="red" if bad else "",
    )
    say(console, found.sentence)
    _say_numbers(console, found)
    if found.responses:
        table = sheet(
            "response-time bounds[dim], in ms[/dim]",
            [("task", "left"), ("lane", "left"), ("bound", "right"), ("deadline", "right")],
        )
        for item in found.responses:
            table.add_row(
                Text(item.task), Text(item.lane), to_ms(item.bound_ns), to_ms(item.deadline_ns)
            )
        console.print(table)
    for change in found.counterfactuals:
        say(console, f"What would change it: {change.sentence}", bullet="-")
    if found.related:
        say(console, f"It follows from decision {found.related}")
    return int(bad)


def _say_numbers(console: Console, found: Rationale) -> None:
    if found.relation:
        say(
            console,
            f"Tested: {found.left:.6g} {found.relation} {found.right:.6g} {found.unit}".rstrip(),
            bullet="-",
        )
    if found.witness is not None:
        left, relation, right = inequality(found.witness)
        say(console, f"Lane {found.witness.lane}, tightest: {left} {relation} {right}", bullet="-")
    if found.utilization_after or found.utilization_before:
        say(
            console,
            f"Utilization of the lane: {found.utilization_before:.1%} before, "
            f"{found.utilization_after:.1%} after",
            bullet="-",
        )
    if found.count > 1:
        say(console, f"It is one record for {found.count} equal events", bullet="-")
