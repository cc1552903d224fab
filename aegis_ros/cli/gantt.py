"""Draws schedules: who ran when, who waited for whom, and what came too late.

Matplotlib is imported when a picture is asked for: it is an optional dependency, and slow to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis import LaneVerdict
from aegis_ros.analysis.demand import MAX_POINTS, LaneLoad
from aegis_ros.errors import ConfigError
from aegis_ros.simulation import Outcome
from aegis_ros.views.terminal import inequality, to_ms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LanePicture", "draw"]

_MAX_LANES = 6
_MAX_ROWS = 20
_RUN, _BLOCKER, _LATE, _WAIT = "#4477aa", "#ee8833", "#cc3344", "#dde4ec"
_ARRIVAL, _DEADLINE = "#333333", "#228833"


@dataclass(frozen=True)
class LanePicture:
    """One lane's part of a picture.

    Attributes:
        title: above it.
        outcome: what ran; its tasks are the rows, the first on top.
        origin_ns: what is 0 on the axis.
        window_ns: begin and end of what is shown, on the outcome's clock.
        blocker: index of the job that blocks, -1 for none.
        load: also draw the demand curve of this load below, where there is one.
        verdict: with the witness to mark in the curve.
    """

    title: str
    outcome: Outcome
    origin_ns: int
    window_ns: tuple[int, int]
    blocker: int = -1
    load: LaneLoad | None = None
    verdict: LaneVerdict | None = None


def draw(heading: str, lanes: Sequence[LanePicture], path: Path) -> None:
    """Draw lanes below each other.

    Args:
        heading: above all.
        lanes: at most six of them are drawn.
        path: its suffix says which kind of picture.

    Raises:
        ConfigError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = lanes[:_MAX_LANES]
    heights: list[float] = []
    for lane in shown:
        heights.append(0.62 + 0.42 * min(_MAX_ROWS, len(_rows(lane))))
        if lane.load is not None:
            heights.append(2.0)
    spare = 1.0 + 0.55 * len(heights)
    figure = pyplot.figure(figsize=(11.0, max(2.5, sum(heights) + spare)), layout="constrained")
    try:
        figure.suptitle(heading, fontsize=13, fontweight="bold", x=0.01, ha="left")
        if shown:
            _fill(figure, shown, heights)
        else:
            figure.text(0.5, 0.5, "no schedule to show within the limits", ha="center")
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise ConfigError(
            f"the picture cannot be written ({error.strerror})", where="--plot", value=path
        ) from error
    finally:
        pyplot.close(figure)


def _fill(figure: Figure, lanes: Sequence[LanePicture], heights: Sequence[float]) -> None:
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    place = 0
    for lane in lanes:
        axes = figure.add_subplot(grid[place])
        place += 1
        hidden = len(_seen(lane)) - len(_rows(lane))
        more = f" ({hidden} more tasks are not shown.)" if hidden else ""
        axes.set_title(fill(lane.title + more, 118), fontsize=9, loc="left")
        _schedule(axes, lane)
        if lane.load is not None:
            below = figure.add_subplot(grid[place], sharex=axes)
            place += 1
            axes.tick_params(labelbottom=False)
            _demand(below, lane)
            below.set_xlabel("time since the critical instant / ms", fontsize=8)
        else:
            axes.set_xlabel("time / ms", fontsize=8)
    handles = _legend(lanes)
    rows = -(-len(handles) // 8)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=-(-len(handles) // rows),
        fontsize=8,
        frameon=False,
    )


def _in_window(lane: LanePicture) -> npt.NDArray[np.bool_]:
    begin, end = lane.window_ns
    outcome = lane.outcome
    finished = np.where(outcome.finished_ns < 0, outcome.deadline_ns, outcome.finished_ns)
    inside: npt.NDArray[np.bool_] = (outcome.workload.arrival_ns <= end) & (finished >= begin)
    return inside


def _seen(lane: LanePicture) -> list[int]:
    """Return the indices of the tasks that have a job in the window, the most urgent first."""
    seen: list[int] = np.unique(lane.outcome.workload.task[_in_window(lane)]).tolist()
    return seen


def _rows(lane: LanePicture) -> list[int]:
    """Return the tasks that are drawn: all that are seen, or those that matter most."""
    rows = _seen(lane)
    if len(rows) <= _MAX_ROWS:
        return rows
    outcome = lane.outcome
    late = set(np.unique(outcome.workload.task[_in_window(lane) & outcome.missed]).tolist())
    if lane.blocker >= 0:
        late.add(int(outcome.workload.task[lane.blocker]))
    return sorted(sorted(rows, key=lambda row: row not in late)[:_MAX_ROWS])


