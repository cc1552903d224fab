"""Every key of the configuration, declared once: its kind, default, range and what it goes with.

The same models validate a task that comes through a service, so there is one validation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from aegis_ros.config.explain import suggest
from aegis_ros.spec import (
    MOST_HELD,
    Color,
    Criticality,
    DeviceSpec,
    DiagnosticsSpec,
    InputSpec,
    Interpolation,
    LaneSpec,
    Layout,
    ModelsSpec,
    OrchestratorSpec,
    OutputSpec,
    OverrunPolicy,
    PreprocessSpec,
    ResizeMode,
    TaskSpec,
    TraceSpec,
)

__all__ = ["MESSAGE_TYPES", "Config", "Number", "Task"]

MESSAGE_TYPES = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/PointCloud2",
    "sensor_msgs/msg/LaserScan",
)
_MAX_OPTIONS_CHARACTERS = 65_536
_HOUR_MS = 3_600_000.0
_NAME = r"^[a-z][a-z0-9_]{0,62}$"
_TOPIC = re.compile(r"(~/|/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_MIB = 1024 * 1024


def _no_truth(value: object) -> object:
    """Refuse ``yes`` and ``true`` where a number belongs; YAML reads them as 1."""
    if isinstance(value, (bool, bytes)):
        raise ValueError("expected a number")
    return value


Number = BeforeValidator(_no_truth)
_Float = Annotated[float, Number]
_Int = Annotated[int, Number]
# A microsecond is the shortest time that is told from none once it is integer nanoseconds.
_Milliseconds = Annotated[float, Number, Field(ge=0.001, le=_HOUR_MS, allow_inf_nan=False)]
_MillisecondsOrZero = Annotated[float, Number, Field(ge=0.0, le=_HOUR_MS, allow_inf_nan=False)]
_Finite = Annotated[float, Number, Field(allow_inf_nan=False)]
_Pixels = Annotated[int, Number, Field(ge=1, le=16384)]
_MAX_SEGMENTS = 64


def _segments(value: object) -> int:
    """Return a number of segments, 0 for ``auto``."""
    if value == "auto":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_SEGMENTS:
        raise ValueError(f"expected auto, or a whole number from 1 to {_MAX_SEGMENTS}")
    return value


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _check_topic(topic: str) -> str:
    if len(topic) > 255 or "__" in topic or not _TOPIC.fullmatch(topic):
        raise ValueError(
            "expected a ROS topic name: letters, digits and single underscores between slashes, no "
            "part beginning with a digit"
        )
    return topic


class _Input(_Model):
    topic: str
    type: str = "sensor_msgs/msg/Image"
    qos: str = Field("sensor_data", pattern="^(sensor_data|reliable|best_effort)$")
    max_size: tuple[_Pixels, _Pixels] = (1080, 1920)
    max_points: _Int = Field(200_000, ge=1, le=10_000_000)

    _topic = field_validator("topic")(_check_topic)

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if value not in MESSAGE_TYPES:
            raise ValueError(
                f"expected one of {', '.join(MESSAGE_TYPES)}{suggest(value, MESSAGE_TYPES)}"
            )
        return value


class _Preprocess(_Model):
    size: tuple[_Pixels, _Pixels] | None = None
    color: Color = Color.RGB
    layout: Layout = Layout.NCHW
    scale: _Finite = 1.0
    mean: list[_Finite] = Field(default_factory=lambda: [0.0], min_length=1, max_length=4)
    std: list[_Finite] = Field(default_factory=lambda: [1.0], min_length=1, max_length=4)
    resize: ResizeMode = ResizeMode.STRETCH
    pad: _Float = Field(114.0, ge=0.0, le=255.0)
    interpolation: Interpolation = Interpolation.LINEAR
    dtype: str = Field("float32", pattern="^(float32|float16|uint8)$")
    input_name: str = Field("", max_length=256)

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
        if self.layout in (Layout.POINTS, Layout.RANGES) and self.dtype != "float32":
            raise ValueError("dtype: points and ranges are float32")
        if self.color is Color.MONO and self.dtype == "uint8":
            raise ValueError("dtype: mono needs float32 or float16")
        return self


class _Output(_Model):
    topic: str
    decoder: str = Field("raw", pattern=r"^[a-z][a-z0-9_]*$")
    options: dict[str, Any] = Field(default_factory=dict, max_length=64)
    annotate: bool = False
    tensors: bool = True
    publish_ms: _MillisecondsOrZero = 2.0
    constant_latency_ms: _MillisecondsOrZero = 0.0

    _topic = field_validator("topic")(_check_topic)

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


class Task(_Model):
    """One entry of ``tasks``."""

    name: str = Field(pattern=_NAME)
    model: str = Field(min_length=1, max_length=4096)
    input: _Input
    output: _Output
    period_ms: _Milliseconds
    deadline_ms: _Milliseconds | None = None
    jitter_ms: _MillisecondsOrZero = 0.0
    preprocess: _Preprocess = Field(default_factory=_Preprocess)
    criticality: Criticality = Criticality.HIGH
    on_overrun: OverrunPolicy = OverrunPolicy.SKIP_NEXT
    early_exit: dict[_TensorName, _TensorName] = Field(default_factory=dict, max_length=64)
    queue: _Int = Field(1, ge=1, le=16)
    lane: str = Field("", pattern=r"^([a-z][a-z0-9_]*)?$")
    sha256: str = Field("", pattern=r"^([0-9a-fA-F]{64})?$")
    wcet_ms: _MillisecondsOrZero = 0.0
    segments: Annotated[int, BeforeValidator(_segments)] = 0
    dimensions: dict[str, Annotated[int, Number, Field(ge=1, le=1_000_000)]] = Field(
        default_factory=dict, max_length=64
    )
    enabled: bool = True
    thin_to: _Int = Field(0, ge=0, le=64)

    @model_validator(mode="after")
    def _thinned(self) -> Task:
        if self.thin_to > 1 and self.criticality is not Criticality.LOW:
            raise ValueError(
                f"thin_to is {self.thin_to} and criticality is {self.criticality}: expected 1, or "
                "criticality low"
            )
        return self

    @model_validator(mode="after")
    def _exits(self) -> Task:
        leaves = self.on_overrun is OverrunPolicy.EARLY_EXIT
        if leaves and not self.early_exit:
            raise ValueError(
                "on_overrun is early_exit and it is not said with which outputs: expected "
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
        deadline = self.deadline_ms if self.deadline_ms is not None else self.period_ms
        used = self.jitter_ms + self.output.publish_ms
        if _ns(self.jitter_ms) + _ns(self.output.publish_ms) >= _ns(deadline):
            raise ValueError(
                f"deadline_ms is {deadline:g} and jitter_ms ({self.jitter_ms:g}) plus "
                f"output.publish_ms ({self.output.publish_ms:g}) leave no time to execute: "
                f"expected deadline_ms above {used:g}"
            )
        self._constant_latency(deadline)
        if 0.0 < self.wcet_ms < 0.001:
            raise ValueError(
                f"wcet_ms is {self.wcet_ms:g}: expected 0 (measured), or at least 0.001"
            )
        points = self.preprocess.layout in (Layout.POINTS, Layout.RANGES)
        images = self.input.type.endswith("Image")
        if points == images:
            raise ValueError(
                f"preprocess.layout {self.preprocess.layout} does not fit {self.input.type}: "
                "expected nchw or nhwc for images, points or ranges for PointCloud2 and LaserScan"
            )
        return self

    def _constant_latency(self, deadline_ms: float) -> None:
        constant = self.output.constant_latency_ms
        if _ns(constant) > _ns(deadline_ms) - _ns(self.output.publish_ms):
            raise ValueError(
                f"output.constant_latency_ms is {constant:g}, and a result held until then would "
                f"miss deadline_ms ({deadline_ms:g}), of which output.publish_ms "
                f"({self.output.publish_ms:g}) is kept for publishing: expected at most "
                f"{deadline_ms - self.output.publish_ms:g}"
            )
        if _ns(constant) > MOST_HELD * _ns(self.period_ms):
            raise ValueError(
                f"output.constant_latency_ms is {constant:g}, and at period_ms "
                f"{self.period_ms:g} more results than can be kept would wait for it: expected at "
                f"most {MOST_HELD * self.period_ms:g}, {MOST_HELD} periods"
            )

    def to_spec(self) -> TaskSpec:
        """Return the plain data of this task."""
        channels = 1 if self.preprocess.color in (Color.MONO, Color.DEPTH) else 3
        return TaskSpec(
            name=self.name,
            model=self.model,
            input=InputSpec(**self.input.model_dump()),
            output=OutputSpec(
                **self.output.model_dump(exclude={"publish_ms", "constant_latency_ms"}),
                publish_ns=_ns(self.output.publish_ms),
                constant_latency_ns=_ns(self.output.constant_latency_ms),
            ),
            period_ns=_ns(self.period_ms),
            deadline_ns=_ns(self.period_ms if self.deadline_ms is None else self.deadline_ms),
            jitter_ns=_ns(self.jitter_ms),
            preprocess=PreprocessSpec(
                **self.preprocess.model_dump(exclude={"mean", "std"}),
                mean=_broadcast(self.preprocess.mean, channels),
                std=_broadcast(self.preprocess.std, channels),
            ),
            criticality=self.criticality,
            on_overrun=self.on_overrun,
            early_exit=dict(self.early_exit),
            queue=self.queue,
            lane=self.lane,
            sha256=self.sha256.lower(),
            wcet_ns=_ns(self.wcet_ms),
            segments=self.segments,
            dimensions=dict(self.dimensions),
            enabled=self.enabled,
            thin_to=self.thin_to,
        )


class _Lane(_Model):
    name: str = Field(pattern=_NAME)
    cpu: _Int | None = Field(None, ge=0, le=4095)
    sms: _Int | None = Field(None, ge=1, le=1024)


class _Device(_Model):
    backend: str = ""
    lanes: list[_Lane] = Field(
        default_factory=lambda: [_Lane(name="main")], min_length=1, max_length=64
    )
    arena_mib: _Float = Field(1024.0, ge=0.001, le=1_048_576.0)
    switch_ms: _Float = Field(0.2, ge=0.0, le=100.0)
    realtime_priority: _Int = Field(40, ge=0, le=98)
    keep_awake: bool = True

    @field_validator("lanes")
    @classmethod
    def _unique(cls, lanes: list[_Lane]) -> list[_Lane]:
        _refuse_duplicates([lane.name for lane in lanes], "lane")
        return lanes


class _Models(_Model):
    roots: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(
        default_factory=lambda: ["package://aegis_ros/models"], max_length=64
    )


class _Trace(_Model):
    # A name, not a path: a configuration may write where traces are kept, and nowhere else.
    file: str = Field("", max_length=128, pattern=r"^([A-Za-z0-9%][A-Za-z0-9%_.-]*\.mcap)?$")
    max_mib: _Float = Field(1024.0, ge=1.0, le=1_048_576.0)


class _Diagnostics(_Model):
    silent_periods: _Int = Field(10, ge=2, le=10_000)
    loss: _Float = Field(0.1, ge=0.0, le=1.0)
    late_error: _Float = Field(0.01, ge=0.0, le=1.0)
    deadline: _Float = Field(1.0, gt=0.0, le=1.0)
    budget: _Float = Field(1.0, gt=0.0, le=10.0)
    arena: _Float = Field(0.9, gt=0.0, le=1.0)
    lane: _Float = Field(0.1, ge=0.0, le=1.0)
    device: _Float = Field(0.95, gt=0.0, le=1.0)


class Config(_Model):
    """The whole file."""

    device: _Device = Field(default_factory=_Device)
    models: _Models = Field(default_factory=_Models)
    trace: _Trace = Field(default_factory=_Trace)
    diagnostics: _Diagnostics = Field(default_factory=_Diagnostics)
    tasks: list[Task] = Field(default_factory=list, max_length=256)

    @model_validator(mode="after")
    def _names(self) -> Config:
        _refuse_duplicates([task.name for task in self.tasks], "task")
        lanes = [lane.name for lane in self.device.lanes]
        for index, task in enumerate(self.tasks):
            if task.lane and task.lane not in lanes:
                raise ValueError(
                    f"tasks[{index}].lane is {task.lane!r}: expected one of {', '.join(lanes)}"
                    + suggest(task.lane, lanes)
                )
        return self

    def to_spec(self) -> OrchestratorSpec:
        """Return the plain data of this configuration."""
        device = self.device
        return OrchestratorSpec(
            device=DeviceSpec(
                backend=device.backend,
                lanes=tuple(LaneSpec(lane.name, lane.cpu, lane.sms) for lane in device.lanes),
                arena_bytes=int(device.arena_mib * _MIB),
                switch_ns=_ns(device.switch_ms),
                realtime_priority=device.realtime_priority,
                keep_awake=device.keep_awake,
            ),
            models=ModelsSpec(tuple(self.models.roots)),
            trace=TraceSpec(self.trace.file, int(self.trace.max_mib * _MIB)),
            diagnostics=DiagnosticsSpec(**self.diagnostics.model_dump()),
            tasks=tuple(task.to_spec() for task in self.tasks),
        )


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1e6)


def _broadcast(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (values[0],) * channels


def _refuse_duplicates(names: Sequence[str], kind: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {kind}s are named {name!r}: expected a name of its own for each")
        seen.add(name)
