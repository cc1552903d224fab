"""Tells what `aegis profile` found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from aegis_ros.cli.profile_pairs import print_pairs
from aegis_ros.spec import TaskSpec
from aegis_ros.wcet import RANDOM, Budget, Cache, Condition, Profile, Stress

__all__ = ["Measured", "as_json", "fastest_to_slowest", "print_answer"]

_QUANTILES = (0.5, 0.99, 0.999, 1.0)
_LEAST_NAME = 7
_COLUMNS = ("task", "load", "caches", "runs", "p50", "p99.9", "max", "budget", "iid")


@dataclass(frozen=True)
class Measured:
    """What is known of one task.

    Attributes:
        task: the task.
        profile: all that was measured, ``None`` for nothing.
        problem: why not all that was asked for was measured; else empty.
    """

    task: TaskSpec
    profile: Profile | None
    problem: str = ""

    @property
    def sentence(self) -> str:
        """The result for people."""
        if self.problem or self.profile is None:
            return self.problem
        condition, found = self.profile.deciding_total()
        total = self.profile.total_ns() / 1e6
        share = total * 1e6 / self.task.period_ns
        text = f"{self.task.name} was measured: budget {total:.2f} ms, {share:.1%} of its period"
        if self.profile.segments > 1:
            apart = sum(part.value_ns for part in self.profile.budgets()) / 1e6
            count = self.profile.segments
            text += f", in {count} segments whose budgets add up to {apart:.2f} ms"
        if len(self.profile.conditions) == 1:
            return f"{text}; {found.sentence}"
        text = f"{text}; worst condition: {condition.label}; {found.sentence}"
        warm = max(len(self.profile.of(each)) for each in self.profile.conditions)
        if condition.cache is Cache.COLD and found.runs < warm:
            text += f". --cold-runs {warm} measures as many of these as with warm caches"
        return text


def fastest_to_slowest(profile: Profile, condition: Condition) -> tuple[float, ...]:
    """Return p50, p99, p99.9 and the largest time of the whole network, in milliseconds."""
    total = profile.of(condition).sum(axis=1)
    return tuple(float(value) / 1e6 for value in np.quantile(total, _QUANTILES))


def as_json(item: Measured) -> dict[str, Any]:
    """Return one task's answer; times in milliseconds."""
    task, profile = item.task, item.profile
    if profile is None:
        return {"task": task.name, "measured": False, "runs": 0, "sentence": item.problem}
    total = profile.samples_ns.sum(axis=1)
    warm = [len(profile.of(each)) for each in profile.conditions if each.cache is Cache.WARM]
    last = profile.batches[-1]
    return {
        "task": task.name,
        "measured": not item.problem,
        "runs": min(warm, default=0),
        "p50_ms": float(np.median(total)) / 1e6,
        "max_ms": int(total.max()) / 1e6,
        "wcet_ms": profile.total_ns() / 1e6,
        "sum_of_segments_ms": sum(found.value_ns for found in profile.budgets()) / 1e6,
        "sentence": item.sentence,
        "conditions": [_condition(profile, each) for each in profile.conditions],
        "network": profile.key.network,
        "model_sha256": profile.model_digest,
        "backend": profile.key.backend,
        "device": profile.key.device,
        "measured_at": datetime.fromtimestamp(last.measured_at_ns / 1e9, UTC).isoformat(),
        "machine": dict(last.machine),
    }


