"""Between the message of a task and its specification, field by field.

Fields of the message are the keys of the configuration file. Both ways go through the mapping that
:mod:`aegis_ros.config` reads and writes; what differs is said in one table: mappings travel as
YAML, extents as ``name=value``, and a truth that is on by default as its opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from aegis_ros.config import parse_task, read_yaml, to_mapping
from aegis_ros.errors import ConfigError
from aegis_ros.msg import ModelTask, TaskSource
from aegis_ros.spec import TaskSpec

__all__ = ["task_from_message", "task_to_message"]

_MAX_TEXT = 65_536
_MAX_VALUES = 4_000  # names of classes are the most that anybody needs
_MAX_DIGITS = 9  # of an extent


def task_from_message(message: ModelTask) -> TaskSpec:
    """Validate a task that came through a service.

    Empty strings, empty arrays and zeros mean the default, and are left out.

    Raises:
        ConfigError: it is not valid; the text names the field as in the configuration file.
    """
    values = _values(message, "task")
    if "max_decimation" in values:  # messages of ours have it under both names
        values.pop("thin_to", None)
    return parse_task(values)


def task_to_message(spec: TaskSpec) -> ModelTask:
    """Return the message that :func:`task_from_message` turns into an equal specification."""
    message = ModelTask()
    _fill(message, to_mapping(spec))
    message.thin_to = message.max_decimation
    return message


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field of a message differs from its key.

    Attributes:
        key: of the configuration.
        read: from the field's value and its path; an empty result means the default.
        write: from the key's value.
    """

    key: str
    read: Callable[[Any, str], Any]
    write: Callable[[Any], Any]


def _values(message: Any, path: str) -> dict[str, Any]:
    """Return what a message says, as the mapping of the configuration file."""
    values: dict[str, Any] = {}
    for name in message.get_fields_and_field_types():
        if name in _FLAGS and not getattr(message, _FLAGS[name]):
            if getattr(message, name):
                raise ConfigError(
                    f"has no effect without {_FLAGS[name]}",
                    where=f"{path}.{name}",
                    value=getattr(message, name),
                    hint=f"Set {_FLAGS[name]}: true",
                )
            continue
        value, place = getattr(message, name), f"{path}.{name}"
        special = _FIELDS.get(name)
        if special is not None:
            found = special.read(value, place)
            if found not in ({}, None):
                values[special.key] = found
        elif name in _FLAGS.values():
            continue
        elif hasattr(value, "get_fields_and_field_types"):
            inner = _values(value, place)
            if inner or name not in _OPTIONAL:
                values[name] = inner
        elif not isinstance(value, (str, bool, int, float)):  # an array of numbers or messages
            items = [
                _values(item, f"{place}[{index}]")
                if hasattr(item, "get_fields_and_field_types")
                else item
                for index, item in enumerate(value)
            ]
            if items:
                values[name] = items
        elif value or name in _FLAGS:
            values[name] = value
    return values


def _fill(message: Any, values: Mapping[str, Any]) -> None:
    """Write a mapping of the configuration file into a message."""
    for name in message.get_fields_and_field_types():
        special = _FIELDS.get(name)
        if special is not None:
            setattr(message, name, special.write(values[special.key]))
        elif name in _FLAGS.values():
            setattr(message, name, True)
        elif values.get(name) is not None or (name in values and name not in _OPTIONAL):
            value = values[name]
            inner = getattr(message, name)
            if hasattr(inner, "get_fields_and_field_types"):
                _fill(inner, value)
            else:
                setattr(message, name, [] if value is None else value)


def _mapping(text: str, where: str, example: str) -> dict[str, Any]:
    """Return the mapping that a field holds as YAML."""
    expected = f"YAML such as {example}"
    values, _ = read_yaml(text, where, expected, most_characters=_MAX_TEXT, most_values=_MAX_VALUES)
    return dict(values)


def _mapping_text(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), default_flow_style=True).strip() if values else ""


def _as_yaml(key: str, example: str) -> _Field:
    return _Field(key, lambda text, where: _mapping(text, where, example), _mapping_text)


def _dimensions(items: list[str], where: str) -> dict[str, int]:
    values = {}
    for item in items:
        name, separator, extent = item.rpartition("=")
        if not separator or not name or not extent.isdecimal() or len(extent) > _MAX_DIGITS:
            raise ConfigError("not name=value", where=where, value=item, expected="batch=1")
        if name in values:
            raise ConfigError("the extent stands twice", where=where, value=item)
        values[name] = int(extent)
    return values


# By name of the field; no name has two meanings in the messages of a task.
_FIELDS = {
    "options": _as_yaml("options", "{threshold: 0.5}"),
    "early_exit": _as_yaml("early_exit", "{logits: aux_logits}"),
    "dimensions": _Field(
        "dimensions",
        _dimensions,
        lambda values: [f"{name}={value}" for name, value in values.items()],
    ),
    "omit_tensors": _Field("tensors", lambda omit, _: not omit, lambda tensors: not tensors),
}


def _sources(messages: Any, where: str) -> dict[str, Any]:
    """Return the streams of a network's inputs by name."""
    found: dict[str, Any] = {}
    for index, message in enumerate(messages):
        place = f"{where}[{index}]"
        if message.name in found:
            raise ConfigError("the input stands twice", where=f"{place}.name", value=message.name)
        found[message.name] = {
            **_values(message.stream, f"{place}.stream"),
            "preprocess": _values(message.preprocess, f"{place}.preprocess"),
        }
    return found


def _source_messages(values: Mapping[str, Any]) -> list[TaskSource]:
    messages = []
    for name, source in values.items():
        message = TaskSource(name=name)
        _fill(message.stream, source)
        _fill(message.preprocess, source["preprocess"])
        messages.append(message)
    return messages


# What may be left out as a whole.
_OPTIONAL = ("input", "sync", "trigger", "crops", "invalid")
_FIELDS |= {
    "inputs": _Field("inputs", _sources, _source_messages),
    "timer_period_ms": _Field(
        "timer",
        lambda period_ms, _: {"period_ms": period_ms} if period_ms else None,
        lambda timer: 0.0 if timer is None else timer["period_ms"],
    ),
}

# Fields of which zero is not the default: by name, the field that says whether they are set.
_FLAGS = {"pad": "pad_set"}
