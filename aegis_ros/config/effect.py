"""Refuses keys that are given and would have no effect: nothing that is declared is ignored.

A key counts as given where its value is not the default: tasks that were written out with all of
their keys (the journal, a status) are still read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from aegis_ros.config.mistakes import NoEffect
from aegis_ros.spec import Criticality, Layout, OverrunPolicy, PreprocessSpec, Resident, ResizeMode

__all__ = ["IMAGE_TYPES", "POINT_TYPES", "check_effect"]

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
POINT_TYPES = ("sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/LaserScan")

_IMAGES = (Layout.NCHW, Layout.NHWC)
_OF_NUMBERS = (ResizeMode.CROP, ResizeMode.PAD, ResizeMode.SAMPLE)
_Path = tuple[str, ...]
# (path of the key, the mapping it stands in, why it has no effect, what to do)
_Idle = tuple[_Path, BaseModel, str, str]


def check_effect(task: Any) -> None:
    """Refuse the first key of a task that is given and has no effect.

    Args:
        task: validated model of a task.

    Raises:
        NoEffect: names the key, its value, why it has no effect and what to do.
    """
    for path, holder, why, hint in _idle(task):
        value = getattr(holder, path[-1])
        if _one(value) != _one(_default(holder, path[-1])):
            raise NoEffect(
                f"has no effect {why}", path=path, value=value, expected="it left out", hint=hint
            )


def _idle(task: Any) -> Iterator[_Idle]:
    """Give every key that has no effect beside the others."""
    if task.input is not None:
        yield from _stream(("input",), task.input)
        yield from _preprocessing(("preprocess",), task.preprocess)
    for name, source in task.inputs.items():
        yield from _stream(("inputs", name), source)
        yield from _preprocessing(("inputs", name, "preprocess"), source.preprocess)
        yield (
            ("inputs", name, "preprocess", "input_name"),
            source.preprocess,
            "inside inputs",
            f"The stream feeds the network's input {name!r}, as its key says",
        )
    timed = task.trigger is not None and task.trigger.timer is not None
    if timed:
        why = "beside trigger.timer"
        yield ("trigger", "crops"), task.trigger, why, "Crops are of another task's results"
    if not task.input and not task.inputs and timed:
        why = "without an input"
        for name in type(task.preprocess).model_fields:
            hint = "Give the stream that feeds the network as input"
            yield ("preprocess", name), task.preprocess, why, hint
        yield ("output", "annotate"), task.output, why, "There is no frame to draw in"
    main = next((each.preprocess for each in task.inputs.values()), task.preprocess)
    if main.layout in (Layout.RANGES, Layout.TENSOR):
        why = f"with layout {main.layout}"
        yield ("output", "annotate"), task.output, why, "There is no picture to draw in"
    if task.criticality is Criticality.BEST_EFFORT:
        why = "with criticality best_effort"
        yield ("queue",), task, why, "Of best effort, the newest frame always replaces the oldest"
    if task.segments == 1 and task.on_overrun is not OverrunPolicy.SKIP_NEXT:
        why = "with segments: 1"
        hint = "A job is looked at where a segment ends: declare more segments, or auto"
        yield ("on_overrun",), task, why, hint
    if task.segments == 1:
        hint = "Weights take turns by segment: declare more segments, or auto"
        yield ("resident",), task, "with segments: 1", hint
    if task.resident == Resident.ALL:
        why, hint = "with resident: all", "Nothing is loaded as jobs run: declare resident, too"
        yield ("storage",), task, why, hint


def _stream(path: _Path, source: Any) -> Iterator[_Idle]:
    why = f"with {source.type}"
    instead = (
        "max_size, the largest height and width"
        if source.type in IMAGE_TYPES
        else "max_points, the largest number of points or ranges"
        if source.type in POINT_TYPES
        else "shape, the largest shape of the numbers"
    )
    hint = f"Give {instead}, or another type"
    if source.type not in IMAGE_TYPES:
        yield (*path, "max_size"), source, why, hint
    if source.type not in POINT_TYPES:
        yield (*path, "max_points"), source, why, hint


def _preprocessing(path: _Path, pre: Any) -> Iterator[_Idle]:
    if pre.layout not in _IMAGES:
        why = f"with layout {pre.layout}"
        for name in ("size", "color", "interpolation"):
            yield (*path, name), pre, why, "Only images are resampled and have colors"
        number = pre.layout is not Layout.TENSOR and pre.resize in _OF_NUMBERS
        if not number and pre.resize is not ResizeMode.NONE:
            hint = "Points and ranges can be brought to a number by crop, pad or sample"
            yield (*path, "resize"), pre, why, hint
        if not (number and pre.resize is ResizeMode.PAD):
            yield (*path, "pad"), pre, why, "Only resize: pad, of points or ranges, fills in"
        return
    if pre.resize not in (ResizeMode.LETTERBOX, ResizeMode.PAD):
        hint = "Only these have a border: declare resize: letterbox or pad"
        yield (*path, "pad"), pre, f"with resize {pre.resize}", hint
    if pre.resize not in (ResizeMode.STRETCH, ResizeMode.LETTERBOX):
        hint = "Declare resize: stretch or letterbox if frames are to be resampled"
        yield (*path, "interpolation"), pre, f"with resize {pre.resize}", hint


def _one(value: object) -> object:
    """Return the one number that stands for every channel, else the value itself."""
    if isinstance(value, list) and value and value.count(value[0]) == len(value):
        return value[0]
    return value


def _default(holder: BaseModel, name: str) -> object:
    if name == "pad" and getattr(holder, name) is not None:
        return PreprocessSpec().pad  # as it is written out where it is not declared
    return type(holder).model_fields[name].get_default(call_default_factory=True)
