"""Draws response times over deadlines: a row for each load, the ways side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from benchmarks.compare.figures import missed

__all__ = ["draw"]

_LATE, _GOOD, _PALE = "#c0392b", "#2e7d32", "#fdecea"
_HIGH, _LOW = "#1f5fa8", "#8a97a6"
_LEFT, _RIGHT = 0.03, 10.0  # response over deadline; what lies beyond is drawn at the edge
_BINS = 160
_ROW_IN = 0.36


def draw(
    path: Path,
    loads: Mapping[float, Mapping[str, Any]],
    *,
    samples: Mapping[tuple[float, str, str], npt.NDArray[np.float64]],
    ways: Mapping[str, str],
    title: str,
) -> None:
    """Draw to a file.

    Args:
        path: of the picture.
        loads: ``rows`` by arm and task, as written to the file of figures.
        samples: response over deadline by load, arm and task.
        ways: the arms that are shown, with what they are called.
        title: what is said above all.
    """
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = [(load, one["rows"]) for load, one in loads.items()]
    shown = [(load, rows) for load, rows in shown if any(way in rows for way in ways)]
    if not shown:
        return
    counts = [max(len(tasks) for tasks in rows.values()) for _, rows in shown]
    heights = [count * _ROW_IN + 0.75 for count in counts]
    top = 1.0
    figure, axes = plt.subplots(
        len(shown),
        len(ways),
        figsize=(2.2 + 3.7 * len(ways), sum(heights) + top),
        gridspec_kw={"height_ratios": heights},
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for across, (load, rows) in zip(axes, shown, strict=True):
        names = max((list(tasks) for tasks in rows.values()), key=len)
        for at, (axis, way) in enumerate(zip(across, ways, strict=True)):
            _frame(axis, len(names))
            if way in rows:
                _cell(axis, names, rows[way], {n: samples.get((load, way, n)) for n in names})
            if axis in axes[0]:
                axis.set_title(ways[way] + "\n", fontsize=12, fontweight="bold")
            labels = [name.replace("_", " ") for name in names] if at == 0 else []
            axis.set_yticks(range(len(labels)), labels, fontsize=9)
            if at == 0:
                axis.set_ylabel(f"{load:.0%}", fontsize=14, fontweight="bold", labelpad=10)
                for label, name in zip(axis.get_yticklabels(), names, strict=True):
                    task = next(tasks[name] for tasks in rows.values() if name in tasks)
                    high = task["criticality"] == "high"
                    label.set_color(_HIGH if high else "#5d6975")
                    label.set_fontweight("bold" if high else "normal")
        for axis in across:
            axis.set_xlabel("response time / deadline" if across is axes[-1] else "", fontsize=9)
    figure.suptitle(
        f"{title}\n"
        "Each shape: all responses of one network; its line: the median; its mark: the slowest. "
        "Right of the red line: too late.\n"
        "Blue, bold: high criticality. Grey: low. Numbers: frames late, or without a result and "
        "nobody said so; in brackets: left out, and said so.",
        fontsize=9,
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _frame(axis: Any, rows: int) -> None:
    axis.set_xscale("log")
    axis.set_xlim(_LEFT, _RIGHT)
    axis.set_ylim(rows - 0.4, -0.6)
    axis.axvspan(1.0, _RIGHT, color=_PALE, zorder=0)
    axis.axvline(1.0, color=_LATE, lw=1.4, zorder=3)
    axis.set_xticks([0.1, 1.0, 10.0], ["0.1", "1", "10"], fontsize=9)
    axis.grid(axis="x", alpha=0.25)
    axis.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _cell(
    axis: Any,
    names: Sequence[str],
    tasks: Mapping[str, Mapping[str, Any]],
    samples: Mapping[str, npt.NDArray[np.float64] | None],
) -> None:
    frames = bad = reported = 0
    for at, name in enumerate(names):
        row = tasks.get(name)
        if row is None:
            continue
        colour = _HIGH if row["criticality"] == "high" else _LOW
        ratio = samples[name]
        if ratio is not None and len(ratio):
            _violin(axis, at, np.clip(ratio, _LEFT * 1.02, _RIGHT * 0.98), colour)
        _count(axis, at, bad=missed(row), reported=row["reported"], frames=row["frames"])
        frames, bad, reported = (
            frames + row["frames"],
            bad + missed(row),
            reported + row["reported"],
        )
    silent = bad - reported
    text = f"{frames:,} frames: {silent:,} late or lost"
    text += f", {reported:,} left out and reported" if reported else ""
    axis.set_title(text, fontsize=8.5, color=_LATE if silent else _GOOD, pad=3, loc="left")


def _violin(axis: Any, at: int, ratio: npt.NDArray[np.float64], colour: str) -> None:
    edges = np.geomspace(_LEFT, _RIGHT, _BINS + 1)
    counts = np.histogram(ratio, edges)[0].astype(float)
    density = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
    half = 0.38 * np.sqrt(density / density.max())  # roots, so that rare late ones are seen
    middle = np.sqrt(edges[:-1] * edges[1:])
    axis.fill_between(middle, at - half, at + half, color=colour, alpha=0.75, lw=0, zorder=2)
    axis.plot([np.median(ratio)] * 2, [at - 0.36, at + 0.36], color="white", lw=1.3, zorder=4)
    worst = ratio.max()
    mark = _LATE if worst > 1.0 else colour
    axis.plot(worst, at, "D", ms=4.5, color=mark, mec="white", mew=0.6, zorder=5)


def _count(axis: Any, at: int, *, bad: int, reported: int, frames: int) -> None:
    silent = bad - reported
    text = f"{silent / frames:.1%}" if silent else "0"
    if silent and silent / frames < 0.001:
        text = f"{silent}"
    if reported and reported / frames >= 0.005:
        text += f"  ({reported / frames:.0%} reported)"
    axis.text(
        1.01,
        at,
        text,
        ha="left",
        va="center",
        fontsize=8.5,
        color=_LATE if silent else _GOOD,
        fontweight="bold" if silent else "normal",
        transform=axis.get_yaxis_transform(),
        zorder=6,
    )
