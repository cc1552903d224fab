"""Translates what pydantic says of a mistake: where it is, what was expected, how to fix it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from aegis_ros.config.patterns import in_words
from aegis_ros.config.renamed import present_name
from aegis_ros.errors import ConfigError

__all__ = ["NoEffect", "Unfit", "explain", "read_as", "suggest"]

_Model = TypeVar("_Model", bound=BaseModel)

_MOST_MISTAKES = 20  # that are explained; whoever mends them sees the next ones
_TYPES = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "bytes_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}  # by pydantic's name of the mistake, what was expected


class Unfit(ValueError):
    """A mistake that a model finds in its keys, with the place below it.

    Args:
        problem: what is wrong.
        path: keys from the model to the value.
        value: the offending value.
        expected: what would have been accepted.
        hint: what to do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: tuple[str, ...] = (),
        value: object = None,
        expected: str = "",
        hint: str = "",
    ) -> None:
        """Keep the parts."""
        super().__init__(problem)
        self.path = path
        self.value = value
        self.expected = expected
        self.hint = hint


class NoEffect(Unfit):
    """A key that is given and would have no effect beside the others."""


def read_as(model: type[_Model], data: bytes) -> _Model:
    """Return what JSON from a stranger holds, as a model.

    Raises:
        ConfigError: names every field that is wrong.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise explain(error, model, None, "", lines={}) from error


def explain(
    error: ValidationError,
    model: type[BaseModel],
    values: Any,
    source: str,
    *,
    lines: Mapping[tuple[Any, ...], int],
) -> ConfigError:
    """Return the error that lists every mistake with its place, value and how to fix it.

    Args:
        error: what pydantic said.
        model: what was asked to validate.
        values: what it validated.
        source: name of the file; may be empty.
        lines: from :func:`read_yaml`.
    """
    parts = []
    count = error.error_count()
    for item in error.errors(include_url=False)[:_MOST_MISTAKES]:
        unfit = item.get("ctx", {}).get("error")
        path = tuple(item["loc"])
        if isinstance(unfit, Unfit):
            path = (*path, *unfit.path)
        line = next(
            (lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None
        )
        place = _path_text(path[:-2] if path[-1:] == ("[key]",) else path)
        where = f"{source}:{line}" if line is not None else source
        where = ": ".join(filter(None, (where, place)))
        parts.append((where, *_problem(item, model, path)))
    first = parts[0]
    if count == 1:
        return ConfigError(
            first[1], where=first[0], value=first[2], expected=first[3], hint=first[4]
        )
    texts = [
        str(ConfigError(problem, where=where, value=value, expected=expected, hint=hint))
        for where, problem, value, expected, hint in parts
    ]
    more = f"\n  and {count - len(parts)} more" if count > len(parts) else ""
    return ConfigError(f"{count} mistakes:\n  " + "\n  ".join(texts) + more, where=source)


def _problem(
    item: Any, model: type[BaseModel], path: tuple[Any, ...]
) -> tuple[str, object, str, str]:
    """Return (problem, value, expected, hint) of one pydantic error."""
    kind, context = item["type"], item.get("ctx", {})
    value = item["input"]
    shown: object = None if isinstance(value, (dict, list)) else repr(value)
    if path[-1:] == ("[key]",):
        _, _, expected, hint = _problem(item, model, path[:-1])
        return "a name in it is not valid", repr(value), expected, hint
    if kind == "extra_forbidden":
        present = present_name(str(path[-1]))
        if present:
            problem = f"the old name of {present}, which is given with another value"
            return problem, shown, "one of them", f"Remove {path[-1]}"
        known = _fields(model, path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]!r}?" if close else "Remove it"
        return "unknown key", None, "one of " + ", ".join(known), hint
    if kind == "missing" and isinstance(path[-1], int):
        return "too few values", value, "a value for every dimension", ""
    if kind == "missing":
        return "missing", None, "a value", f"Add the key {path[-1]!r}"
    if kind == "value_error" and isinstance(context["error"], Unfit):
        unfit = context["error"]
        return str(unfit), _shown(unfit.value), unfit.expected, unfit.hint
    if kind == "value_error":
        problem, _, expected = str(context["error"]).partition(": expected ")
        if not expected and problem.startswith("expected "):
            problem, expected = "not valid", problem.removeprefix("expected ")
        return problem, shown, expected, ""
    if kind == "enum":
        hint = suggest(
            str(value), [part.strip("' ") for part in re.split(",| or ", context["expected"])]
        )
        return "not valid", shown, context["expected"], hint.strip(" ()").capitalize()
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        hint = suggest(str(value), known).strip(" ()").capitalize()
        return "not valid", shown, context["expected"], hint
    if kind in ("too_short", "too_long"):
        least = kind == "too_short"
        count = context["min_length" if least else "max_length"]
        items = "item" if count == 1 else "items"
        # Of a mapping, pydantic stops counting where it is too long.
        found = f"{context['actual_length'] or len(value)} of them"
        return "not valid", found, f"at {'least' if least else 'most'} {count} {items}", ""
    if kind == "string_pattern_mismatch":
        return "not valid", shown, in_words(context["pattern"]), ""
    if kind in ("string_too_short", "string_too_long"):
        least = kind == "string_too_short"
        count = context["min_length" if least else "max_length"]
        characters = "character" if count == 1 else "characters"
        limit = f"text of at {'least' if least else 'most'} {count} {characters}"
        return "not valid", f"{len(value)} characters" if value else shown, limit, ""
    bounds = {
        "greater_than": "a number above {gt:.15g}",
        "greater_than_equal": "a number of at least {ge:.15g}",
        "less_than_equal": "a number of at most {le:.15g}",
    }
    if kind in bounds:
        return "out of range", shown, bounds[kind].format(**context), ""
    if kind == "finite_number" or (isinstance(value, float) and not math.isfinite(value)):
        return "not a number that can be used", shown, "a finite number", ""
    if kind == "model_type" and isinstance(value, str):
        found = _model_at(model, path)
        key = "" if not path or isinstance(path[-1], int) else str(path[-1])
        # Only keys of files have words in place of mappings.
        hint = found.in_place_of(key, value) if hasattr(found, "in_place_of") else ""
        return "not valid", shown, _TYPES[kind], hint
    if kind in _TYPES:
        return "not valid", shown, _TYPES[kind], ""
    if kind == "json_invalid":  # all of it is the value
        return f"no JSON: {context['error']}", None, "", ""
    message = str(item["msg"]).removeprefix("Input should be ")
    return "not valid", shown, message[:1].lower() + message[1:], ""


def _shown(value: object) -> object:
    """Return a value of a model as it stands in a file; ``None`` for a mapping."""
    if isinstance(value, BaseModel):
        return None
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _fields(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Return the known keys of the mapping at a path."""
    return sorted(getattr(_model_at(model, path), "model_fields", {}))


def _model_at(model: type[BaseModel], path: tuple[Any, ...]) -> Any:
    """Return the model of the mapping at a path; ``None`` where there is none."""
    current: Any = model
    named = False  # whether the next part is a name of the user's
    for part in path:
        if isinstance(part, int) or named:
            named = False
            continue
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return None
        annotation = field.annotation
        named = getattr(annotation, "__origin__", None) is dict
        inside = (annotation, *getattr(annotation, "__args__", ()))
        current = next((each for each in inside if hasattr(each, "model_fields")), None)
    return current


def _path_text(path: tuple[Any, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def suggest(value: str, known: Sequence[str]) -> str:
    """Return the nearest known word as a question in parentheses; empty where none is near."""
    close = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
