"""Every key of a task, declared once: its kind, default, range and what it goes with.

The same models validate a task that comes through a service, so there is one validation.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from aegis_ros.config.convert import ns, to_spec
from aegis_ros.config.effect import check_effect
from aegis_ros.config.keys import (
    Finite,
    Float,
    Int,
    Milliseconds,
    MillisecondsOrZero,
    Model,
    Number,
    Shown,
    Topic,
)
from aegis_ros.config.mistakes import Unfit
from aegis_ros.config.patterns import DECODER, LANE_OR_NONE, NAME, NAME_OR_NONE, SHA256
from aegis_ros.spec import (
    DEFAULT_MAX_DECIMATION,
    MAX_DECIMATION,
    MOST_HELD,
    Color,
    Criticality,
    Interpolation,
    Invalid,
    Layout,
    OverrunPolicy,
    PreprocessSpec,
    Resident,
    ResizeMode,
    Storage,
    TaskSpec,
)

__all__ = ["MESSAGE_TYPES", "Task"]

MESSAGE_TYPES = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/PointCloud2",
    "sensor_msgs/msg/LaserScan",
    "std_msgs/msg/Float32MultiArray",
)
# Layouts that a type of message can fill.
_LAYOUTS = {
    "sensor_msgs/msg/Image": (Layout.NCHW, Layout.NHWC),
    "sensor_msgs/msg/CompressedImage": (Layout.NCHW, Layout.NHWC),
    "sensor_msgs/msg/PointCloud2": (Layout.POINTS, Layout.RANGES),
    "sensor_msgs/msg/LaserScan": (Layout.POINTS, Layout.RANGES),
    "std_msgs/msg/Float32MultiArray": (Layout.TENSOR,),
}
_IMAGES = (Layout.NCHW, Layout.NHWC)
# What may become of numbers that are none.
_IN_PLACE = (Invalid.ZERO, Invalid.KEEP)
_INVALID: dict[Layout, tuple[Invalid, ...]] = {
    Layout.POINTS: tuple(Invalid),
    Layout.RANGES: _IN_PLACE,
    Layout.TENSOR: _IN_PLACE,
}
_MAX_OPTIONS_CHARACTERS = 65_536


def _alternatives(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


_Pixels = Annotated[int, Number, Field(ge=1, le=16384)]
_MAX_SEGMENTS = 64
_WHOLE = ("uint8", "int8", "uint16", "int16", "int32", "int64")
_LEAST_FLOAT32, _MOST_FLOAT32 = 2.0**-126, 2.0**127  # what a network computes with
_LEAST_SPAN = 4.0  # of pixels that are rounded: below it, a picture is no more one


def _segments(value: object) -> int:
    """Return a number of segments, 0 for ``auto``."""
    if value == "auto":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_SEGMENTS:
        raise ValueError(f"expected auto, or a whole number from 1 to {_MAX_SEGMENTS}")
    return value


def _resident(value: object) -> object:
    """Return a number of segments in memory, or a word for one."""
    if isinstance(value, str) and value in [*Resident]:
        return Resident(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _MAX_SEGMENTS:
        raise ValueError(f"expected all, auto, or a whole number from 1 to {_MAX_SEGMENTS - 1}")
    return value


def _suggest_type(value: str) -> str:
    """Return the type whose name is nearest; its package says nothing of what is in a message."""
    by_name = {each.rpartition("/")[2].lower(): each for each in MESSAGE_TYPES}
    close = difflib.get_close_matches(value.rpartition("/")[2].lower(), by_name, n=1, cutoff=0.7)
    return f" (did you mean {by_name[close[0]]!r}?)" if close else ""


class _Input(Model):
    word: ClassVar[str] = "topic"

    topic: Topic = Field(description="ROS topic that the frames arrive on")
    type: str = Field(
        "sensor_msgs/msg/Image", description="type of its messages: " + _alternatives(MESSAGE_TYPES)
    )
    qos: Literal["sensor_data", "reliable", "best_effort"] = Field(
        "sensor_data",
        description="quality of service of the subscription; tasks on one topic may differ",
    )
    max_size: tuple[_Pixels, _Pixels] = Field(
        (1080, 1920),
        description="largest image, height and width in pixels; the budget is measured at this "
        "size",
    )
    max_points: Int = Field(
        200_000,
        ge=1,
        le=10_000_000,
        description="largest number of points or ranges in a message",
    )
    shape: list[Annotated[int, Number, Field(ge=1, le=1_000_000)]] = Field(
        default_factory=list,
        max_length=6,
        description="largest shape of the numbers in a `Float32MultiArray`",
    )
    invalid: Annotated[
        Invalid | None,
        Shown("`drop` for points, `zero` for depth: see [Invalid](#invalid-numbers)"),
    ] = Field(
        None,
        description="what becomes of NaN and infinite numbers: the point is left out, they are set "
        "to 0, or they are passed on",
    )

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if value not in MESSAGE_TYPES:
            raise ValueError(f"expected one of {', '.join(MESSAGE_TYPES)}{_suggest_type(value)}")
        return value


def _require_fit(where: str, source: _Input, preprocess: _Preprocess) -> None:
    """Refuse what the messages of a stream cannot give."""
    fitting = _LAYOUTS[source.type]
    if preprocess.layout not in fitting:
        fits = " or ".join(fitting)
        said = f"preprocess.layout {preprocess.layout}"
        if "layout" not in preprocess.model_fields_set:
            said = f"{said}, which is meant where none is given,"
        raise Unfit(
            f"{said} does not fit {source.type}",
            path=(*_inside(where), "preprocess", "layout")
            if "layout" in preprocess.model_fields_set
            else (*_inside(where, "input"), "type"),
            expected=f"preprocess: {{layout: {fits}}} for this type",
            hint=f"Type {_type_for(preprocess.layout)} goes with layout {preprocess.layout}",
        )
    if source.type.endswith("/CompressedImage"):
        _require_picture(where, source, preprocess)
    may_be = _INVALID.get(preprocess.layout, ())
    if preprocess.layout in _IMAGES and preprocess.color is Color.DEPTH:
        may_be = _IN_PLACE
    if source.invalid is not None and source.invalid not in may_be:
        raise Unfit(
            f"does not fit layout {preprocess.layout} and color {preprocess.color}",
            path=(*_inside(where, "input"), "invalid"),
            value=str(source.invalid),
            expected=" or ".join(may_be) or "it left out",
            hint="Only points can be left out; pixels, ranges and numbers have their places"
            if may_be
            else "Colors are always numbers",
        )
    place = where or "input."
    if (preprocess.layout is Layout.TENSOR) != bool(source.shape):
        raise ValueError(
            f"{place}shape is {'missing' if not source.shape else 'given for ' + source.type}: "
            "expected the shape of the numbers, as [6], for Float32MultiArray and nothing else"
        )


def _type_for(layout: Layout) -> str:
    """Return the usual type of the messages that a layout is for."""
    return next(kind for kind, layouts in _LAYOUTS.items() if layout in layouts)


def _inside(where: str, *only: str) -> tuple[str, ...]:
    """Return the keys that lead to an input, of several or the ``only`` one."""
    if not where:
        return only
    return ("inputs", where.removeprefix("inputs.").removesuffix("."))


def _require_picture(where: str, source: _Input, preprocess: _Preprocess) -> None:
    """Refuse depth that comes compressed: it is decoded as a picture, in 8 bits."""
    hint = (
        "Declare sensor_msgs/msg/Image on the topic of the raw image; where there is none: ros2 "
        "run image_transport republish --ros-args -p in_transport:=compressedDepth -p "
        "out_transport:=raw -r in/compressedDepth:=… -r out:=…"
    )
    if preprocess.color is Color.DEPTH:
        raise Unfit(
            "depth is not read from compressed images",
            path=(*_inside(where), "preprocess", "color"),
            value=str(preprocess.color),
            expected="rgb, bgr or mono for sensor_msgs/msg/CompressedImage",
            hint=hint,
        )
    if source.topic.endswith("/compressedDepth"):
        raise Unfit(
            "compressed depth is not read",
            path=(*_inside(where, "input"), "topic"),
            value=source.topic,
            expected="a topic of JPEG or PNG pictures",
            hint=hint,
        )


class _Preprocess(Model):
    size: Annotated[tuple[_Pixels, _Pixels] | None, Shown("the frame's size")] = Field(
        None, description="height and width that the network takes, in pixels"
    )
    color: Color = Field(Color.RGB, description="channels that the network takes, in their order")
    layout: Layout = Field(Layout.NCHW, description="layout of the network's input")
    scale: Finite = Field(
        1.0, description="factor on each value; the network sees `(value * scale - mean) / std`"
    )
    mean: list[Finite] = Field(
        default_factory=lambda: [0.0],
        min_length=1,
        max_length=4,
        description="subtracted from each scaled value; one number, or one per channel",
    )
    std: list[Finite] = Field(
        default_factory=lambda: [1.0],
        min_length=1,
        max_length=4,
        description="divisor of the difference; one number, or one per channel",
    )
    resize: ResizeMode = Field(
        ResizeMode.STRETCH,
        description="how a frame is brought to the network's size: see [Fixed sizes](#fixed-sizes)",
    )
    pad: Annotated[Float | None, Shown("`114`, for points and ranges `0`")] = Field(
        None,
        ge=0.0,
        le=255.0,
        description="raw value that `letterbox` and `pad` fill in; a whole number beside pixels",
    )
    interpolation: Interpolation = Field(
        Interpolation.LINEAR, description="how pixels are resampled"
    )
    dtype: Literal[
        "float32", "float16", "float64", "uint8", "int8", "uint16", "int16", "int32", "int64"
    ] = Field(
        "float32",
        description="element type of the network's input; for whole numbers, values are rounded",
    )
    input_name: Annotated[str, Shown("the only or first one")] = Field(
        "", max_length=256, description="name of the network's input that takes the frame"
    )

    @field_validator("std")
    @classmethod
    def _no_zero(cls, values: list[float]) -> list[float]:
        if any(abs(value) < 1e-12 for value in values):
            raise ValueError("expected numbers other than 0 (the input is divided by std)")
        return values

    @model_validator(mode="after")
    def _channels(self) -> _Preprocess:
        channels = 1 if self.color in (Color.MONO, Color.DEPTH) else 3
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) not in (1, channels):
                raise ValueError(f"{name} has {len(values)} values: expected 1 or {channels}")
        self._representable()
        if self.layout in _IMAGES and self.resize is ResizeMode.SAMPLE:
            raise ValueError("resize: sample is for points and ranges: expected another way")
        if self.layout not in _IMAGES:
            for name in ("mean", "std"):
                if len(set(getattr(self, name))) > 1:
                    raise ValueError(
                        f"{name} has {len(getattr(self, name))} values with layout {self.layout}: "
                        "expected one number for all"
                    )
        elif self.dtype in _WHOLE and self.color is not Color.DEPTH:
            span = 255.0 * abs(self.scale) / min(abs(each) for each in self.std)
            if span < _LEAST_SPAN:
                raise Unfit(
                    f"leaves numbers of a span of {span:.3g}, and {self.dtype} rounds them to "
                    "whole ones",
                    path=("scale",),
                    value=self.scale,
                    expected="scale and std that keep the range of the pixels",
                    hint="Leave scale out for a network that takes the pixels as they are",
                )
        return self

    def _representable(self) -> None:
        """Refuse numbers that what computes with them could not hold, and would change."""
        pixels = self.layout in _IMAGES and self.color is not Color.DEPTH
        if self.pad is not None and pixels and not self.pad.is_integer():
            raise Unfit(
                "pixels are whole numbers, and so is what is filled in beside them",
                path=("pad",),
                value=self.pad,
                expected=f"{math.floor(self.pad)} or {math.ceil(self.pad)}",
            )
        for std in self.std:
            if self.scale and not _LEAST_FLOAT32 <= abs(self.scale / std) <= _MOST_FLOAT32:
                raise Unfit(
                    f"divided by std ({std:g}) is no number that float32 holds",
                    path=("scale",),
                    value=self.scale,
                    expected=f"{_LEAST_FLOAT32:.2g} to {_MOST_FLOAT32:.2g} times std",
                )
            for mean in self.mean:
                if mean and not _LEAST_FLOAT32 <= abs(mean / std) <= _MOST_FLOAT32:
                    raise Unfit(
                        f"divided by std ({std:g}) is no number that float32 holds",
                        path=("mean",),
                        value=mean,
                        expected=f"0, or {_LEAST_FLOAT32:.2g} to {_MOST_FLOAT32:.2g} times std",
                    )


class _Source(_Input):
    preprocess: _Preprocess = Field(default_factory=_Preprocess)


class _Sync(Model):
    tolerance_ms: MillisecondsOrZero = Field(
        description="longest time between the stamps of the frames that one job reads; it adds to "
        "the jitter"
    )
    queue: Int = Field(
        4, ge=1, le=64, description="frames of each input that may wait for their partners"
    )


class _Timer(Model):
    period_ms: Milliseconds = Field(
        description="time between two jobs; `period_ms` of the task may be left out"
    )


class _Crops(Model):
    max_crops: Int = Field(
        8,
        ge=1,
        le=256,
        description="largest number of crops in a job; those with the best scores are taken",
    )
    margin: Finite = Field(
        0.0, ge=0.0, le=4.0, description="added to each side of a box, as a share of the box"
    )
    min_score: Finite = Field(
        0.0, ge=0.0, le=1.0, description="boxes with a lower score are left out"
    )
    labels: Annotated[list[Annotated[str, Field(max_length=256)]], Shown("any")] = Field(
        default_factory=list, max_length=256, description="boxes with other labels are left out"
    )


class _Trigger(Model):
    word: ClassVar[str] = "task"

    timer: Annotated[_Timer | None, Shown("none")] = None
    task: Annotated[str, Shown("none")] = Field(
        "",
        pattern=NAME_OR_NONE,
        description="task whose result releases a job on the crops it found: see [Chains](#chains)",
    )
    crops: _Crops = Field(default_factory=_Crops)

    @model_validator(mode="after")
    def _one(self) -> _Trigger:
        if (self.timer is None) == (not self.task):
            given = "both timer and task" if self.task else "neither timer nor task"
            raise ValueError(f"trigger has {given}: expected one of them")
        return self


class _Output(Model):
    word: ClassVar[str] = "topic"

    topic: Topic = Field(description="ROS topic of the results")
    decoder: str = Field(
        "raw", pattern=DECODER, description="decoder that turns tensors into results"
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        max_length=64,
        description="options of the decoder: see [decoders.md](decoders.md)",
    )
    annotate: bool = Field(
        False, description="also publish the frame with the result drawn in, on `<topic>/annotated`"
    )
    tensors: bool = Field(True, description="publish the raw tensors with the result")
    publish_ms: MillisecondsOrZero = Field(
        2.0, description="time reserved before the deadline for decoding and publishing"
    )
    constant_latency_ms: MillisecondsOrZero = Field(
        0.0,
        description="results are published no earlier than this after the frame's stamp: see "
        "[Constant latency](#constant-latency)",
    )
    max_results: int = Field(
        0,
        ge=0,
        le=100_000,
        description="rows that are kept of outputs of which each frame decides how many there are "
        "(objects, masks); 0: as many as the network can find, or 100 and more where nothing "
        "limits that: see [Results without a fixed number](#results-without-a-fixed-number)",
    )

    @field_validator("options")
    @classmethod
    def _plain(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Refuse what the journal could not write down (dates, bytes, infinities)."""
        try:
            text = json.dumps(options, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"expected text, finite numbers, true, false, lists and mappings ({error})"
            ) from None
        if len(text) > _MAX_OPTIONS_CHARACTERS:
            raise ValueError(f"expected at most {_MAX_OPTIONS_CHARACTERS} characters")
        return options