def _schedule(axes: Axes, lane: LanePicture) -> None:
    outcome, origin = lane.outcome, lane.origin_ns
    rows = _rows(lane)
    level = {task: len(rows) - 1 - index for index, task in enumerate(rows)}
    begin, end = lane.window_ns
    free = dict.fromkeys(rows, -(1 << 62))  # from when on a row has room for words
    _jobs(axes, lane, level)
    for run in outcome.runs:
        task = int(outcome.workload.task[run.job])
        if task not in level or run.end_ns < begin or run.start_ns > end:
            continue
        y = level[task] - 0.32
        due = int(outcome.deadline_ns[run.job])
        blocks = run.job == lane.blocker and run.start_ns < origin <= run.end_ns
        x, width = (run.start_ns - origin) / 1e6, (run.end_ns - run.start_ns) / 1e6
        color = _BLOCKER if blocks else _RUN
        # White between segments, but a sliver keeps its colour or it would not be seen.
        wide = run.end_ns - run.start_ns > 0.003 * (end - begin)
        axes.broken_barh(
            [(x, width)], (y, 0.5), facecolor=color, edgecolor="white" if wide else color,
            linewidth=0.6, hatch="////" if blocks else None, zorder=3,
        )  # fmt: skip
        if blocks:
            axes.annotate(
                f"holds the lane for {to_ms(run.end_ns - run.start_ns)} ms", (x, y + 0.5),
                xytext=(6, 2), textcoords="offset points", fontsize=8, color="#bb5500", zorder=6,
            )  # fmt: skip
        if run.end_ns > due:
            from_ns = max(due, run.start_ns)
            axes.broken_barh(
                [((from_ns - origin) / 1e6, (run.end_ns - from_ns) / 1e6)], (y, 0.5),
                facecolor=_LATE, edgecolor="white" if wide else _LATE, linewidth=0.6, zorder=4,
            )  # fmt: skip
        if int(outcome.finished_ns[run.job]) == run.end_ns > due and run.end_ns > free[task]:
            free[task] = run.end_ns + (end - begin) // 8  # as long as the words are
            axes.annotate(
                f" {to_ms(run.end_ns - due)} ms late", ((run.end_ns - origin) / 1e6, y + 0.25),
                fontsize=8, color=_LATE, va="center", fontweight="bold", zorder=8,
                annotation_clip=True, xytext=(3, 0), textcoords="offset points",
                bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.85},
            )  # fmt: skip
    axes.set_yticks(
        [level[task] for task in rows], [_short(outcome.tasks[task].name) for task in rows]
    )
    axes.set_ylim(-0.6, len(rows) - 0.4)
    margin = (end - begin) * 0.01
    axes.set_xlim((begin - origin - margin) / 1e6, (end - origin + 6 * margin) / 1e6)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color="#eeeeee", zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if lane.verdict is not None:
        _interval(axes, lane.verdict)


def _jobs(axes: Axes, lane: LanePicture, level: dict[int, int]) -> None:
    """Draw arrival, deadline, readiness and waiting of every job in the window."""
    outcome, origin = lane.outcome, lane.origin_ns
    begin, end = lane.window_ns
    arrivals: list[tuple[float, float]] = []
    deadlines: list[tuple[float, float]] = []
    missed: list[tuple[float, float]] = []
    delayed: list[tuple[float, float]] = []
    dropped: list[tuple[float, float]] = []
    for job in range(len(outcome.workload)):
        task = int(outcome.workload.task[job])
        if task not in level:
            continue
        y = level[task] - 0.32
        arrival = int(outcome.workload.arrival_ns[job])
        ready = int(outcome.workload.ready_ns[job])
        due, finished = int(outcome.deadline_ns[job]), int(outcome.finished_ns[job])
        if begin <= arrival <= end:
            arrivals.append(((arrival - origin) / 1e6, y))
            if ready > arrival:
                delayed.append(((ready - origin) / 1e6, y))
            if finished < 0:
                dropped.append(((arrival - origin) / 1e6, y))
        if begin <= due <= end:
            (missed if finished > due else deadlines).append(((due - origin) / 1e6, y))
        if finished >= begin and ready <= end:
            axes.broken_barh(
                [((ready - origin) / 1e6, (finished - ready) / 1e6)], (y, 0.12),
                facecolor=_WAIT, zorder=2,
            )  # fmt: skip
    # A deadline is the lower half of a line, so that an arrival at the same time is seen.
    for points, marker, color, top, head in (
        (arrivals, "^", _ARRIVAL, 0.72, 0.7),
        (deadlines, "v", _DEADLINE, 0.42, 0.03),
        (missed, "v", _LATE, 0.72, 0.03),
    ):
        if points:
            x, y_low = np.array(points).T
            axes.vlines(x, y_low, y_low + top, color=color, linewidth=1.2, zorder=5)
            axes.scatter(x, y_low + head, marker=marker, s=24, color=color, zorder=5, linewidths=0)
    if dropped:
        x, y_low = np.array(dropped).T
        axes.scatter(x, y_low + 0.3, marker="x", s=30, color=_LATE, zorder=7, linewidths=1.6)
    if delayed:
        x, y_low = np.array(delayed).T
        axes.scatter(x, y_low + 0.06, marker="o", s=16, facecolor="white", edgecolor=_ARRIVAL,
                     zorder=6, linewidths=0.9)  # fmt: skip


