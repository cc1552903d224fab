"""Which decoders find boxes, so that another task can run on the crops they choose."""

from __future__ import annotations

from typing import get_args, get_type_hints

from aegis_ros.decoders.registry import decoder_class, decoder_names
from aegis_ros.decoders.results import Detections, TextRegions

__all__ = ["box_decoders", "finds_boxes"]

_WITH_BOXES = (Detections, TextRegions)


def finds_boxes(name: str) -> bool | None:
    """Return whether results of a decoder hold boxes, by what its ``decode`` says it returns.

    Args:
        name: of the decoder.

    Returns:
        ``None`` where that is not said: a decoder of others need not annotate anything.

    Raises:
        ConfigError: there is no such decoder.
    """
    try:
        result = get_type_hints(decoder_class(name).decode).get("return")
    except (AttributeError, NameError, TypeError):
        return None
    kinds = [kind for kind in (get_args(result) or (result,)) if isinstance(kind, type)]
    if not kinds:
        return None
    return any(issubclass(kind, _WITH_BOXES) for kind in kinds)


def box_decoders() -> tuple[str, ...]:
    """Return the names of all decoders whose results hold boxes, sorted."""
    return tuple(name for name in decoder_names() if finds_boxes(name))
