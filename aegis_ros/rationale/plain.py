"""Reasons as plain data that JSON can hold, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from aegis_ros.rationale import (
    adaptation,
    admission,
    arena,
    budgets,
    changes,
    decimation,
    device,
    engine,
    frames,
    generators,
    jobs,
    lanes,
    memory,
    prompts,
    reason,
    record,
    rejection,
    requests,
    results,
    verdicts,
)
from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Reason

__all__ = ["KINDS", "from_plain", "kind_of", "to_plain"]

_MODULES = (
    adaptation,
    admission,
    arena,
    budgets,
    changes,
    decimation,
    device,
    engine,
    frames,
    generators,
    jobs,
    lanes,
    memory,
    prompts,
    reason,
    record,
    rejection,
    requests,
    results,
    verdicts,
)

# By the annotation of a field, which is a string here.
_ENUMS: Mapping[str, type[Enum]] = {
    "Rule": Rule,
    "Decision": Decision,
    "DecimationCause": decimation.DecimationCause,
}


def kind_of(kind: type) -> str:
    """Return the stable name of a kind of data: ``NewerFrame`` is ``newer_frame``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()


def _kinds() -> dict[str, type]:
    found = {}
    for module in _MODULES:
        for name in module.__all__:
            item = getattr(module, name)
            if isinstance(item, type) and is_dataclass(item):
                found[kind_of(item)] = item
    return found


KINDS: Mapping[str, type] = _kinds()
"""Every kind of data a reason can be or hold, by its stable name."""


def to_plain(item: Any) -> Any:
    """Return data as dicts, lists, strings and numbers; a dataclass names its ``kind``."""
    if is_dataclass(item) and not isinstance(item, type):
        values = {each.name: to_plain(getattr(item, each.name)) for each in fields(item)}
        return {"kind": kind_of(type(item)), **values}
    if isinstance(item, tuple | list):
        return [to_plain(each) for each in item]
    if isinstance(item, Enum):
        return item.value
    return item


def from_plain(item: Mapping[str, Any]) -> Reason | None:
    """Return the reason that :func:`to_plain` made plain; ``None`` for one of another version."""
    try:
        found = _build(item)
    except (KeyError, TypeError, ValueError):
        return None
    return found if isinstance(found, Reason) else None


def _build(item: Any) -> Any:
    if isinstance(item, Mapping):
        values = {name: _build(value) for name, value in item.items() if name != "kind"}
        kind = KINDS[item["kind"]]
        for each in fields(kind):
            enum = _ENUMS.get(str(each.type))
            if enum is not None and each.name in values:
                values[each.name] = enum(values[each.name])
        return kind(**values)
    if isinstance(item, list):
        return tuple(_build(each) for each in item)
    return item
