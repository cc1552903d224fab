"""Draws profiles: how often, how rarely, and when runs were slow.

Matplotlib is imported when a report is asked for: it is an optional dependency, and slow to load.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aegis_ros.cli.output_file import require_drawable
from aegis_ros.cli.profile_answer import Measured, fastest_to_slowest
from aegis_ros.cli.profile_pairs import draw_pairs, has_pairs
from aegis_ros.errors import ConfigError
from aegis_ros.wcet import Batch, Budget, Condition, Neighbour, Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["require_report", "write_report"]

_SUFFIXES = (".html", ".png")
_COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
_BUDGET = "#cc3344"
_MOST_DOTS = 20_000  # more cannot be distinguished
_BINS = 80
_ROW_INCHES = 3.4
_MAP_INCHES = 1.6
_MAP_ROW_INCHES = 0.5


def require_report(path: Path) -> None:
    """Refuse a report that could not be written, before anything is measured for it.

    Raises:
        ConfigError: unknown kind, no such folder, or matplotlib is not installed.
    """
    require_drawable(
        path, option="--report", noun="report", suffixes=_SUFFIXES, expected=" or ".join(_SUFFIXES)
    )


def write_report(path: Path, found: Sequence[Measured]) -> None:
    """Write what was measured.

    Args:
        path: checked by :func:`require_report`.
        found: tasks; those without a profile appear in HTML only.

    Raises:
        ConfigError: the file cannot be written, or there is nothing to draw.
    """
    drawn = [(item, item.profile) for item in found if item.profile is not None]
    if path.suffix.lower() == ".png" and not drawn:
        raise ConfigError("nothing was measured, so nothing can be drawn", where="--report")
    try:
        if path.suffix.lower() == ".png":
            rows = [row for item, profile in drawn for row in _rows(item.task.name, profile)]
            path.write_bytes(_png(rows, [(item.task.name, profile) for item, profile in drawn]))
        else:
            path.write_text(_page(found), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the report cannot be written ({error.strerror})", where="--report", value=path
        ) from error


_Row = tuple[str, Profile, int]  # title, profile, segment
_WHOLE = -1  # in place of a segment: all of them in one run


def _rows(name: str, profile: Profile) -> list[_Row]:
    if profile.segments == 1:
        return [(name, profile, 0)]
    return [(f"{name}, all {profile.segments} segments", profile, _WHOLE)] + [
        (f"{name}, segment {index + 1} of {profile.segments}", profile, index)
        for index in range(profile.segments)
    ]


def _png(rows: Sequence[_Row], together: Sequence[tuple[str, Profile]] = ()) -> bytes:
    """Return the rows, and below them what the networks of ``together`` do to each other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = [_ROW_INCHES * len(rows)] if rows else []
    if has_pairs(together):
        heights.append(_MAP_INCHES + _MAP_ROW_INCHES * len(together))
    figure: Figure = pyplot.figure(figsize=(16.0, sum(heights)), layout="constrained")
    try:
        parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        if rows:
            grid = parts[0].subplots(len(rows), 4, squeeze=False, width_ratios=(3.0, 3.0, 3.6, 1.7))
            for axes, (title, profile, segment) in zip(grid, rows, strict=True):
                _draw_row(axes, title, profile, segment)
        if has_pairs(together):
            draw_pairs(parts[-1].subplots(), together)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=110)
        return out.getvalue()
    finally:
        pyplot.close(figure)


def _draw_row(axes: Sequence[Axes], title: str, profile: Profile, segment: int) -> None:
    found = profile.total_ns() if segment == _WHOLE else profile.deciding()[segment][1].value_ns
    budget_ms = found / 1e6
    profile = _pooled(profile)
    histogram, tail, course, key = axes
    histogram.set_title(f"{title}: how often", loc="left", fontsize=10)
    tail.set_title("how rarely slower", loc="left", fontsize=10)
    course.set_title("in the order of measurement", loc="left", fontsize=10)
    _draw_histogram(histogram, profile, segment)
    _draw_tail(tail, profile, segment)
    _draw_course(course, profile, segment)
    for upright in (histogram, tail):
        upright.axvline(budget_ms, color=_BUDGET, linewidth=1.4)
        upright.set_xlabel("execution time (ms)")
        upright.set_xlim(right=budget_ms + 0.06 * (budget_ms - upright.get_xlim()[0]))
    course.axhline(budget_ms, color=_BUDGET, linewidth=1.4)
    course.annotate(
        f"budget {budget_ms:.2f} ms",
        (0.99, budget_ms),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8,
        color=_BUDGET,
    )
    if profile.runs == 1:
        course.set_xlim(-1, 1)
    low, high = course.get_ylim()
    course.set_ylim(low, max(high, budget_ms + 0.12 * (budget_ms - low)))
    key.axis("off")
    key.legend(*histogram.get_legend_handles_labels(), fontsize=8, loc="center left")
    for each in (histogram, tail, course):
        each.grid(alpha=0.25)
        each.tick_params(labelsize=8)


