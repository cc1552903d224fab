"""Writes the tables of keys in docs/config.md and docs/check.md from the declarations.

``python -m aegis_ros.config.reference FILE …`` renews every table that stands between a line
``<!-- keys of tasks -->`` and a line ``<!-- end of keys -->``; ``--check`` only says whether all of
them are up to date (exit code 1 if not).
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from aegis_ros.config.file_model import Config
from aegis_ros.config.keys import Shown

__all__ = ["renewed", "renewed_from", "run", "table"]

_TABLE = re.compile(r"(<!-- keys of ([a-z_.]+) -->\n)(?:.*?\n)??(<!-- end of keys -->)", re.DOTALL)
_PATTERN_OF_WORDS = re.compile(r"\^\((\w+(?:\|\w+)+)\)\$")


def renewed(text: str, model: type[BaseModel] = Config) -> str:
    """Return a page with all its tables as the declarations have them.

    Raises:
        KeyError: a table is asked for that no key declares.
    """
    return renewed_from(text, lambda name: table(_inner(model, name.split("."))))


def renewed_from(text: str, made: Callable[[str], str]) -> str:
    """Return a page with what stands between its marks made anew from the name in each mark."""
    return _TABLE.sub(lambda found: f"{found[1]}{made(found[2])}{found[3]}", text)


def table(model: type[BaseModel]) -> str:
    """Return the keys of a mapping as a table in Markdown, nested mappings with dots."""
    lines = ["| key | default | values | meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{path}` | {_default(field)} | {_values(field)} | {field.description} |"
        for path, field in _keys(model, "")
    ]
    return "\n".join(lines) + "\n"


def _keys(model: type[BaseModel], before: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        path = f"{before}{name}"
        if field.description is not None:
            yield path, field
        if inner is not None:
            within = {list: f"{path}[].", dict: f"{path}.NAME."}
            origin: Any = get_origin(field.annotation)
            yield from _keys(inner, within.get(origin, f"{path}."))


def _inner(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    for name in path:
        inner = _model_in(model.model_fields[name].annotation)
        if inner is None:
            raise KeyError(name)
        model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a mapping, or of the mappings of a list."""
    candidates = (annotation, *get_args(annotation))
    return next(
        (kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)),
        None,
    )


def _default(field: FieldInfo) -> str:
    shown = _shown(field)
    if shown is not None:
        return shown.default
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value in (None, "", [], {}):
        return "none"
    return f"`{_as_yaml(value)}`"


def _as_yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_as_yaml(each) for each in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _values(field: FieldInfo) -> str:
    shown = _shown(field)
    if shown is not None and shown.values:
        return shown.values
    limits = _limits(field.annotation) | _limits_of(field.metadata)
    return _kind(field.annotation, limits)


def _kind(annotation: Any, limits: Mapping[str, Any]) -> str:
    """Return in words what a value may be."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0], limits)
    if origin in (Union, types.UnionType):
        return _kind(next(each for each in arguments if each is not type(None)), limits)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _one_of([str(each.value) for each in annotation])
    if annotation is bool:
        return "`true` or `false`"
    if annotation in (int, float):
        return _range("whole number" if annotation is int else "number", limits)
    if origin is Literal:
        return _one_of([str(each) for each in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        low, most = limits.get("min_length", 0), limits.get("max_length")
        return f"list of {low} to {most} numbers"
    if origin is tuple:
        count = {2: "two", 3: "three"}.get(len(arguments), str(len(arguments)))
        each = _kind(arguments[0], _limits(arguments[0]))
        return f"{count} numbers" + ("" if each == "number" else f", {each}")
    if origin is list:
        most = limits.get("max_length")
        if _model_in(annotation) is not None:
            return f"list of {limits.get('min_length', 0)} to {most} mappings"
        return f"list of up to {most}"
    if origin is dict:
        return f"mapping, up to {limits.get('max_length')} entries"
    words = _PATTERN_OF_WORDS.fullmatch(str(limits.get("pattern", "")))
    return _one_of(words[1].split("|")) if words else "text"


def _range(what: str, limits: Mapping[str, Any]) -> str:
    low, high = limits.get("ge"), limits.get("le")
    if low is not None and high is not None:
        return f"{_as_number(low)} to {_as_number(high)}"
    if "gt" in limits and high is not None:
        return f"above {_as_number(limits['gt'])}, to {_as_number(high)}"
    return what


def _as_number(value: float) -> str:
    whole = int(value) == value
    return f"{int(value):,}".replace(",", " ") if whole else f"{value:g}"


def _one_of(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shown(field: FieldInfo) -> Shown | None:
    return next((each for each in field.metadata if isinstance(each, Shown)), None)


def _limits(annotation: Any) -> dict[str, Any]:
    """Return the limits that an annotation carries itself, such as that of an alias."""
    found: dict[str, Any] = {}
    if get_origin(annotation) is Annotated:
        found |= _limits_of(annotation.__metadata__)
    for inner in get_args(annotation):
        if get_origin(inner) is Annotated:
            found |= _limits(inner)
    return found


def _limits_of(metadata: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, FieldInfo):
            found |= _limits_of(item.metadata)
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern"):
            value = getattr(item, name, None)
            if value is not None:
                found[name] = value
    return found


def run(arguments: Sequence[str], renew: Callable[[str], str]) -> int:
    """Renew the pages that arguments name, or check them; return the exit code."""
    check = "--check" in arguments
    stale = []
    for path in (Path(each) for each in arguments if each != "--check"):
        before = path.read_text(encoding="utf-8")
        after = renew(before)
        if after == before:
            continue
        stale.append(str(path))
        if not check:
            path.write_text(after, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'the tables are out of date' if check else 'renewed'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], renewed))
