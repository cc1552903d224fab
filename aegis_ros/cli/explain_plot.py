"""Draws one job of a trace: its latency in parts, and what ran on its lane meanwhile."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from aegis_ros.errors import ConfigError
from aegis_ros.trace.causes import Causes
from aegis_ros.trace.explain import PartKind, Split, split
from aegis_ros.trace.history import NO_TASK, Ending, Trace, TracedJob
from aegis_ros.views.terminal import to_ms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_job"]

_MAX_ROWS = 16
# Colours for people who see fewer of them, too (Tol's bright and light schemes).
_COLOURS = {
    PartKind.TRANSPORT: "#bbccee",
    PartKind.INTAKE: "#99ddff",
    PartKind.BLOCKING: "#ee8833",
    PartKind.INTERFERENCE: "#eedd88",
    PartKind.BACKLOG: "#ccbb44",
    PartKind.IDLE: "#dddddd",
    PartKind.HANDOVER: "#aaaaaa",
    PartKind.EXECUTION: "#4477aa",
    PartKind.OVERRUN: "#cc3344",
    PartKind.OUTPUT: "#44bb99",
    PartKind.HELD: "#ddcc99",
    PartKind.PUBLISH: "#aa3377",
}


def draw_job(trace: Trace, job: TracedJob, path: Path) -> None:
    """Draw a job.

    Args:
        trace: it belongs to.
        job: to draw.
        path: its suffix says which kind of picture.

    Raises:
        ConfigError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parts = split(trace, job)
    runs = trace.holders(job.lane, job.begin_ns, job.end_ns)
    tasks = [job.task, *dict.fromkeys(run.task for run in runs if run.task != job.task)][:_MAX_ROWS]
    figure, (bar, lane) = pyplot.subplots(
        2,
        1,
        sharex=True,
        figsize=(11.0, 2.9 + 0.42 * len(tasks)),
        height_ratios=[1.1, 0.42 * len(tasks) + 0.3],
        layout="constrained",
    )
    try:
        name = trace.job_name(job.task, job.seq)
        in_time = "in time" if job.ending is Ending.FINISHED else str(job.ending)
        word = f"{to_ms(job.late_ns)} ms late" if job.late_ns > 0 else in_time
        figure.suptitle(f"{name}: {word}", fontsize=13, fontweight="bold", x=0.01, ha="left")
        found = Causes(trace).of(job)
        bar.set_title(fill(found[0].sentence, 118) if found else "", fontsize=9, loc="left")
        _bar(bar, parts)
        _lane(lane, trace, job, tasks)
        answers = any(trace.step_name(job.task, run.segment) for run in job.segments)
        since = "it began" if answers else "the frame"
        lane.set_xlabel(f"time since {since} / ms", fontsize=8)
        for axes in (bar, lane):
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=8)
            if job.deadline_ns > job.begin_ns:
                due = (job.deadline_ns - job.begin_ns) / 1e6
                axes.axvline(due, color="#228833", linewidth=1.5)
        handles, labels = bar.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=10, fontsize=8, frameon=False
        )
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise ConfigError(
            f"the picture cannot be written ({error.strerror})", where="--plot", value=path
        ) from error
    finally:
        pyplot.close(figure)


def _bar(axes: Axes, parts: Split) -> None:
    from matplotlib.patches import Rectangle

    named: set[PartKind] = set()
    origin = parts.job.begin_ns
    for span in parts.spans:
        axes.barh(
            0,
            span.length_ns / 1e6,
            left=(span.begin_ns - origin) / 1e6,
            color=_COLOURS[span.kind],
            hatch="///" if span.over else None,
            edgecolor="white",
            linewidth=0.4,
            label="_" if span.kind in named else f"{span.kind}",
        )
        named.add(span.kind)
    if parts.job.deadline_ns > origin:
        axes.plot([], [], color="#228833", label="deadline")
    if any(span.over for span in parts.spans):
        # Made by hand: an empty bar has no colour that a legend could show.
        axes.add_patch(
            Rectangle(
                (0, 0), 0, 0, facecolor=_COLOURS[PartKind.OVERRUN], hatch="///", edgecolor="white",
                label="beyond a budget",
            )
        )  # fmt: skip
    axes.set_yticks([0], ["its time"])


def _lane(axes: Axes, trace: Trace, job: TracedJob, tasks: list[int]) -> None:
    origin = job.begin_ns
    for run in trace.holders(job.lane, job.begin_ns, job.end_ns):
        if run.task not in tasks:
            continue
        mine = (run.task, run.seq) == (job.task, job.seq)
        row = tasks.index(run.task)
        begin, end = max(run.begin_ns, origin), min(run.end_ns, job.end_ns)
        colour = "#4477aa" if mine else "#99aabb"
        left, width = (begin - origin) / 1e6, (end - begin) / 1e6
        axes.barh(row, width, left=left, color=colour, edgecolor="white", height=0.7)
        over = run.ended_ns - run.over_ns
        if run.over_ns and over < end:
            start = max(over, begin)
            axes.barh(
                row, (end - start) / 1e6, left=(start - origin) / 1e6, height=0.7,
                color=_COLOURS[PartKind.OVERRUN], hatch="///", edgecolor="white",
            )  # fmt: skip
        step = trace.step_name(run.task, run.segment)
        if width > (0.05 if step else 0.04) * (job.latency_ns / 1e6) and run.task != NO_TASK:
            axes.text(
                left + width / 2, row, step or f"#{run.seq}", ha="center", va="center", fontsize=7,
                color="white" if mine else "black",
            )  # fmt: skip
    axes.set_yticks(range(len(tasks)), [trace.task_name(task) for task in tasks])
    axes.set_title(f"lane {trace.lane_name(job.lane)}", fontsize=9, loc="left")
    axes.invert_yaxis()