def _pooled(profile: Profile) -> Profile:
    """Return a profile that does not tell neighbours of one kind apart, as they are too many."""

    def pooled(batch: Batch) -> Batch:
        other = batch.condition.neighbour
        if other is None:
            return batch
        any_ = Neighbour("", other.place, "", "other networks")
        return replace(batch, condition=replace(batch.condition, neighbour=any_))

    return replace(profile, batches=tuple(pooled(batch) for batch in profile.batches))


def _draw_histogram(axes: Axes, profile: Profile, segment: int) -> None:
    each = [_times(profile, condition, segment) for condition in profile.conditions]
    every = np.concatenate(each)
    edges = np.linspace(every.min(), max(every.max(), every.min() * 1.001), _BINS + 1)
    for index, (condition, times) in enumerate(zip(profile.conditions, each, strict=True)):
        axes.hist(
            times,
            bins=list(edges),
            histtype="stepfilled",
            facecolor=(_color(index), 0.25),
            edgecolor=_color(index),
            label=_label(profile, condition, segment),
        )
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.set_ylabel("runs")


def _draw_tail(axes: Axes, profile: Profile, segment: int) -> None:
    lowest = 1.0
    for index, condition in enumerate(profile.conditions):
        times = np.sort(_times(profile, condition, segment))
        count = times.size
        above = 1.0 - np.arange(count) / count  # fraction of runs at least as slow
        axes.step(times, above, where="pre", color=_color(index), linewidth=1.2)
        axes.plot(times[-20:], above[-20:], ".", color=_color(index), markersize=4)
        lowest = min(lowest, 1.0 / count)
        budget = _budget(profile, condition, segment)
        if budget.tail is not None:
            chances = np.geomspace(budget.tail.share, budget.target, 60)
            fitted = [budget.tail.value_ns(chance) / 1e6 for chance in chances]
            bound = [budget.tail.upper_ns(chance, 0.95) / 1e6 for chance in chances]
            axes.plot(fitted, chances, "--", color=_color(index), linewidth=1.0)
            axes.plot(bound, chances, ":", color=_color(index), linewidth=1.0)
            lowest = min(lowest, budget.target)
    axes.axhline(1e-3, color="#999999", linewidth=0.8)
    axes.text(
        0.01,
        1e-3,
        "1 in 1,000",
        transform=axes.get_yaxis_transform(),
        fontsize=7,
        color="#777777",
        va="bottom",
    )
    axes.set_yscale("log")
    axes.set_ylim(min(lowest / 2.0, 5e-4), 1.5)
    axes.set_ylabel("fraction of runs")


