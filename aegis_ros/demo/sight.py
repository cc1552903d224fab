"""Puts what detectors found into one English sentence, for a language model to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

__all__ = ["sentence_of"]

_MOST_TEXT = 60  # characters of what stands in a picture: it may be a page
_MOST_KINDS = 5  # of things that one detector found


class _Item(msgspec.Struct):
    label: str = ""
    text: str = ""
    distance_m: float = 0.0


class _Found(msgspec.Struct):
    """What this reads of ``InferenceResult.decoded``."""

    kind: str = ""
    items: list[_Item] = []


def sentence_of(decoded: Mapping[str, str]) -> str:
    """Return ``It sees 1 face, 24 obstacles (the …) and …``; empty where nothing is told.

    Args:
        decoded: the latest result of each task as JSON, by its name; what is no such text, or of a
            kind that has no words here, is left out.
    """
    parts = [part for name, text in decoded.items() if (part := _part(name, text))]
    if not parts:
        return ""
    return f"It sees {_listed(parts)}."


def _part(name: str, text: str) -> str:
    try:
        found = msgspec.json.decode(text, type=_Found)
    except msgspec.DecodeError:
        return ""
    items = found.items
    if found.kind in ("detections", "boxes_3d"):
        return _things(items) or f"nothing with its {name.replace('_', ' ')}"
    if found.kind == "obstacles":
        if not items:
            return "no obstacle"
        nearest = min(each.distance_m for each in items)
        return f"{_count(len(items), 'obstacle')} (the nearest {nearest:.1f} m away)"
    if found.kind == "text":
        said = [each.text for each in items if each.text]
        if said:
            return f'the words "{_shortened(" ".join(said))}"'
        return f"{_count(len(items), 'line')} of text"
    if found.kind == "classification" and items and not items[0].label.isdigit():
        return f"that the {name.replace('_', ' ')} is {_shortened(items[0].label)}"
    return ""


def _things(items: list[_Item]) -> str:
    """Return how many there are of each kind, most frequent first."""
    counted = Counter(_shortened(each.label) for each in items)
    return _listed([_count(number, label) for label, number in counted.most_common(_MOST_KINDS)])


def _count(number: int, of: str) -> str:
    if number < 2:
        return f"{number or 'no'} {of}"
    return f"{number} {of}{'es' if of.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def _listed(parts: list[str]) -> str:
    *most, last = parts or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"
