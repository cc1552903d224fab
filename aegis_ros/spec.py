"""What a user declares: tasks, lanes and the device, as plain data.

All times are integer nanoseconds, all sizes bytes. Instances are immutable. :mod:`aegis_ros.config`
reads them from YAML and service requests, and validates the input.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "DEFAULT_MAX_DECIMATION",
    "MAX_DECIMATION",
    "MOST_HELD",
    "Color",
    "Criticality",
    "CropsSpec",
    "DeviceSpec",
    "DiagnosticsSpec",
    "FrameFormat",
    "GeneratorSpec",
    "InputSpec",
    "Interpolation",
    "Invalid",
    "LaneSpec",
    "Layout",
    "MemorySpec",
    "ModelsSpec",
    "OrchestratorSpec",
    "OutputSpec",
    "OverrunPolicy",
    "PreprocessSpec",
    "PromptsSpec",
    "Resident",
    "ResizeMode",
    "SourceSpec",
    "Storage",
    "SyncSpec",
    "TaskSpec",
    "TimerSpec",
    "TraceSpec",
    "TriggerSpec",
    "Wait",
    "WhenFull",
]


# Periods for which a result may be held, so that the number of held results is bounded.
MOST_HELD = 32

MAX_DECIMATION = 64  # that may be declared
DEFAULT_MAX_DECIMATION = 8  # of a task of low criticality that declares none


class Criticality(StrEnum):
    """How critical a deadline is; the last value here is shed first."""

    HIGH = "high"
    LOW = "low"
    BEST_EFFORT = "best_effort"


class OverrunPolicy(StrEnum):
    """What happens to a job that has used more than its budget.

    Checked where a segment ends. ``skip_next`` lets the job run to its end, ``demote`` runs its
    remaining segments behind everything else, ``stop`` ends it without a result, ``early_exit``
    with the outputs that the network has computed by then. Whatever the policy, the task's next
    jobs are skipped to repay lane time beyond the whole budget.
    """

    SKIP_NEXT = "skip_next"
    DEMOTE = "demote"
    STOP = "stop"
    EARLY_EXIT = "early_exit"


class Resident(StrEnum):
    """How many segments of a network have their weights in memory at once, where no number says.

    ``all``, or ``auto``: as many as the arena has room for.
    """

    ALL = "all"
    AUTO = "auto"


class Storage(StrEnum):
    """What the weights of segments that take turns are loaded from, and so what is measured.

    ``cold``: storage, past the page cache, which holds nothing of them; ``warm``: the page cache,
    whose memory is not of the arena and which the kernel may empty.
    """

    COLD = "cold"
    WARM = "warm"


class Color(StrEnum):
    """Channel order the network was trained on."""

    RGB = "rgb"
    BGR = "bgr"
    MONO = "mono"
    DEPTH = "depth"


class Layout(StrEnum):
    """Layout of the network's input tensor.

    ``nchw`` and ``nhwc`` are images, ``points`` float32 [N, 4] (x, y, z in metres, intensity),
    ``ranges`` float32 [N] (metres), ``tensor`` numbers of any rank from 1 to 6.
    """

    NCHW = "nchw"
    NHWC = "nhwc"
    POINTS = "points"
    RANGES = "ranges"
    TENSOR = "tensor"


class ResizeMode(StrEnum):
    """How a frame is brought to the size that a network takes.

    Images: ``stretch``, ``letterbox`` (aspect kept, centred), ``crop`` (the middle of a larger
    frame), ``pad`` (a smaller frame in the middle) or ``none`` (of that size already). Points and
    ranges, where the network takes a fixed number: ``crop`` (the first points, the middle ranges),
    ``pad``, ``sample`` (evenly spaced ones, repeated where there are too few), or as many as come.
    """

    STRETCH = "stretch"
    LETTERBOX = "letterbox"
    NONE = "none"
    CROP = "crop"
    PAD = "pad"
    SAMPLE = "sample"


class Interpolation(StrEnum):
    """Resampling filter of the resize."""

    LINEAR = "linear"
    NEAREST = "nearest"


class Invalid(StrEnum):
    """What becomes of numbers of a frame that are none: NaN, or infinite.

    ``drop`` leaves points out, ``zero`` sets to 0, ``keep`` passes on.
    """

    DROP = "drop"
    ZERO = "zero"
    KEEP = "keep"


class FrameFormat(StrEnum):
    """The canonical formats in which a frame lies in a shared-memory slot.

    ``rgb8`` uint8 [H, W, 3]; ``depth32f`` float32 [H, W] in metres (REP 118); ``points4f``
    float32 [N, 4]; ``ranges1f`` float32 [N]; ``tensor32f`` float32 of any rank; ``crops8`` uint8
    [N, H, W, 3], parts of one image resized to one size.
    """

    RGB8 = "rgb8"
    DEPTH32F = "depth32f"
    POINTS4F = "points4f"
    RANGES1F = "ranges1f"
    TENSOR32F = "tensor32f"
    CROPS8 = "crops8"

    @property
    def dtype(self) -> str:
        """Numpy name of the element type."""
        return "uint8" if self in (FrameFormat.RGB8, FrameFormat.CROPS8) else "float32"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The sensor stream that triggers a task.

    Attributes:
        topic: absolute or relative ROS topic name.
        type: ROS message type, as ``sensor_msgs/msg/Image``.
        qos: ``sensor_data``, ``reliable`` or ``best_effort``.
        max_size: largest image on the topic, (height, width) in pixels.
        max_points: largest number of points or ranges in one message.
        shape: largest shape of the numbers in one message, for plain tensors.
        invalid: what becomes of numbers that are none; ``None`` for what is usual of the format.
    """

    topic: str
    type: str = "sensor_msgs/msg/Image"
    qos: str = "sensor_data"
    max_size: tuple[int, int] = (1080, 1920)
    max_points: int = 200_000
    shape: tuple[int, ...] = ()
    invalid: Invalid | None = None


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
    """How the sensor's bytes become the network's input.

    The network sees ``(pixel * scale - mean[c]) / std[c]``, c in the order of ``color``.

    Attributes:
        size: (height, width) that the network takes, pixels; ``None`` keeps the frame's own size.
        color: channel order of the network.
        layout: layout of the input tensor.
        scale: factor on the raw 0..255 (or metre) value.
        mean: subtracted after scaling, one value a channel.
        std: divisor after the subtraction, one value a channel.
        resize: how a frame is brought to that size.
        pad: what ``letterbox`` and ``pad`` fill in, as a raw value.
        interpolation: resampling filter.
        dtype: dtype of the network's input (``float32``, ``float16``, ``uint8``).
        input_name: name of the network's image input; empty for the only or first one.
    """

    size: tuple[int, int] | None = None
    color: Color = Color.RGB
    layout: Layout = Layout.NCHW
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    resize: ResizeMode = ResizeMode.STRETCH
    pad: float = 114.0
    interpolation: Interpolation = Interpolation.LINEAR
    dtype: str = "float32"
    input_name: str = ""

    @property
    def frame_format(self) -> FrameFormat:
        """The canonical format of the frames that this network reads."""
        if self.layout is Layout.POINTS:
            return FrameFormat.POINTS4F
        if self.layout is Layout.RANGES:
            return FrameFormat.RANGES1F
        if self.layout is Layout.TENSOR:
            return FrameFormat.TENSOR32F
        return FrameFormat.DEPTH32F if self.color is Color.DEPTH else FrameFormat.RGB8