def print_answer(console: Console, found: Sequence[Measured]) -> None:
    """Print a table with a row for each condition, and a sentence for each task."""
    table = Table(
        title="WCET profiles (ms)", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for name in _COLUMNS:
        left = name in ("task", "load", "caches", "iid")
        names = name in ("task", "load", "caches")  # may be long, and are folded then
        table.add_column(
            name,
            justify="left" if left else "right",
            no_wrap=not names,
            overflow="fold",
            min_width=_LEAST_NAME if names else None,
        )
    for item in found:
        if item.profile is not None:
            _add_rows(table, item.task, item.profile)
    if table.row_count:
        console.print(table)
    known = [(item.task.name, item.profile) for item in found if item.profile is not None]
    print_pairs(console, known)
    for item in found:
        style = "red" if item.problem else ""
        # A terminal breaks words; what is read by a program stays one line.
        whole = not console.is_terminal
        console.print(item.sentence, style=style, highlight=False, soft_wrap=whole)


def _add_rows(table: Table, task: TaskSpec, profile: Profile) -> None:
    worst = max(_whole(profile, each) for each in profile.conditions)
    for index, condition in enumerate(_rows(profile)):
        middle, _, high, largest = fastest_to_slowest(profile, condition)
        budget = _whole(profile, condition)
        decides = budget == worst and len(profile.conditions) > 1
        table.add_row(
            "" if index else task.name,
            _load(condition),
            _caches(condition),
            str(len(profile.of(condition))),
            f"{middle:.2f}",
            f"{high:.2f}",
            f"{largest:.2f}",
            f"[bold]{budget / 1e6:.2f}[/bold]" if decides else f"{budget / 1e6:.2f}",
            _iid(profile.total_of(condition)),
        )
    if profile.segments > 1:
        for number, (condition, found) in enumerate(profile.deciding(), start=1):
            table.add_row(
                f"  segment {number}",
                _load(condition),
                _caches(condition),
                str(found.runs),
                "",
                "",
                f"{found.largest_ns / 1e6:.2f}",
                f"{found.value_ns / 1e6:.2f}",
                _iid(found),
            )


def _rows(profile: Profile) -> list[Condition]:
    """Return all conditions, of those with a neighbour the worst only: they have a table."""
    found = [each for each in profile.conditions if each.neighbour is None]
    others = [each for each in profile.conditions if each.neighbour is not None]
    if others:
        found.append(max(others, key=lambda each: _whole(profile, each)))
    return found


def _load(condition: Condition) -> str:
    fed = "" if condition.inputs == RANDOM else f", {condition.inputs}"
    if condition.neighbour is not None:
        return f"{condition.neighbour.place}{fed}"
    return ("alone" if condition.stress is Stress.NONE else str(condition.stress)) + fed


def _caches(condition: Condition) -> str:
    other = condition.neighbour
    if other is None:
        return str(condition.cache)
    return f"{other.name} ({other.lane})" if other.lane else other.name


def _whole(profile: Profile, condition: Condition) -> int:
    return profile.total_of(condition).value_ns


def _iid(found: Budget) -> str:
    if found.tests is None:
        return "?"
    return "yes" if found.tests.passed else "no"


def _condition(profile: Profile, condition: Condition) -> dict[str, Any]:
    middle, high, higher, largest = fastest_to_slowest(profile, condition)
    budgets = profile.budgets_of(condition)
    return {
        **condition.to_json(),
        "runs": len(profile.of(condition)),
        "p50_ms": middle,
        "p99_ms": high,
        "p999_ms": higher,
        "max_ms": largest,
        "wcet_ms": _whole(profile, condition) / 1e6,
        "whole": _segment(profile.total_of(condition)),
        "segments": [_segment(found) for found in budgets],
    }


def _segment(found: Budget) -> dict[str, Any]:
    return {
        "wcet_ms": found.value_ns / 1e6,
        "max_ms": found.largest_ns / 1e6,
        "tolerance_ms": found.tolerance_ns / 1e6 or None,
        "pwcet_ms": found.pwcet_ns / 1e6 or None,
        "pwcet_exceedance": found.target,
        "quantile": found.quantile,
        "confidence": found.confidence,
        "ljung_box_p": found.tests.ljung_box_p if found.tests else None,
        "runs_test_p": found.tests.runs_p if found.tests else None,
        "halves_p": found.tests.halves_p if found.tests else None,
        "iid": found.tests.passed if found.tests else None,
        "no_tail": found.no_tail,
        "sentence": found.sentence,
    }
