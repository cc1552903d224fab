"""Between a specification and the keys it is declared by, which differ in their units only.

A key and its field have one name, but for the unit at its end: people write ``_ms`` and ``_mib``,
the library counts ``_ns`` and ``_bytes``. What a field is called is said once, in
:mod:`aegis_ros.spec`; every way in and out goes through the two functions below.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, get_args, get_type_hints

__all__ = ["ns", "to_mapping", "to_spec"]

_MIB = 1024 * 1024
_Spec = TypeVar("_Spec")


def ns(milliseconds: float) -> int:
    """Return a time in integer nanoseconds."""
    return round(milliseconds * 1e6)


def to_spec(kind: type[_Spec], declared: object, **given: Any) -> _Spec:
    """Return a specification whose fields are taken from attributes of the same name.

    Args:
        kind: a dataclass of :mod:`aegis_ros.spec`; fields that ``declared`` does not have keep
            their defaults.
        declared: validated model.
        given: fields that are known already.
    """
    assert is_dataclass(kind)
    kinds = get_type_hints(kind)
    values: dict[str, Any] = dict(given)
    for field in fields(kind):
        key = _key(field.name)
        if field.name in given or not hasattr(declared, key):
            continue
        value = getattr(declared, key)
        if value is None:
            values[field.name] = 0 if key != field.name else None
        elif field.name.endswith("_ns"):
            values[field.name] = ns(value)
        elif field.name.endswith("_bytes"):
            values[field.name] = int(value * _MIB)
        else:
            values[field.name] = _as(kinds[field.name], value)
    made: _Spec = kind(**values)
    return made


def to_mapping(spec: object) -> dict[str, Any]:
    """Return a specification as the mapping that declares it; plain JSON."""
    assert is_dataclass(spec)
    values: dict[str, Any] = {}
    for field in fields(spec):
        value = getattr(spec, field.name)
        if field.name.endswith("_ns"):
            value = value / 1e6
        elif field.name.endswith("_bytes"):
            value = value / _MIB
        values[_key(field.name)] = _plain(value)
    return values


def _key(name: str) -> str:
    """Return the key that declares a field."""
    for inside, outside in (("_ns", "_ms"), ("_bytes", "_mib")):
        if name.endswith(inside):
            return name.removesuffix(inside) + outside
    return name


def _as(kind: Any, value: Any) -> Any:
    """Return a declared value as the type of its field wants it."""
    if value is None:
        return None
    arguments = get_args(kind)
    if isinstance(kind, types.UnionType):
        kind = next(each for each in arguments if each is not type(None))
    if is_dataclass(kind):
        return to_spec(kind, value)  # type: ignore[arg-type]
    if isinstance(value, (list, tuple)):
        item = getattr(kind, "__args__", (None,))[0]
        return tuple(_as(item, each) for each in value)
    if isinstance(value, Mapping):
        item = arguments[1] if len(arguments) == 2 else None
        return {key: _as(item, each) for key, each in value.items()}
    return value


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_mapping(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value
