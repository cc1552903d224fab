"""Reads YAML without its surprises, and notes the line each value begins at."""

from __future__ import annotations

from typing import Any

import yaml

from aegis_ros.config.json_reader import MOST_DEPTH
from aegis_ros.errors import ConfigError

__all__ = ["read_yaml"]

_MOST_CHARACTERS = 1024 * 1024
# Each takes 20 microseconds and 500 bytes to read, so that a text of short ones takes its reader
# seconds: keys and values of 256 tasks are fewer.
_MOST_VALUES = 20_000
_MOST_BITS = 1024  # of a whole number: what a float can hold
_MOST_DIGITS = 1100  # in binary; what has more, to the base of 60, is read in quadratic time
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML has it


class _Reader(_Loader):  # type: ignore[misc]  # one of the two, as above
    """Plain YAML: whatever a tag asks for is either a value or an error with its line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            if node.tag in _NUMBERS and len(node.value) > _MOST_DIGITS:
                raise ValueError("no number is that long")
            value = super().construct_object(node, deep)
            if isinstance(value, int) and value.bit_length() > _MOST_BITS:
                raise ValueError("no key takes it, and its digits cannot be shown")
            return value
        except yaml.YAMLError:
            raise
        except Exception as error:  # the library reads what a tag says (!!int '') without care
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"{str(node.value)[:60]!r} is no {kind}", node.start_mark
            ) from error


def read_yaml(
    text: str,
    source: str,
    expected: str = "keys device, models and tasks",
    *,
    most_characters: int = _MOST_CHARACTERS,
    most_values: int = _MOST_VALUES,
) -> tuple[Any, dict[tuple[Any, ...], int]]:
    """Return the mapping a text holds, and the line each path in it begins at.

    Text from strangers is safe here: its size, its depth, its values and its aliases are looked at
    before anything is built of it, so that what is built is never larger than the text.

    Args:
        text: YAML or JSON.
        source: name of the file or field, for errors.
        expected: what the mapping should hold, for errors.
        most_characters: longest text that is read.
        most_values: how many keys, values, lists and mappings are read.

    Raises:
        ConfigError: it is not YAML, is too long or too deep, has too many values, uses aliases or a
            key twice, or is not a mapping.
    """
    if len(text) > most_characters:
        raise ConfigError(
            "too long",
            where=source,
            value=f"{len(text)} characters",
            expected=f"at most {most_characters}",
        )
    lines: dict[tuple[Any, ...], int] = {}
    try:
        _require_plain(text, most_values)
        loader = _Reader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return {}, lines
            _note_lines(node, (), lines)
            values = loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source}:{mark.line + 1}" if mark is not None else source
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"not valid YAML: {problem}",
            where=place,
            hint="Check indentation and punctuation there",
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(
            "not a mapping",
            where=source,
            value=type(values).__name__,
            expected=expected,
        )
    return values, lines


def _require_plain(text: str, most_values: int) -> None:
    """Refuse what grows when it is built: aliases, which multiply, depth, and many short values."""
    depth = values = 0
    event: Any  # its mark is of one of two types
    for event in yaml.parse(text, Loader=_Loader):
        problem = ""
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases (*name) are not allowed here"
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                problem = f"more than {MOST_DEPTH} lists and mappings lie inside each other"
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        values += isinstance(event, yaml.NodeEvent)
        if values > most_values:
            problem = f"more than {most_values:,} keys and values"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, event.start_mark)


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