@dataclass(frozen=True, slots=True)
class SourceSpec(InputSpec):
    """The stream that feeds one of several inputs of a network.

    Attributes:
        preprocess: what lies between the sensor's bytes and that input.
    """

    preprocess: PreprocessSpec = field(default_factory=PreprocessSpec)


@dataclass(frozen=True, slots=True)
class SyncSpec:
    """How frames of several inputs are brought together.

    Attributes:
        tolerance_ns: longest time between the earliest and the latest stamp of a job's frames.
        queue: frames of each input that may wait for their partners.
    """

    tolerance_ns: int
    queue: int = 4


@dataclass(frozen=True, slots=True)
class TimerSpec:
    """A timer that releases jobs."""

    period_ns: int


@dataclass(frozen=True, slots=True)
class CropsSpec:
    """Which parts of a frame another task's boxes choose.

    Attributes:
        max_crops: most crops a job takes, those of the best scores.
        margin: added to each side of a box, as a share of its width or height.
        min_score: boxes with a lesser score are left out.
        labels: boxes with other labels are left out; empty for any.
    """

    max_crops: int = 8
    margin: float = 0.0
    min_score: float = 0.0
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TriggerSpec:
    """What releases the jobs of a task, where it is not a frame: a timer, or another task.

    Attributes:
        timer: releases a job with the newest frame of each input, if it has any.
        task: name of the task whose result releases a job on crops of its frame.
        crops: which crops.
    """

    timer: TimerSpec | None = None
    task: str = ""
    crops: CropsSpec = field(default_factory=CropsSpec)


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Where results go.

    Attributes:
        topic: topic of the ``InferenceResult``; decoders publish on topics below it.
        decoder: name of a decoder (entry point group ``aegis_ros.decoders``).
        options: decoder options, checked by the decoder at registration.
        annotate: also publish the frame with the result drawn in (``<topic>/annotated``).
        tensors: put the raw output tensors into the ``InferenceResult``.
        publish_ns: time reserved before the deadline for decoding and publishing.
        constant_latency_ns: a result is published no earlier than this long after its frame's
            stamp; 0 publishes it as soon as it is ready.
        max_results: rows that are kept of outputs of which each run decides how many there are; 0
            for what is usual.
    """

    topic: str
    decoder: str = "raw"
    options: dict[str, object] = field(default_factory=dict)
    annotate: bool = False
    tensors: bool = True
    publish_ns: int = 2_000_000
    constant_latency_ns: int = 0
    max_results: int = 0


@dataclass(frozen=True, slots=True, weakref_slot=True)
class TaskSpec:
    """One network, what triggers it and its timing contract.

    Attributes:
        name: unique, ``[a-z][a-z0-9_]*``.
        model: ``pypi://dist/path.onnx``, ``package://pkg/path.onnx`` or a file path.
        input: the stream that feeds its only input; ``None`` where ``inputs`` or ``trigger`` say.
        period_ns: minimum inter-arrival time (> 0).
        deadline_ns: relative deadline, from the frame's stamp to its published result (> 0).
        jitter_ns: longest time from stamp to ready in the engine (transport, conversion).
        criticality: what is shed first.
        on_overrun: what happens to a job that exceeds its budget.
        early_exit: for ``early_exit``: by the name of an output that the decoder reads, that of
            the one that stands in for it where a job ends early.
        queue: frames that may wait; the newest replaces the oldest.
        lane: name of the lane to run on; empty: admission chooses.
        sha256: expected digest of the model file in hex; empty for any.
        wcet_ns: budget declared by the user instead of a measured profile; 0 for measured.
        segments: number of segments; 0 for as few as more urgent tasks allow.
        resident: how many of them have their weights in memory at once.
        storage: what the weights of the others are loaded from.
        dimensions: values for symbolic dimensions of the network's other inputs or outputs.
        enabled: admitted and running (capacity stays reserved while disabled).
        max_decimation: largest n of which the task may take only every n-th frame where not
            everything fits; 1 for every frame, 0 for the default of the criticality.
        inputs: the streams of a network with several inputs by their names in the network, in the
            order of declaration.
        sync: how their frames are brought together; ``None`` for one input, or for a timer.
        trigger: what releases jobs; ``None`` for frames.
    """

    name: str
    model: str
    input: InputSpec | None
    output: OutputSpec
    period_ns: int
    deadline_ns: int
    jitter_ns: int = 0
    preprocess: PreprocessSpec = field(default_factory=PreprocessSpec)
    criticality: Criticality = Criticality.HIGH
    queue: int = 1
    lane: str = ""
    sha256: str = ""
    wcet_ns: int = 0
    segments: int = 0
    dimensions: dict[str, int] = field(default_factory=dict)
    enabled: bool = True
    on_overrun: OverrunPolicy = OverrunPolicy.SKIP_NEXT
    max_decimation: int = 0
    early_exit: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, SourceSpec] = field(default_factory=dict)
    sync: SyncSpec | None = None
    trigger: TriggerSpec | None = None
    resident: Resident | int = Resident.ALL
    storage: Storage = Storage.COLD

    @property
    def sources(self) -> tuple[tuple[str, InputSpec, PreprocessSpec], ...]:
        """Name (empty for the only one), stream and preprocessing of each input fed by a topic."""
        if self.inputs:
            return tuple((name, each, each.preprocess) for name, each in self.inputs.items())
        return () if self.input is None else (("", self.input, self.preprocess),)

    @property
    def main_preprocess(self) -> PreprocessSpec:
        """Preprocessing of the first input, in whose frames results lie."""
        sources = self.sources
        return sources[0][2] if sources else self.preprocess

    @property
    def topics(self) -> str:
        """The topics that feed it, for people; of a chain, the task before it."""
        return ", ".join(each.topic for _, each, _ in self.sources) or self.follows

    @property
    def follows(self) -> str:
        """Name of the task whose results release its jobs; empty for none."""
        return "" if self.trigger is None else self.trigger.task

    @property
    def timed(self) -> bool:
        """Whether a timer releases its jobs."""
        return self.trigger is not None and self.trigger.timer is not None

    @property
    def release_jitter_ns(self) -> int:
        """Longest time from the earliest stamp of a job's frames until the job is released.

        Its frames may be stamped ``sync.tolerance_ns`` apart, and the last of them is waited for.
        """
        return self.jitter_ns + (0 if self.sync is None else self.sync.tolerance_ns)

    @property
    def decimation_limit(self) -> int:
        """The largest n of which the task may take only every n-th frame; 1 for every frame."""
        if self.follows:
            return 1
        default = DEFAULT_MAX_DECIMATION if self.criticality is Criticality.LOW else 1
        return self.max_decimation or default


class Wait(StrEnum):
    """How the thread of a lane waits while a device of its own computes.

    ``sleep`` frees the core and costs a wake-up at the end of every segment; ``spin`` keeps the
    core busy until the segment has ended; ``auto`` sleeps through the time that a segment has
    always taken and spins for the rest, on lanes that have a core to themselves.
    """

    SLEEP = "sleep"
    SPIN = "spin"
    AUTO = "auto"


class Contend(StrEnum):
    """What tasks of lanes that slow each other are measured with when one is admitted.

    Each is more than the one before: ``pairs``: each network on another lane; ``together``: all
    other lanes busy at once; ``loads``: loads of the device as well.
    """

    PAIRS = "pairs"
    TOGETHER = "together"
    LOADS = "loads"


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """One ordered execution resource.

    Attributes:
        name: unique.
        cpu: CPU core the lane's worker is pinned to; ``None`` leaves it to the kernel.
        sms: multiprocessors of the GPU that it has for itself; ``None`` to share the others.
        backend: name of the backend that runs its work; empty for that of the device.
        shared: whether other orchestrators may have its core or GPU, too; ``None`` for as the
            device says.
        wait: how its thread waits for a device; ``None`` for as the device says.
    """

    name: str
    cpu: int | None = None
    sms: int | None = None
    backend: str = ""
    shared: bool | None = None
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """The shared device.

    Attributes:
        backend: name of the backend of all lanes that name none of their own (entry point group
            ``aegis_ros.backends``); empty for the default.
        lanes: at least one; empty where they are to be chosen, before anything is made of it.
        arena_bytes: limit of all footprints together.
        switch_ns: cost of starting one segment, charged to every segment in the analysis.
        realtime_priority: SCHED_FIFO priority of the engine, 0 for the normal scheduler; threads of
            the node between a frame and its result get two less.
        keep_awake: keep idle cores from falling asleep while the engine runs: frames start sooner,
            idle cores take more power.
        standby: keep a second engine process that has imported everything and opened nothing, to
            take over when the first is lost.
        shared: whether other orchestrators may have its cores and its GPU, too; no proof counts
            what they run there.
        wait: how the threads of lanes wait whose device is not their core.
        tf32: whether float32 may be multiplied as TF32 on a GPU: faster, with 10 bits of mantissa.
        contention: what tasks are measured with where lanes slow each other.
    """

    backend: str = ""
    lanes: tuple[LaneSpec, ...] = (LaneSpec("main"),)
    arena_bytes: int = 1024 * 1024 * 1024
    switch_ns: int = 200_000
    realtime_priority: int = 40
    keep_awake: bool = True
    standby: bool = True
    shared: bool = False
    wait: Wait = Wait.SLEEP
    tf32: bool = False
    contention: Contend = Contend.LOADS


@dataclass(frozen=True, slots=True)
class ModelsSpec:
    """Which models may be loaded.

    Attributes:
        roots: the only folders they may be loaded from, ``package://`` URIs or paths.
        require_sha256: refuse tasks that do not declare the digest of their model.
        allow_code: take code that was compiled elsewhere; it runs in the engine.
    """

    roots: tuple[str, ...] = ("package://aegis_ros/models",)
    require_sha256: bool = False
    allow_code: bool = False


class Accept(StrEnum):
    """Whose requests change the set of tasks."""

    ALL = "all"
    LOCAL = "local"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ServicesSpec:
    """Who may ask for changes.

    Attributes:
        accept: of the services that change or measure; lists are always answered.
    """

    accept: Accept = Accept.ALL


@dataclass(frozen=True, slots=True)
class TraceSpec:
    """Where the trace of a run is stored.

    Attributes:
        file: name of the first MCAP file in ``traces/`` of the node's folder, with ``strftime``
            fields; empty for no trace.
        max_bytes: limit of all its files; beyond it, the oldest quarter is deleted.
    """

    file: str = ""
    max_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DiagnosticsSpec:
    """Thresholds of /diagnostics; shares are of 1.

    Attributes:
        silent_periods: a topic without a message for this many periods (at least 1 s) is silent.
        loss: share of the declared frames that may be missing.
        late_error: share of late results above which they are an error; a warning below.
        deadline: share of the deadline that the 99th percentile of the response may take.
        budget: share of the budget that the slowest run may take.
        arena: share of the arena that may be used.
        lane: how far the measured load of a lane may exceed the admitted one.
        device: speed of the device, over its nominal one, below which it counts as slow.
    """

    silent_periods: int = 10
    loss: float = 0.1
    late_error: float = 0.01
    deadline: float = 1.0
    budget: float = 1.0
    arena: float = 0.9
    lane: float = 0.1
    device: float = 0.95


@dataclass(frozen=True, slots=True)
class MemorySpec:
    """How short memory may become before best effort gives its own back.

    Attributes:
        shed: whether it does.
        least_free: share of the memory that must stay free; 0 for any.
        most_stalled: share of ten seconds that may be lost waiting for memory; 1 for any.
        hold_ns: for how long nothing must be short before something comes back.
    """

    shed: bool = True
    least_free: float = 0.05
    most_stalled: float = 0.1
    hold_ns: int = 30_000_000_000


class WhenFull(StrEnum):
    """What becomes of a prompt that finds its queue full.

    ``replace`` gives it the place of the oldest one, ``refuse`` leaves it out.
    """

    REPLACE = "replace"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class PromptsSpec:
    """Prompts for a generator that come by topic, or a standing one that is asked again and again.

    Attributes:
        topic: absolute or relative name of a topic of ``std_msgs/msg/String``; empty for a standing
            prompt.
        answers: topic of the answers.
        qos: ``reliable`` or ``best_effort``.
        queue: prompts that may wait to be asked.
        when_full: what becomes of one that finds no place.
        period_ns: shortest time between two that are asked, or how often the standing one is; 0 for
            none.
        at_once: prompts that are asked and not answered yet.
        prefix: text in front of each message.
        suffix: text behind each message.
        system: standing message in front of these prompts; empty for that of the generator.
        max_tokens: longest answer; ``None`` for that of the generator.
        temperature: how tokens are drawn; 0 takes the most likely one.
        top_p: draw from the most likely tokens that together have this probability.
        seed: of the draws.
        stop: texts that end an answer.
        text: of the standing prompt; empty for prompts that come by topic.
    """

    topic: str
    answers: str
    qos: str = "reliable"
    queue: int = 1
    when_full: WhenFull = WhenFull.REPLACE
    period_ns: int = 0
    at_once: int = 1
    prefix: str = ""
    suffix: str = ""
    system: str = ""
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class ImageTopicSpec:
    """The images that the prompts of a generator are about.

    Attributes:
        topic: whose newest image it is where a prompt does not say; empty: about none then.
        qos: quality of service of the subscriptions: ``reliable`` or ``best_effort``.
        max_age_ns: how long ago an image may have come.
        parts: groups of layers that the image encoder is cut into.
        type: of the messages: ``sensor_msgs/msg/Image`` or ``sensor_msgs/msg/CompressedImage``.
        others: topics of the same type that a prompt may name.
        max_size: largest image, (height, width) in pixels.
    """

    topic: str = ""
    qos: str = "best_effort"
    max_age_ns: int = 1_000_000_000
    parts: int = 1
    type: str = "sensor_msgs/msg/Image"
    others: tuple[str, ...] = ()
    max_size: tuple[int, int] = (4096, 4096)

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics that images come from."""
        return (self.topic, *self.others) if self.topic else self.others


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """A language model that answers in the time and the memory that tasks leave.

    Attributes:
        name: unique, also among tasks.
        model: where its file is, as for a task.
        sha256: digest of the file; empty for any.
        tokenizer: path of a tokenizer.json inside the roots; empty for that of the model.
        lane: name of its lane; empty for the only one.
        precision: how products are computed.
        parts: groups of layers that a step is cut into; the logits are one more.
        slots: answers at once.
        max_len: tokens of one, its prompt included.
        max_chunk: most tokens of a prompt in one step.
        max_batch: most answers in one step.
        tokens_per_s: what each answer is promised; 0 for best effort.
        adaptation: name of the policy that it adapts by.
        waiting: requests that may wait for a slot.
        system: standing message in front of every prompt; empty for none.
        max_tokens: longest answer of a request that does not say.
        prompts: topic that brings prompts; ``None`` for none.
        image: topic whose newest image every prompt is about; ``None`` for none.
    """

    name: str
    model: str
    sha256: str = ""
    tokenizer: str = ""
    lane: str = ""
    precision: str = "quantised"
    parts: int = 1
    slots: int = 1
    max_len: int = 1024
    max_chunk: int = 32
    max_batch: int = 4
    tokens_per_s: float = 0.0
    adaptation: str = "default"
    waiting: int = 16
    system: str = ""
    max_tokens: int = 256
    prompts: PromptsSpec | None = None
    image: ImageTopicSpec | None = None


@dataclass(frozen=True, slots=True)
class OrchestratorSpec:
    """The whole configuration of one orchestrator."""

    device: DeviceSpec = field(default_factory=DeviceSpec)
    models: ModelsSpec = field(default_factory=ModelsSpec)
    tasks: tuple[TaskSpec, ...] = ()
    generators: tuple[GeneratorSpec, ...] = ()
    trace: TraceSpec = field(default_factory=TraceSpec)
    diagnostics: DiagnosticsSpec = field(default_factory=DiagnosticsSpec)
    memory: MemorySpec = field(default_factory=MemorySpec)
    services: ServicesSpec = field(default_factory=ServicesSpec)