_TensorName = Annotated[str, Field(min_length=1, max_length=256)]


class Task(Model):
    """One entry of ``tasks``."""

    name: str = Field(
        pattern=NAME,
        description="unique; lower-case letters, digits and underscores, at most 63",
    )
    model: str = Field(
        min_length=1,
        max_length=4096,
        description="network: `pypi://dist/path.onnx`, `package://pkg/path.onnx` or a path",
    )
    sha256: Annotated[str, Shown("any")] = Field(
        "",
        pattern=SHA256,
        description="SHA-256 digest of the file in hex; another file is refused",
    )
    input: _Input | None = None
    preprocess: _Preprocess = Field(default_factory=_Preprocess)
    inputs: dict[_TensorName, _Source] = Field(default_factory=dict, max_length=8)
    sync: _Sync | None = None
    trigger: _Trigger | None = None
    period_ms: Annotated[Milliseconds | None, Shown("that of `trigger.timer`, else required")] = (
        Field(None, description="shortest time between two frames, or two jobs of a timer")
    )
    deadline_ms: Annotated[Milliseconds | None, Shown("the period")] = Field(
        None, description="from the frame's stamp to its published result"
    )
    jitter_ms: MillisecondsOrZero = Field(
        0.0,
        description="longest time from the frame's stamp until the frame is ready in the engine; "
        "with `output.publish_ms` it must be shorter than the deadline",
    )
    criticality: Criticality = Field(
        Criticality.HIGH,
        description="what is shed first, and what is guaranteed: see [Best effort](#best-effort)",
    )
    on_overrun: OverrunPolicy = Field(
        OverrunPolicy.SKIP_NEXT,
        description="what happens to a job that exceeds its budget: see "
        "[When a budget is exceeded](#when-a-budget-is-exceeded)",
    )
    early_exit: dict[_TensorName, _TensorName] = Field(
        default_factory=dict,
        max_length=64,
        description="`{output: stand-in}`, for `on_overrun: early_exit`",
    )
    queue: Int = Field(
        1, ge=1, le=16, description="frames that may wait; the newest replaces the oldest"
    )
    max_decimation: Annotated[
        Int, Shown(f"{DEFAULT_MAX_DECIMATION} for `low`, else 1", f"1 to {MAX_DECIMATION}")
    ] = Field(
        0,
        ge=0,
        le=MAX_DECIMATION,
        description="largest n of which the task may take only every n-th frame where not "
        "everything fits, 1 for every frame: see [Decimation](#decimation)",
    )
    lane: Annotated[str, Shown("chosen")] = Field(
        "", pattern=LANE_OR_NONE, description="lane to run on"
    )
    wcet_ms: Annotated[MillisecondsOrZero, Shown("measured")] = Field(
        0.0,
        description="budget with other lanes idle, declared instead of "
        "measured: see [profiling.md](profiling.md#with-each-other)",
    )
    segments: Annotated[
        int, BeforeValidator(_segments), Shown("`auto`", f"`auto`, 1 to {_MAX_SEGMENTS}")
    ] = Field(
        0, description="number of segments that the network runs in: see [Segments](#segments)"
    )
    resident: Annotated[
        Resident | int,
        BeforeValidator(_resident),
        Shown("`all`", f"`all`, `auto`, 1 to {_MAX_SEGMENTS - 1}"),
    ] = Field(
        Resident.ALL,
        description="number of segments whose weights are in memory at once; `auto` is as many as "
        "the arena has room for: see [Weights that take turns](#weights-that-take-turns)",
    )
    storage: Storage = Field(
        Storage.COLD,
        description="what other weights are loaded from, and so what is measured: `cold`, past the "
        "page cache, or `warm`, through it",
    )
    dimensions: dict[str, Annotated[int, Number, Field(ge=1, le=1_000_000)]] = Field(
        default_factory=dict,
        max_length=64,
        description="values of the network's symbolic extents, as `{batch: 1}`",
    )
    enabled: bool = Field(
        True, description="false: the task is admitted, but gets no frames until it is enabled"
    )
    output: _Output

    @model_validator(mode="after")
    def _fed(self) -> Task:
        timer = None if self.trigger is None else self.trigger.timer
        chained = self.trigger is not None and bool(self.trigger.task)
        given = [name for name in ("input", "inputs") if getattr(self, name)]
        if len(given) == 2:
            raise ValueError("input and inputs are both given: expected one of them")
        if chained and given:
            raise ValueError(
                f"{given[0]} is given beside trigger.task: expected only one of them, since frames "
                "come from the task before"
            )
        if not given and self.trigger is None:
            raise ValueError("input is missing: expected input, inputs or trigger")
        own = _each_channel(to_spec(PreprocessSpec, self.preprocess))
        if self.inputs and own != PreprocessSpec():
            raise ValueError(
                "preprocess is given beside inputs: expected preprocess inside each of the inputs"
            )
        synced = len(self.inputs) > 1 and timer is None
        if synced and self.sync is None:
            raise ValueError(
                "sync is missing: expected sync: {tolerance_ms: …}, how far apart the stamps of "
                "the inputs' frames may lie"
            )
        if self.sync is not None and not synced:
            why = "beside a timer" if timer is not None else "for one stream"
            raise ValueError(
                f"sync is given {why}: expected it only where frames of several inputs release jobs"
            )
        if self.period_ms is None and timer is None:
            raise ValueError("period_ms is missing: expected a value")
        if timer is not None and self.period_ms not in (None, timer.period_ms):
            raise ValueError(
                f"period_ms is {self.period_ms:g} and trigger.timer.period_ms "
                f"{timer.period_ms:g}: expected one of them, or the same twice"
            )
        if self.input is not None:
            _require_fit("", self.input, self.preprocess)
        for name, source in self.inputs.items():
            _require_fit(f"inputs.{name}.", source, source.preprocess)
        if chained:
            self._chained()
        return self

    def _chained(self) -> None:
        pre = self.preprocess
        if pre.size is None or pre.layout not in _IMAGES or pre.color is Color.DEPTH:
            raise ValueError(
                "preprocess does not fit crops: expected size [height, width] that they are "
                "brought to, layout nchw or nhwc, and color rgb, bgr or mono"
            )
        if pre.resize not in (ResizeMode.STRETCH, ResizeMode.LETTERBOX):
            raise ValueError(
                f"preprocess.resize is {pre.resize} beside trigger.task: expected stretch or "
                "letterbox, since crops are of any size"
            )
        if self.output.annotate:
            raise ValueError("output.annotate is true beside trigger.task: expected false")
        if self.max_decimation > 1:
            raise ValueError(
                "max_decimation is given beside trigger.task: expected it at the task before"
            )

    @model_validator(mode="after")
    def _decimated(self) -> Task:
        if self.max_decimation > 1 and self.criticality is not Criticality.LOW:
            raise ValueError(
                f"max_decimation is {self.max_decimation} and criticality is {self.criticality}: "
                "expected 1, or criticality low"
            )
        return self

    @model_validator(mode="after")
    def _streamed(self) -> Task:
        if self.segments and isinstance(self.resident, int) and self.resident >= self.segments:
            raise ValueError(
                f"resident is {self.resident} of {self.segments} segments: expected fewer, or "
                "resident: all"
            )
        return self

    @model_validator(mode="after")
    def _exits(self) -> Task:
        leaves = self.on_overrun is OverrunPolicy.EARLY_EXIT
        if leaves and not self.early_exit:
            raise ValueError(
                "on_overrun is early_exit, but early_exit names no output: expected "
                "early_exit: {output: the output that stands in for it}"
            )
        if self.early_exit and not leaves:
            raise ValueError(
                f"early_exit is given and on_overrun is {self.on_overrun}: expected on_overrun: "
                "early_exit, or no early_exit"
            )
        return self

    @model_validator(mode="after")
    def _times(self) -> Task:
        period = self._period_ms()
        deadline = self.deadline_ms if self.deadline_ms is not None else period
        tolerance = 0.0 if self.sync is None else self.sync.tolerance_ms
        used = self.jitter_ms + tolerance + self.output.publish_ms
        if ns(self.jitter_ms) + ns(tolerance) + ns(self.output.publish_ms) >= ns(deadline):
            apart = f", sync.tolerance_ms ({tolerance:g})" if self.sync is not None else ""
            raise ValueError(
                f"deadline_ms is {deadline:g} and jitter_ms ({self.jitter_ms:g}){apart} plus "
                f"output.publish_ms ({self.output.publish_ms:g}) leave no time to execute: "
                f"expected deadline_ms above {used:g}"
            )
        self._constant_latency(deadline, period)
        if 0.0 < self.wcet_ms < 0.001:
            raise ValueError(
                f"wcet_ms is {self.wcet_ms:g}: expected 0 (measured), or at least 0.001"
            )
        return self

    @model_validator(mode="after")
    def _effective(self) -> Task:
        check_effect(self)
        return self

    def _period_ms(self) -> float:
        if self.period_ms is not None:
            return self.period_ms
        assert self.trigger is not None and self.trigger.timer is not None
        return self.trigger.timer.period_ms

    def _constant_latency(self, deadline_ms: float, period_ms: float) -> None:
        constant = self.output.constant_latency_ms
        if ns(constant) > ns(deadline_ms) - ns(self.output.publish_ms):
            raise ValueError(
                f"output.constant_latency_ms is {constant:g}, and a result held until then would "
                f"miss deadline_ms ({deadline_ms:g}), of which output.publish_ms "
                f"({self.output.publish_ms:g}) is kept for publishing: expected at most "
                f"{deadline_ms - self.output.publish_ms:g}"
            )
        if ns(constant) > MOST_HELD * ns(period_ms):
            raise ValueError(
                f"output.constant_latency_ms is {constant:g}, and at period_ms "
                f"{period_ms:g} more results than can be kept would wait for it: expected at "
                f"most {MOST_HELD * period_ms:g}, {MOST_HELD} periods"
            )

    def to_spec(self) -> TaskSpec:
        """Return the plain data of this task."""
        spec = to_spec(TaskSpec, self)
        period_ns = ns(self._period_ms())
        return replace(
            spec,
            period_ns=period_ns,
            deadline_ns=period_ns if self.deadline_ms is None else spec.deadline_ns,
            preprocess=_each_channel(spec.preprocess),
            inputs={
                name: replace(each, preprocess=_each_channel(each.preprocess))
                for name, each in spec.inputs.items()
            },
            sha256=self.sha256.lower(),
        )


def _each_channel(spec: PreprocessSpec) -> PreprocessSpec:
    """Return a preprocessing with a mean and a divisor for each channel, and a value to fill in."""
    channels = 1 if spec.color in (Color.MONO, Color.DEPTH) else 3
    pad: float | None = spec.pad
    if pad is None:  # not declared
        rows = spec.layout not in _IMAGES and spec.resize is ResizeMode.PAD
        pad = 0.0 if rows else PreprocessSpec().pad
    return replace(
        spec,
        mean=_broadcast(spec.mean, channels),
        std=_broadcast(spec.std, channels),
        pad=pad,
    )


def _broadcast(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (values[0],) * channels