def _interval(axes: Axes, verdict: LaneVerdict) -> None:
    """Shade the interval of the witness, the same in both parts of the picture."""
    if verdict.witness is not None:
        color = _LATE if verdict.witness.slack_ns < 0 else _DEADLINE
        axes.axvspan(0.0, verdict.witness.t_ns / 1e6, color=color, alpha=0.07, zorder=0, lw=0)


def _demand(axes: Axes, lane: LanePicture) -> None:
    """Draw h(t) and h(t) + B(t) against t."""
    load, verdict = lane.load, lane.verdict
    assert load is not None and verdict is not None and verdict.witness is not None
    witness = verdict.witness
    begin = max(0, lane.window_ns[0] - lane.origin_ns)
    end = max(lane.window_ns[1] - lane.origin_ns, witness.t_ns)
    end = max(end, int(load.first.min()))
    if load.points_until(end) > MAX_POINTS or not load.fits(end):
        axes.set_visible(False)
        return
    curve = load.curve(end)
    t = np.concatenate([[0], curve.t_ns, [end]]) / 1e6
    demand = np.concatenate([[0], curve.demand_ns, curve.demand_ns[-1:]]) / 1e6
    blocking = np.concatenate([[0], curve.blocking_ns, curve.blocking_ns[-1:]]) / 1e6
    need = demand + blocking
    axes.plot([0, end / 1e6], [0, end / 1e6], color="#888888", linewidth=1, linestyle="--")
    axes.step(t, demand, where="post", color=_RUN, linewidth=1.4)
    axes.step(t, need, where="post", color=_BLOCKER, linewidth=1.4)
    late = curve.slack_ns < 0
    if late.any():
        times = curve.t_ns[late] / 1e6
        axes.vlines(
            times, times, (curve.demand_ns + curve.blocking_ns)[late] / 1e6, color=_LATE,
            linewidth=1.6, alpha=0.6,
        )  # fmt: skip
    at, needed = witness.t_ns / 1e6, (witness.demand_ns + witness.blocking_ns) / 1e6
    color = _LATE if witness.slack_ns < 0 else _DEADLINE
    axes.scatter([at], [needed], s=26, color=color, zorder=6)
    low, high = begin / 1e6, end / 1e6
    visible = (t >= low) & (t <= high)
    top = max(high, float(need[visible].max(initial=0.0)))
    # Top left is above the line t, where no curve of a schedulable lane runs.
    axes.annotate(
        " ".join(inequality(witness)),
        (at, needed), xytext=(0.015, 0.96), textcoords="axes fraction", ha="left", va="top",
        fontsize=8, color=color, fontweight="bold",
        arrowprops={"arrowstyle": "-", "color": color, "lw": 0.8, "alpha": 0.6},
    )  # fmt: skip
    _interval(axes, verdict)
    axes.set_ylim(low, top + 0.25 * (top - low))
    axes.set_ylabel("demand / ms", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(color="#eeeeee")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(lanes: Sequence[LanePicture]) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=_ARRIVAL, marker="^", markersize=5, label="arrival"),
        Line2D([], [], color=_DEADLINE, marker="v", markersize=5, label="deadline"),
        Patch(color=_RUN, label="runs"),
        Patch(color=_WAIT, label="waits"),
    ]
    if any(
        (lane.outcome.workload.ready_ns > lane.outcome.workload.arrival_ns).any() for lane in lanes
    ):
        handles.append(
            Line2D([], [], color=_ARRIVAL, marker="o", markerfacecolor="white", markersize=4,
                   linewidth=0, label="ready (jitter)")
        )  # fmt: skip
    if any(lane.blocker >= 0 for lane in lanes):
        handles.append(Patch(facecolor=_BLOCKER, edgecolor="white", hatch="////", label="blocks"))
    if any((lane.outcome.skipped & _in_window(lane)).any() for lane in lanes):
        handles.append(
            Line2D([], [], color=_LATE, marker="x", markersize=6, linewidth=0, label="dropped")
        )
    if any(lane.outcome.missed.any() for lane in lanes):
        handles.append(Patch(color=_LATE, label="too late"))
    if any(lane.load is not None for lane in lanes):
        handles += [
            Line2D([], [], color=_RUN, label="demand h(t)"),
            Line2D([], [], color=_BLOCKER, label="h(t) + blocking"),
            Line2D([], [], color="#888888", linestyle="--", label="t"),
        ]
    return handles


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:21] + "…"
