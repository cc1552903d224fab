"""What feeds the network of a task, and what its decoder reads of the outputs."""

from __future__ import annotations

from dataclasses import replace

from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, PreparedNetwork, TensorInfo
from aegis_ros.rationale import Rule
from aegis_ros.spec import FrameFormat, InputSpec, TaskSpec

__all__ = ["decoded_outputs", "feeds", "max_shape"]


def max_shape(spec: TaskSpec) -> tuple[int, ...]:
    """Return the shape of the largest frame of a task's first input, in its canonical format."""
    return feeds(spec)[0].max_shape


def feeds(spec: TaskSpec) -> tuple[Feed, ...]:
    """Return what feeds each input of a task's network."""
    if spec.trigger is not None and spec.follows:
        assert spec.preprocess.size is not None
        shape = (spec.trigger.crops.max_crops, *spec.preprocess.size, 3)
        return (Feed(spec.preprocess, shape, batch=True),)
    return tuple(
        Feed(preprocess, _largest(source, preprocess.frame_format), name)
        for name, source, preprocess in spec.sources
    )


def _largest(source: InputSpec, layout: FrameFormat) -> tuple[int, ...]:
    """Return the shape of the largest frame of a stream, in a canonical format."""
    if layout is FrameFormat.POINTS4F:
        return (source.max_points, 4)
    if layout is FrameFormat.RANGES1F:
        return (source.max_points,)
    if layout is FrameFormat.TENSOR32F:
        return source.shape
    if layout is FrameFormat.DEPTH32F:
        return source.max_size
    return (*source.max_size, 3)


def decoded_outputs(spec: TaskSpec, prepared: PreparedNetwork) -> tuple[TensorInfo, ...]:
    """Return the outputs that a task's decoder reads at once: of a chain, those of one crop.

    Raises:
        ModelError: an output of a network that runs on crops has no part for each of them.
    """
    if spec.trigger is None or not spec.follows:
        return prepared.outputs
    count = spec.trigger.crops.max_crops
    for item in prepared.outputs:
        if not item.shape or item.shape[0] != count:
            raise ModelError(
                f"output {item.name!r} has no part for each crop",
                where="model",
                value=list(item.shape),
                expected=f"a first extent of {count}, as the crops",
                hint="Export the network with a dynamic batch dimension for its input and outputs",
                rule=Rule.MODEL_VALID,
            )
    return tuple(replace(item, shape=(1, *item.shape[1:])) for item in prepared.outputs)