def _draw_course(axes: Axes, profile: Profile, segment: int) -> None:
    begin = 0
    step = max(1, profile.runs // _MOST_DOTS)
    for batch in profile.batches:
        times = _part(batch.samples_ns, segment)
        color = _color(profile.conditions.index(batch.condition))
        # Of each stretch the slowest, so that no slow run is left out.
        starts = np.arange(0, times.size, step)
        slowest = np.maximum.reduceat(times, starts)
        axes.plot(begin + starts, slowest, ".", markersize=2.0, color=color)
        begin += times.size
    axes.set_xlabel("run")
    axes.set_ylabel("execution time (ms)")


def _label(profile: Profile, condition: Condition, segment: int) -> str:
    budget = _budget(profile, condition, segment)
    if budget.tests is None:
        judged = ""
    elif not budget.tests.passed:
        judged = ", not i.i.d."
    else:
        judged = ", i.i.d., tail fitted" if budget.tail else ", i.i.d."
    label = condition.label.replace(", ", ",\n")
    runs = "1 run" if budget.runs == 1 else f"{budget.runs:,} runs"
    return f"{label}\n{runs}{judged}"


def _times(profile: Profile, condition: Condition, segment: int) -> npt.NDArray[np.float64]:
    return _part(profile.of(condition), segment)


def _part(samples_ns: npt.NDArray[np.int64], segment: int) -> npt.NDArray[np.float64]:
    """Return the times of a segment or of the whole, float64 [runs], in milliseconds."""
    part = samples_ns.sum(axis=1) if segment == _WHOLE else samples_ns[:, segment]
    return np.asarray(part / 1e6, np.float64)


def _budget(profile: Profile, condition: Condition, segment: int) -> Budget:
    if segment == _WHOLE:
        return profile.total_of(condition)
    return profile.budgets_of(condition)[segment]


def _color(index: int) -> str:
    return _COLORS[index % len(_COLORS)]


def _page(found: Sequence[Measured]) -> str:
    known = [(item.task.name, item.profile) for item in found if item.profile is not None]
    parts = [_section(item) for item in found]
    if has_pairs(known):
        picture = base64.b64encode(_png((), known)).decode()
        parts.append(
            "<h2>With each other</h2><p class=small>Each row is a network: alone, right after each "
            "other network on its lane, and while each runs on another lane. In a cell: median and "
            "slowest run, in medians of its runs alone.</p>"
            f'<img alt="networks with each other" src="data:image/png;base64,{picture}">'
        )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>WCET profiles</title>'
        "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:1300px;margin:2em auto;"
        "padding:0 1em;color:#222}table{border-collapse:collapse;margin:1em 0}"
        "td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}"
        "td:first-child,th:first-child{text-align:left}img{width:100%}"
        ".small{color:#666;font-size:13px}.problem{color:#b22}</style>"
        "<h1>WCET profiles</h1><p class=small>Left: how many runs took how long (log scale). "
        "Middle: the fraction of runs that were slower (log scale); a dashed line is the fitted "
        "tail, a dotted one its 95 % bound. Right: every run in order. Red: the budget.</p>"
        + "".join(parts)
        + "</html>\n"
    )


def _section(item: Measured) -> str:
    name, profile = escape(item.task.name), item.profile
    if profile is None:
        return f"<h2>{name}</h2><p class=problem>{escape(item.problem)}</p>"
    picture = base64.b64encode(_png(_rows(item.task.name, profile))).decode()
    problem = f"<p class=problem>{escape(item.problem)}</p>" if item.problem else ""
    machine: dict[str, Any] = dict(profile.batches[-1].machine)
    facts = "; ".join(f"{escape(key)} {escape(str(value))}" for key, value in machine.items())
    return (
        f"<h2>{name}</h2>{problem}<p>{escape(item.sentence)}</p>"
        f'<img alt="profile of {name}" src="data:image/png;base64,{picture}">'
        f"{_table(profile)}"
        f"<p class=small>{escape(profile.key.device)}; model {profile.model_digest[:16]}; {facts}"
        "</p>"
    )


def _table(profile: Profile) -> str:
    head = "<tr><th>condition<th>runs<th>p50<th>p99<th>p99.9<th>max<th>budget (ms)</tr>"
    rows = []
    for condition in profile.conditions:
        times = "".join(f"<td>{value:.3f}" for value in fastest_to_slowest(profile, condition))
        budgets = profile.budgets_of(condition)
        whole = profile.total_of(condition)
        rows.append(
            f"<tr><td>{escape(condition.label)}<td>{len(profile.of(condition))}{times}"
            f"<td>{whole.value_ns / 1e6:.3f}</tr>"
        )
        if condition.neighbour is not None and condition != profile.deciding_total()[0]:
            continue
        if len(budgets) > 1:
            rows.append(_explained("all of one run", whole))
        rows += [
            _explained(f"segment {number}" if len(budgets) > 1 else "", found)
            for number, found in enumerate(budgets, 1)
        ]
    return f"<table>{head}{''.join(rows)}</table>"


def _explained(of: str, found: Budget) -> str:
    text = f"{of}: {found.sentence}" if of else found.sentence
    if found.no_tail and found.tests is not None and found.tests.passed:
        text += f"; no tail was fitted: {found.no_tail}"
    return f'<tr class=small><td colspan=7 style="text-align:left">{escape(text)}</tr>'
