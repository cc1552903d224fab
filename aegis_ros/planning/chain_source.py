"""Refuses a chain behind a task whose results cannot choose crops."""

from __future__ import annotations

from aegis_ros.decoders import box_decoders, finds_boxes
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import Rule
from aegis_ros.spec import TaskSpec

__all__ = ["require_boxes"]


def require_boxes(first: TaskSpec, where: str) -> None:
    """Pass if the results of a task can choose crops for another one.

    Args:
        first: the task that triggers the other one.
        where: key that names it.

    Raises:
        ConfigError: its decoder finds no boxes, as far as it says what it finds.
    """
    if finds_boxes(first.output.decoder) is False:
        raise ConfigError(
            f"results of {first.name} hold no boxes that choose crops",
            where=where,
            value=f"{first.name} with decoder {first.output.decoder}",
            expected=f"a task with decoder {', '.join(box_decoders())}, or one of your own that "
            "returns Detections or TextRegions",
            rule=Rule.DECODER,
        )
