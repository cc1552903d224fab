"""Reads YAML without its surprises, and notes the line each value begins at."""

from __future__ import annotations

from typing import Any

import yaml

from aegis_ros.errors import ConfigError

__all__ = ["read_yaml"]


class _Reader(yaml.SafeLoader):
    """Plain YAML without the parts that surprise: no aliases, no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, "aliases (*name) are not allowed here", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # the library reads what a tag says (!!int '') without care
            raise yaml.constructor.ConstructorError(
                None, None, f"this is no value ({type(error).__name__}: {error})", node.start_mark
            ) from error


def read_yaml(
    text: str, source: str, expected: str = "keys device, models and tasks"
) -> tuple[Any, dict[tuple[Any, ...], int]]:
    """Return the mapping a text holds, and the line each path in it begins at.

    Raises:
        ConfigError: it is not YAML, uses aliases or a key twice, or is not a mapping.
    """
    lines: dict[tuple[Any, ...], int] = {}
    loader: _Reader | None = None
    try:
        loader = _Reader(text)
        node = loader.get_single_node()
        if node is None:
            return {}, lines
        _note_lines(node, (), lines)
        values = loader.construct_document(node)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source}:{mark.line + 1}" if mark is not None else source
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"not valid YAML: {problem}",
            where=place,
            hint="Check indentation and punctuation there",
        ) from None
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(values, dict):
        raise ConfigError(
            "not a mapping",
            where=source,
            value=type(values).__name__,
            expected=expected,
        )
    return values, lines


def _note_lines(node: yaml.Node, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} stands twice", key.start_mark
                )
            seen.add(name)
            _note_lines(value, (*path, name), lines)
            lines[(*path, name)] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*path, index), lines)
