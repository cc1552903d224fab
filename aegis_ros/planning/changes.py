"""Applies changes, as they are typed, to a set of tasks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from aegis_ros.analysis import POLICIES, AnalysisTask
from aegis_ros.errors import ConfigError
from aegis_ros.planning.generator import Generator
from aegis_ros.planning.generator_entry import SETTINGS, with_setting
from aegis_ros.planning.task_set import TaskSet, new_task
from aegis_ros.spec import MAX_DECIMATION, Criticality

__all__ = ["changed"]

_FIELDS = (
    "period_ms",
    "deadline_ms",
    "jitter_ms",
    "segments_ms",
    "high_segments_ms",
    "total_ms",
    "high_total_ms",
    "wcet_ms",
    "criticality",
    "lane",
    "copies",
    "max_decimation",
)
_RENAMED = {"thin_to": "max_decimation"}
_OF_THE_SET = ("policy", "switch_us")


def changed(
    asked: TaskSet, *, add: Sequence[str], drop: Sequence[str], change: Sequence[str]
) -> TaskSet:
    """Return the set with tasks dropped, then values set, then tasks added.

    Args:
        asked: the set; it stays as it is.
        add: tasks as typed, ``name=x,period_ms=50,segments_ms=3;4``.
        drop: names, of generators too.
        change: as typed, ``task.period_ms=50``, ``policy=cw_edf``.

    Raises:
        ConfigError: a change is not valid; names which.
    """
    result = asked
    for name in drop:
        if any(each.name == name for each in result.generators):
            kept = tuple(each for each in result.generators if each.name != name)
            result = replace(result, generators=kept)
            continue
        task = _task_named(result, name, "--drop")
        result = replace(result, tasks=tuple(item for item in result.tasks if item is not task))
    for text in change:
        result = _with_value(result, text)
    for text in add:
        added = new_task(_fields_of(text), result.lanes, "--add")
        result = replace(result, tasks=(*result.tasks, *added))
        _require_unique(result, "--add")
    if not result.tasks:
        raise ConfigError("no task is left", where="--drop", expected="at least one")
    return result


def _fields_of(text: str) -> dict[str, Any]:
    """Return the fields of a task written as name=x,period_ms=50,segments_ms=3;4."""
    fields: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = (item.strip() for item in part.partition("="))
        if not equals or not key or not value:
            raise ConfigError(
                "not a task",
                where="--add",
                value=part,
                expected="key=value pairs separated by commas, segments by semicolons, such as "
                "'name=x,period_ms=50,segments_ms=3;4'",
            )
        if key in fields:
            raise ConfigError("the key stands twice", where="--add", value=key)
        fields[key] = _typed(key, value, "--add")
    return fields


def _typed(key: str, value: str, where: str) -> Any:
    """Return a number, a list of numbers or the text, as the field wants it."""
    if key in ("segments_ms", "high_segments_ms"):
        parts = [part for part in re.split(r"[;\s]+", value.strip("[] ")) if part]
        return [_number(part, f"{where} {key}") for part in parts]
    if key in ("copies", "max_decimation"):
        number = _number(value, f"{where} {key}")
        if number != int(number):
            raise ConfigError("not a whole number", where=f"{where} {key}", value=value)
        return int(number)
    return _number(value, f"{where} {key}") if key.endswith(("_ms", "_us")) else value


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise ConfigError("not a number", where=where, value=text, expected="such as 12.5")
    return number


def _with_value(asked: TaskSet, text: str) -> TaskSet:
    target, equals, value = (item.strip() for item in text.partition("="))
    if not equals or not value:
        raise ConfigError(
            "not a change", where="--set", value=text, expected="such as task.period_ms=50"
        )
    if "." not in target:
        return _with_setting(asked, target, value)
    name, _, field = target.rpartition(".")
    generator = next((each for each in asked.generators if each.name == name), None)
    if generator is not None:
        return _with_generator(asked, generator, field, value)
    field = _RENAMED.get(field, field)
    task = _task_named(asked, name, "--set")
    if field not in _FIELDS:
        raise ConfigError(
            "unknown field",
            where=f"--set {target}",
            value=field,
            expected="one of " + ", ".join(_FIELDS),
            hint=_did_you_mean(field, _FIELDS),
        )
    if field == "max_decimation":
        return _with_max_decimation(asked, task, _typed(field, value, f"--set {name}."))
    made = _with_field(asked, task, field, _typed(field, value, f"--set {name}."), text=value)
    at = asked.tasks.index(task)
    result = replace(asked, tasks=(*asked.tasks[:at], *made, *asked.tasks[at + 1 :]))
    _require_unique(result, "--set")
    return result


def _with_generator(asked: TaskSet, generator: Generator, field: str, text: str) -> TaskSet:
    where = f"--set {generator.name}.{field}"
    if field not in SETTINGS:
        raise ConfigError(
            "unknown field of a generator",
            where=where,
            value=field,
            expected="one of " + ", ".join(SETTINGS),
            hint=_did_you_mean(field, SETTINGS),
        )
    number = _number(text, where)
    value = int(number) if number == int(number) else number
    made = with_setting(generator, field, value, where)
    kept = tuple(made if each is generator else each for each in asked.generators)
    return replace(asked, generators=kept)


def _with_max_decimation(asked: TaskSet, task: AnalysisTask, value: int) -> TaskSet:
    low = task.criticality is Criticality.LOW
    if not 1 <= value <= MAX_DECIMATION or (value > 1 and not low):
        raise ConfigError(
            "out of range",
            where=f"--set {task.name}.max_decimation",
            value=value,
            expected=f"1 to {MAX_DECIMATION}" if low else f"1 for criticality {task.criticality}",
        )
    return replace(asked, max_decimation={**asked.max_decimation, task.name: value})


def _with_setting(asked: TaskSet, key: str, value: str) -> TaskSet:
    if key == "policy":
        policy = next((known for known in POLICIES if known == value), None)
        if policy is not None:
            if asked.generators and policy != "edf":
                raise ConfigError(
                    "generators are tested under the policy edf",
                    where="--set policy",
                    value=value,
                    expected="edf, or each of them dropped",
                )
            return replace(asked, policy=policy)
        raise ConfigError(
            "there is no such policy",
            where="--set policy",
            value=value,
            expected="one of " + ", ".join(POLICIES),
            hint=_did_you_mean(value, POLICIES),
        )
    if key == "switch_us":
        number = _number(value, "--set switch_us")
        if not 0.0 <= number <= 1e6:
            raise ConfigError(
                "out of range", where="--set switch_us", value=value, expected="0 to 1000000"
            )
        return replace(asked, switch_ns=-(-round(number * 1e6) // 1000))
    raise ConfigError(
        "unknown setting",
        where="--set",
        value=key,
        expected="TASK.FIELD, or one of " + ", ".join(_OF_THE_SET),
        hint=_did_you_mean(key, _OF_THE_SET),
    )


def _with_field(
    asked: TaskSet, task: AnalysisTask, field: str, value: Any, *, text: str
) -> tuple[AnalysisTask, ...]:
    """Return the task with one field changed, held to what a file is held to."""
    free_ns = asked.kept_free_ns.get(task.name, 0)
    fields: dict[str, Any] = {
        "name": task.name,
        "period_ms": task.period_ns / 1e6,
        "deadline_ms": (task.deadline_ns + free_ns) / 1e6,
        "jitter_ms": task.jitter_ns / 1e6,
        "segments_ms": [part / 1e6 for part in task.segments_ns],
        "criticality": str(task.criticality),
        "lane": task.lane,
    }
    if task.high_segments_ns:
        fields["high_segments_ms"] = [part / 1e6 for part in task.high_segments_ns]
    # Those of other segments are not those of these.
    if task.total_ns and field not in ("segments_ms", "wcet_ms"):
        fields["total_ms"] = task.total_ns / 1e6
    if task.high_total_ns and field not in ("segments_ms", "wcet_ms", "high_segments_ms"):
        fields["high_total_ms"] = task.high_total_ns / 1e6
    # A deadline that equals the period was most likely not declared, and moves with it.
    if field == "period_ms" and task.deadline_ns + free_ns == task.period_ns:
        fields["deadline_ms"] = value
    if field == "wcet_ms":
        if not value > 0.0:
            raise ConfigError(
                "out of range", where=f"--set {task.name}.wcet_ms", value=text,
                expected="a number above 0",
            )  # fmt: skip
        share = value * 1e6 / task.work_ns
        fields["segments_ms"] = [max(1e-6, part * share / 1e6) for part in task.segments_ns]
        if task.total_ns:
            parts = [ceil(part * share) for part in task.segments_ns]
            fields["segments_ms"] = [part / 1e6 for part in parts]
            fields["total_ms"] = min(sum(parts), max(ceil(value * 1e6), *parts)) / 1e6
    else:
        fields[field] = value
    if task.high_segments_ns and field in ("segments_ms", "wcet_ms"):
        fields["high_segments_ms"] = _in_ratio(task, fields["segments_ms"])
    if field == "criticality" and value != Criticality.HIGH:
        fields.pop("high_segments_ms", None)
        fields.pop("high_total_ms", None)
    made = new_task(fields, asked.lanes, f"--set {task.name}.{field}")
    if not free_ns:
        return made
    return tuple(replace(item, deadline_ns=item.deadline_ns - free_ns) for item in made)


def _in_ratio(task: AnalysisTask, parts: Sequence[float]) -> list[float]:
    """Return high budgets in their old ratio to the others; they may be set afterwards."""
    ratios = [high / low for high, low in zip(task.high_segments_ns, task.segments_ns, strict=True)]
    if len(parts) != len(ratios):
        ratios = [sum(task.high_segments_ns) / sum(task.segments_ns)] * len(parts)
    return [max(1.0, ratio) * part for part, ratio in zip(parts, ratios, strict=True)]


def _task_named(asked: TaskSet, name: str, where: str) -> AnalysisTask:
    names = [task.name for task in asked.tasks]
    found = next((task for task in asked.tasks if task.name == name), None)
    if found is None:
        shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        raise ConfigError(
            "there is no such task",
            where=where,
            value=name,
            expected=f"one of {shown}" if names else "nothing: no task is left",
            hint=_did_you_mean(name, names),
        )
    return found


def _require_unique(asked: TaskSet, where: str) -> None:
    seen = {each.name for each in asked.generators}
    for task in asked.tasks:
        if task.name in seen:
            raise ConfigError(
                "the name is taken", where=where, value=task.name, expected="a name of its own"
            )
        seen.add(task.name)


def _did_you_mean(value: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""
