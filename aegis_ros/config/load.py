"""From a file, its text or one task's mapping to a specification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aegis_ros.config.file_model import Config
from aegis_ros.config.files import read_text
from aegis_ros.config.kinds import refuse_other_kind
from aegis_ros.config.mistakes import NoEffect, explain
from aegis_ros.config.places import Places
from aegis_ros.config.renamed import with_present_names
from aegis_ros.config.several import together
from aegis_ros.config.task_model import Task
from aegis_ros.config.yaml_reader import read_yaml
from aegis_ros.errors import ConfigError
from aegis_ros.spec import OrchestratorSpec, TaskSpec

__all__ = [
    "load_config",
    "parse_config",
    "parse_placed",
    "parse_task",
    "read_config",
    "restored_task",
]


def load_config(path: Path) -> OrchestratorSpec:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, or is not valid; the text names file, line, path, value,
            what was expected and how to fix it, for every mistake found.
    """
    return read_config(path)[0]


def read_config(path: Path) -> tuple[OrchestratorSpec, Places]:
    """Read a configuration file, and where its keys stand; errors as :func:`load_config`."""
    return parse_placed(read_text(path), str(path))


def parse_config(text: str, source: str = "configuration") -> OrchestratorSpec:
    """Validate the text of a configuration file; errors as :func:`load_config`."""
    return parse_placed(text, source)[0]


def parse_placed(text: str, source: str) -> tuple[OrchestratorSpec, Places]:
    """Validate the text of a configuration file, and note where its keys stand."""
    values, lines = read_yaml(text, source)
    refuse_other_kind(values, tuple(Config.model_fields), source)
    try:
        config = Config.model_validate(with_present_names(values, source, lines))
    except ValidationError as error:
        raise explain(error, Config, values, source, lines=lines) from None
    tasks, generators = config.tasks, config.generators
    places = Places(
        source, lines, [task.name for task in tasks], [each.name for each in generators]
    )
    mistakes = [error.at(places.of(error.where)) for error in config.mistakes()]
    if mistakes:
        raise together(mistakes, source)
    return config.to_spec(), places


def parse_task(values: Mapping[str, Any], where: str = "task") -> TaskSpec:
    """Validate one task given as nested mappings, as a service call brings it.

    Raises:
        ConfigError: it is not valid.
    """
    try:
        return _task(values, where)
    except ValidationError as error:
        raise explain(error, Task, values, where, lines={}) from None


def restored_task(values: Mapping[str, Any], where: str) -> tuple[TaskSpec, tuple[str, ...]]:
    """Validate a task that an earlier version wrote out, and what it means is what it meant then.

    Keys without effect are left out: version 0.1 took them and ignored them.

    Returns:
        The task, and the keys that were left out, such as ``preprocess.pad``.

    Raises:
        ConfigError: it is not valid.
    """
    left_out: list[str] = []
    while True:
        try:
            return _task(values, where), tuple(left_out)
        except ValidationError as error:
            path = _without_effect(error)
            if not path or ".".join(path) in left_out:
                raise explain(error, Task, values, where, lines={}) from None
            left_out.append(".".join(path))
            values = _without(values, path)


def _task(values: Mapping[str, Any], where: str) -> TaskSpec:
    if not isinstance(values, Mapping):
        raise ConfigError("not a mapping", where=where, expected="the fields of a task")
    return Task.model_validate(with_present_names(values)).to_spec()


def _without_effect(error: ValidationError) -> tuple[str, ...]:
    """Return the path of the key that has no effect, where that is all that is wrong."""
    found = [item.get("ctx", {}).get("error") for item in error.errors(include_url=False)]
    return found[0].path if len(found) == 1 and isinstance(found[0], NoEffect) else ()


def _without(values: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return nested mappings without one key, which need not be there."""
    kept = dict(values)
    if len(path) == 1:
        kept.pop(path[0], None)
    elif isinstance(kept.get(path[0]), Mapping):
        kept[path[0]] = _without(kept[path[0]], path[1:])
    return kept
