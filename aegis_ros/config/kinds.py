"""Says what a file is that was given in place of another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aegis_ros.errors import ConfigError

__all__ = ["Kind", "refuse_other_kind", "use_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of YAML file that people keep beside the others.

    Attributes:
        words: what it is.
        use: what it is for.
        fits: whether a file's top level is that of one.
    """

    words: str
    use: str
    fits: Callable[[Mapping[str, Any]], bool]


def _has(*keys: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda values: bool(set(keys) & values.keys())


def _has_task_with(key: str) -> Callable[[Mapping[str, Any]], bool]:
    def fits(values: Mapping[str, Any]) -> bool:
        tasks = values.get("tasks")
        return isinstance(tasks, list) and any(
            isinstance(task, dict) and key in task for task in tasks
        )

    return fits


def _has_parameters(values: Mapping[str, Any]) -> bool:
    return any(isinstance(node, dict) and "ros__parameters" in node for node in values.values())


_KINDS = (
    Kind(
        "a list of recordings for the replay node",
        "Play it with `ros2 launch aegis_ros replay.launch.py config:=FILE`; deadlines stand in "
        "the orchestrator's file",
        _has("sources"),
    ),
    Kind(
        "a bare set of tasks, without networks",
        "`aegis check`, `aegis simulate` and `aegis whatif` read it; an orchestrator needs tasks "
        "with a model and an input (docs/config.md)",
        _has_task_with("segments_ms"),
    ),
    Kind(
        "the configuration of an orchestrator",
        "Start it with `ros2 launch aegis_ros orchestrator.launch.py config:=FILE`",
        lambda values: _has("device", "models")(values) or _has_task_with("model")(values),
    ),
    Kind(
        "a file of ROS parameters",
        "A node gets it with --ros-args --params-file FILE; the orchestrator's file is named there "
        "as its parameter config",
        _has_parameters,
    ),
    Kind("a launch file", "Start it with `ros2 launch FILE`", _has("launch")),
)
_USES = {
    ".onnx": "This is a network: `aegis inspect FILE` prints a configuration to start from",
    ".mcap": "This is a trace: `aegis explain FILE` reads it",
}


def refuse_other_kind(values: Mapping[str, Any], own: Collection[str], source: str) -> None:
    """Refuse a file that is of another kind, before each of its keys is called unknown.

    Args:
        values: of the file.
        own: keys at the top of a file of the kind that was asked for. With one of them it may be
            one; a set of tasks without networks is none where ``segments_ms`` means nothing, which
            is where ``models`` is among them.
        source: its name.

    Raises:
        ConfigError: says what it is, and what it is for.
    """
    bare = _KINDS[1].fits(values) and not _KINDS[2].fits(values) and "models" in own
    if set(own) & values.keys() and not bare:
        return
    for kind in _KINDS:
        if kind.fits(values):
            raise ConfigError(
                f"this is {kind.words}",
                where=source,
                expected="a file with the keys " + ", ".join(own),
                hint=kind.use.replace("FILE", source),
            )


def use_of(name: str) -> str:
    """Return what a file that is no text is, and what reads it; empty where its name says nothing.

    Args:
        name: of the file.
    """
    suffix = name[name.rfind(".") :].lower()
    return _USES.get(suffix, "").replace("FILE", name)
