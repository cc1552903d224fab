"""Every key of the file but those of a task, declared once: its kind, default and range."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from aegis_ros.config.convert import to_spec
from aegis_ros.config.generator_model import Generator
from aegis_ros.config.keys import Float, Int, Model, Shown
from aegis_ros.config.mistakes import Unfit, suggest
from aegis_ros.config.patterns import NAME, TRACE_FILE
from aegis_ros.config.task_model import Task
from aegis_ros.errors import ConfigError
from aegis_ros.plugins import Plugins
from aegis_ros.spec import Accept, Contend, OrchestratorSpec, Wait

__all__ = ["Config"]

_RESULT = "aegis_ros/msg/InferenceResult"
_PROMPT = "std_msgs/msg/String"
_ANSWER = "aegis_ros/msg/GeneratorAnswer"


class _Lane(Model):
    word: ClassVar[str] = "name"

    name: str = Field(pattern=NAME, description="unique")
    cpu: Annotated[Int | None, Shown("any")] = Field(
        None,
        ge=0,
        le=4095,
        description="processor core that the lane's thread is pinned to; it must exist "
        "(`lscpu -e`), and no other lane may compute on it: see [Cores](#cores)",
    )
    sms: Annotated[Int | None, Shown("shared")] = Field(
        None,
        ge=1,
        le=1024,
        description="multiprocessors of the GPU that the lane has to itself, with a backend that "
        "can divide a GPU: see [gpu.md](gpu.md#lanes-and-contention)",
    )
    backend: Annotated[str, Shown("`device.backend`")] = Field(
        "",
        max_length=64,
        description="runtime of the networks on this lane: see [Backends](#backends)",
    )
    shared: Annotated[bool | None, Shown("`device.shared`")] = Field(
        None, description="let other orchestrators use its core or GPU: see [Sharing](#sharing)"
    )
    wait: Annotated[Wait | None, Shown("`device.wait`")] = Field(
        None, description="how its thread waits for a GPU: see [gpu.md](gpu.md#how-a-lane-waits)"
    )

    @classmethod
    def in_place_of(cls, key: str, word: str) -> str:
        """Name a lane as the word, where that can be a name."""
        return super().in_place_of(key, word if re.fullmatch(NAME, word) else "main")


def _list_or_auto(value: object, listed: ValidatorFunctionWrapHandler) -> list[_Lane]:
    """Return no lanes for ``auto``: they are chosen later."""
    if value == "auto":
        return []
    if isinstance(value, str):
        raise Unfit("not valid", value=value, expected="auto, or a list of lanes")
    found: list[_Lane] = listed(value)
    return found


class _Device(Model):
    word: ClassVar[str] = "backend"

    backend: Annotated[str, Shown("that of the processor")] = Field(
        "",
        description="runtime of the networks on all lanes that name none: see "
        "[Backends](#backends)",
    )
    lanes: Annotated[
        list[_Lane],
        Field(min_length=1, max_length=64),
        WrapValidator(_list_or_auto),
        Shown("`[{name: main}]`", "`auto`, or list of 1 to 64 mappings"),
    ] = Field(
        default_factory=lambda: [_Lane(name="main")],
        description="what networks run on; each lane runs one job at a time; `auto` chooses them: "
        "see [Lanes that are chosen](#lanes-that-are-chosen)",
    )
    arena_mib: Float = Field(
        1024.0,
        ge=0.001,
        le=1_048_576.0,
        description="memory that all admitted tasks may take together: see [Memory](#memory)",
    )
    switch_ms: Float = Field(
        0.2, ge=0.0, le=100.0, description="cost charged for starting a segment"
    )
    realtime_priority: Int = Field(
        40,
        ge=0,
        le=98,
        description="SCHED_FIFO priority of the engine, 0 for none; the node's threads between a "
        "frame and its result get two less",
    )
    keep_awake: bool = Field(
        True,
        description="keep idle cores from falling asleep while the engine runs: frames start "
        "sooner, idle cores take more power",
    )
    standby: bool = Field(
        True,
        description="keep a second engine process ready to take over when the first is lost; it "
        "takes memory, and no time of a lane",
    )
    shared: bool = Field(
        False,
        description="let other orchestrators use its cores and GPU: see [Sharing](#sharing)",
    )
    wait: Wait = Field(
        Wait.SLEEP,
        description="how the threads of lanes wait for a GPU; `spin` and `auto` answer sooner and "
        "keep a core busy: see [gpu.md](gpu.md#how-a-lane-waits)",
    )
    tf32: bool = Field(
        False,
        description="let a GPU multiply float32 as TF32: faster, with 10 bits of mantissa, and "
        "held to wider tolerances (see [gpu.md](gpu.md#what-a-build-does))",
    )
    contention: Contend = Field(
        Contend.LOADS,
        description="what a task is measured with, when one is admitted, where lanes slow each "
        "other: `pairs`: each network on another lane; `together`: also all other lanes busy at "
        "once; `loads`: also loads of memory and arithmetic there (see "
        "[profiling.md](profiling.md#with-each-other))",
    )

    @classmethod
    def in_place_of(cls, key: str, word: str) -> str:
        """Name the backends where the word is none of them, as that of a kind of device."""
        names = Plugins("backend", "aegis_ros.backends", "device.backend", {}).names()
        if word in names or not names:
            return super().in_place_of(key, word)
        return (
            f"Write `{key}: {{backend: NAME}}`, as one of {', '.join(names)}; `aegis doctor` says "
            "which can be used here, and what each computes on"
        )


class _Models(Model):
    roots: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(
        default_factory=lambda: ["package://aegis_ros/models"],
        max_length=64,
        description="folders that networks may be loaded from, `package://` URIs or paths; "
        "`pypi://` files that an installed distribution recorded are allowed too, nothing else is",
    )
    require_sha256: bool = Field(
        False, description="refuse tasks that do not declare the `sha256` of their model"
    )
    allow_code: bool = Field(
        False,
        description="take networks that somebody else has compiled (`.so`), on lanes whose backend "
        "runs such code. It runs in the engine and can do all that the node's user can: see "
        "[security.md](security.md#compiled-code)",
    )


class _Services(Model):
    word: ClassVar[str] = "accept"

    accept: Accept = Field(
        Accept.ALL,
        description="whose requests may register, unregister, pause, evaluate and measure: "
        "`local` only as long as every client of a service runs on this machine, `none` nobody's, "
        "nor what earlier runs admitted. Lists are always answered ([security.md](security.md))",
    )


class _Trace(Model):
    word: ClassVar[str] = "file"

    # A name, not a path: a configuration may write where traces are kept, and nowhere else.
    file: Annotated[str, Shown("none")] = Field(
        "",
        max_length=128,
        pattern=TRACE_FILE,
        description="MCAP file that every run is traced to ([tracing.md](tracing.md)), as "
        "`run_%Y%m%d_%H%M%S.mcap`: `strftime` fields keep runs apart; a name, not a path: files "
        "lie in `traces/` of the node's folder below the state directory",
    )
    max_mib: Float = Field(
        1024.0,
        ge=1.0,
        le=1_048_576.0,
        description="limit of all files of a run; beyond it, the oldest quarter is deleted",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> _Trace:
        if not self.file and self.max_mib != _Trace.model_fields["max_mib"].default:
            raise Unfit(
                "has no effect without trace.file",
                path=("max_mib",),
                value=self.max_mib,
                expected="it left out",
                hint="Name a file, as run_%Y%m%d.mcap, or leave both out",
            )
        return self


class _Diagnostics(Model):
    silent_periods: Int = Field(
        10,
        ge=2,
        le=10_000,
        description="a topic without a message for this many periods (at least 1 s) is silent",
    )
    loss: Float = Field(
        0.1, ge=0.0, le=1.0, description="share of the declared frames that may be missing"
    )
    late_error: Float = Field(
        0.01,
        ge=0.0,
        le=1.0,
        description="share of late results above which they are an error; a warning below",
    )
    deadline: Float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="share of the deadline that the 99th percentile of the response may take",
    )
    budget: Float = Field(
        1.0, gt=0.0, le=10.0, description="share of the budget that the slowest run may take"
    )
    arena: Float = Field(0.9, gt=0.0, le=1.0, description="share of the arena that may be used")
    lane: Float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="how far the measured load of a lane may exceed the admitted one, as a share "
        "of the lane",
    )
    device: Float = Field(
        0.95,
        gt=0.0,
        le=1.0,
        description="speed of the device, over its nominal one, below which it counts as slow",
    )


class _Memory(Model):
    word: ClassVar[str] = "shed"

    shed: bool = Field(
        True, description="unload best effort while memory is short; without, it is only reported"
    )
    least_free: Float = Field(
        0.05,
        ge=0.0,
        lt=1.0,
        description="share of the memory, the machine's or that of the control group with the "
        "least room, that must stay free; 0: not looked at",
    )
    most_stalled: Float = Field(
        0.1,
        gt=0.0,
        le=1.0,
        description="share of the last ten seconds in which everything may have waited for memory "
        "(the kernel's `full avg10`); 1: not looked at",
    )
    hold_ms: Float = Field(
        30_000.0,
        ge=0.0,
        le=86_400_000.0,
        description="for how long nothing must have been short before one comes back",
    )

    @model_validator(mode="after")
    def _looks_at_something(self) -> _Memory:
        if self.shed and not self.least_free and self.most_stalled == 1.0:
            raise Unfit(
                "has nothing to decide by: neither what is free nor what is lost is looked at",
                path=("shed",),
                value=self.shed,
                expected="least_free above 0, or most_stalled below 1",
                hint="Write shed: false where nothing is to be shed for memory",
            )
        return self


class Config(Model):
    """The whole file."""

    device: _Device = Field(default_factory=_Device)
    models: _Models = Field(default_factory=_Models)
    services: _Services = Field(default_factory=_Services)
    trace: _Trace = Field(default_factory=_Trace)
    diagnostics: _Diagnostics = Field(default_factory=_Diagnostics)
    memory: _Memory = Field(default_factory=_Memory)
    tasks: list[Task] = Field(default_factory=list, max_length=256)
    generators: list[Generator] = Field(default_factory=list, max_length=8)

    def mistakes(self) -> list[ConfigError]:
        """Return what is wrong between keys that are each valid."""
        lanes = [lane.name for lane in self.device.lanes]
        found = _duplicates(lanes, "device.lanes")
        found += _duplicates([task.name for task in self.tasks], "tasks")
        found += _duplicates([each.name for each in self.generators], "generators")
        tasks = {task.name: index for index, task in enumerate(self.tasks)}
        found += [
            _taken(f"tasks[{tasks[each.name]}]", f"generators[{index}].name", each.name)
            for index, each in enumerate(self.generators)
            if each.name in tasks
        ]
        found += self._topics_of_two_types()
        placed = [(f"tasks[{index}].lane", task.lane) for index, task in enumerate(self.tasks)]
        placed += [
            (f"generators[{index}].lane", each.lane) for index, each in enumerate(self.generators)
        ]
        found += [
            ConfigError(
                "lanes are chosen for tasks, and a generator names its own"
                if not lanes
                else "a generator does not choose its lane",
                where=f"generators[{index}].lane",
                expected="one of " + ", ".join(lanes) if lanes else "lanes that have names",
                hint="" if lanes else "Write the lanes down in device.lanes",
            )
            for index, each in enumerate(self.generators)
            if not each.lane and len(lanes) != 1
        ]
        if not lanes:
            return found + [
                ConfigError(
                    "its lane is chosen, as device.lanes is auto",
                    where=where,
                    value=lane,
                    expected="it left out, or lanes that have names",
                )
                for where, lane in placed
                if lane
            ]
        return found + [
            ConfigError(
                "there is no such lane",
                where=where,
                value=lane,
                expected="one of " + ", ".join(lanes),
                hint=suggest(lane, lanes).strip(" ()").capitalize(),
            )
            for where, lane in placed
            if lane and lane not in lanes
        ]

    def _topics_of_two_types(self) -> list[ConfigError]:
        """Return the topics of prompts and answers that something of the file uses otherwise."""
        uses: dict[str, tuple[str, str]] = {}  # by topic: its type, and the key that says so
        for index, task in enumerate(self.tasks):
            where = f"tasks[{index}]"
            uses.setdefault(task.output.topic, (_RESULT, f"{where}.output.topic"))
            if task.input is not None:
                uses.setdefault(task.input.topic, (task.input.type, f"{where}.input.topic"))
            for name, source in task.inputs.items():
                uses.setdefault(source.topic, (source.type, f"{where}.inputs.{name}.topic"))
        found = []
        for index, each in enumerate(self.generators):
            prompts, image = each.prompts, each.image
            named: list[tuple[str, str, str]] = []
            if image is not None:
                named = [
                    (f"image.others[{at}]", topic, image.type)
                    for at, topic in enumerate(image.others)
                ]
                if image.topic:
                    named.insert(0, ("image.topic", image.topic, image.type))
            if prompts is not None:
                if prompts.topic:
                    named.append(("prompts.topic", prompts.topic, _PROMPT))
                named.append(("prompts.answers", prompts.answers, _ANSWER))
            for key, topic, kind in named:
                where = f"generators[{index}].{key}"
                used, user = uses.setdefault(topic, (kind, where))
                if used != kind:
                    found.append(
                        ConfigError(
                            f"the topic is used with type {used} by {user}",
                            where=where,
                            value=topic,
                            expected=f"a topic of type {kind}",
                            hint="Rename one of the two",
                        )
                    )
        return found

    def to_spec(self) -> OrchestratorSpec:
        """Return the plain data of this configuration."""
        return to_spec(
            OrchestratorSpec,
            self,
            tasks=tuple(task.to_spec() for task in self.tasks),
            generators=tuple(each.to_spec() for each in self.generators),
        )


def _duplicates(names: Sequence[str], where: str) -> list[ConfigError]:
    first: dict[str, int] = {}
    found = []
    for index, name in enumerate(names):
        if first.setdefault(name, index) != index:
            found.append(_taken(f"{where}[{first[name]}]", f"{where}[{index}].name", name))
    return found


def _taken(by: str, where: str, name: str) -> ConfigError:
    return ConfigError(
        f"the name is taken by {by}",
        where=where,
        value=name,
        expected="a name of its own",
        hint="Rename one of the two",
    )
