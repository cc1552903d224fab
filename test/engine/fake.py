"""The one fake engine of all tests: keeps the contract of an engine, and runs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.engine import (
    Asked,
    Channel,
    ChannelSpec,
    Cycle,
    EngineEvent,
    EngineInfo,
    EngineStatus,
    JobResult,
    JobSkip,
    LaneState,
    LoadGenerator,
    LoadSpec,
    OverrunEvent,
    PartialResult,
    SlotFrame,
    Spoken,
)
from aegis_ros.engine.wire import MAX_RANK
from aegis_ros.errors import EngineError, InputError
from aegis_ros.memory import KvShape, Taken
from aegis_ros.network.generator.buckets import measured_shapes
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.measuring import MeasuredBucket
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import ExecutionPlan
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import DeviceSpec

_Spec = TypeVar("_Spec", LoadSpec, LoadGenerator)

MS = 1_000_000
RAISE, HANG = 255, 254  # first byte of a frame, as the simulated backend understands it


class FakeEngine:
    """Loads whatever it is asked to, and measures what it is made to say.

    Attributes:
        runs: whether jobs end within ``submit``; else they stay in flight until :meth:`stop`.
        run_ns: what every segment takes when it is measured.
        run_ns_on: the same of lanes that differ, by index.
        refuses_start: why it does not start; empty where it does.
        divides: whether that is of a whole network, in equal segments.
        slowdown: by what factor a network takes longer beside another one.
        at_once: the same beside several; 0 for as beside one.
        measured_beside: lanes of each such measurement: own, other.
        beside: the same with all others at once, and the keys of what ran there.
        running: task that runs on a lane, by index.
        generators: language models that are loaded.
        token_ns: what each part of a language model's chunk takes a token when it is measured, and
            half of what that of a decode takes; 0 for as long as every segment.
        generators_measured: how often that was done.
        weighed: how often it was seen what a language model takes in memory.
        takes_more: bytes that this is more than the size of its files and its cache.
        asked: requests that are in flight, by (task id, number).
        cancelled: (task id, number) of those that were cancelled.
        limits: (chunk, batch) of each language model.
        ran: cycles of each language model.
        calls: what was loaded and unloaded, in order: (verb, task id).
    """

    def __init__(
        self,
        device: DeviceSpec,
        *,
        on_result: Callable[[JobResult], None],
        on_skip: Callable[[JobSkip], None],
        on_event: Callable[[EngineEvent], None],
        on_overrun: Callable[[OverrunEvent], None] = lambda event: None,
        on_restored: Callable[[int, int], None] = lambda lane, duration_ns: None,
        on_partial: Callable[[PartialResult], None] = lambda partial: None,
        on_tokens: Callable[[Spoken], None] = lambda spoken: None,
        trace: object = None,
    ) -> None:
        self.device = device
        self.on_result = on_result
        self.on_skip = on_skip
        self.on_event = on_event
        self.on_overrun = on_overrun
        self.on_restored = on_restored
        self.on_tokens = on_tokens
        self.started = False
        self.runs = False
        self.loaded: dict[int, LoadSpec] = {}
        self.generators: dict[int, LoadGenerator] = {}
        self.asked: dict[tuple[int, int], Asked] = {}
        self.cancelled: list[tuple[int, int]] = []
        self.limits: dict[int, tuple[int, int]] = {}
        self.ran: dict[int, list[Cycle]] = {}
        self.token_ns = 0
        self.generators_measured = 0
        self.weighed = 0
        self.takes_more = 0
        self.channels: dict[str, Channel] = {}
        self.in_flight: dict[tuple[int, int], object] = {}
        self.submitted: list[list[tuple[int, int, int, int]]] = []
        self.measured = 0
        self.measured_on: list[int] = []
        self.speed = 1.0
        self.running: dict[int, int] = {}
        self.scaling: dict[int, float] = {}
        self.run_ns = 5 * MS
        self.run_ns_on: dict[int, int] = {}
        self.divides = False
        self.slowdown = 1.0
        self.at_once = 0.0
        self.measured_beside: list[tuple[int, int]] = []
        self.beside: list[tuple[int, tuple[tuple[str, int], ...]]] = []
        self.calls: list[tuple[str, int]] = []
        self.refuses_start = ""
        self.refuses_load = False
        self.load_note = ""
        self.refuses_channel = False
        self.tried_again = 0
        self.while_measuring: Callable[[], None] = lambda: None

    def start(self) -> EngineInfo:
        if self.started:
            raise EngineError("the engine is already running")
        if self.refuses_start:
            raise EngineError(self.refuses_start)
        self.started = True
        return self.info()

    def info(self) -> EngineInfo:
        self._require_started()
        return EngineInfo(1, "simulated", "fake device", "none")

    def stop(self) -> None:
        self.started = False
        self._skip_all("the engine was stopped", lambda task_id: True)
        for key in list(self.channels):
            self.close_channel(key)
        self.loaded.clear()
        for task_id in list(self.generators):
            self._remove_generator(task_id)

    def try_again(self) -> None:
        self.tried_again += 1

    def open_channel(self, spec: ChannelSpec) -> Channel:
        self._require_started()
        if self.refuses_channel:
            raise EngineError("no memory for a channel")
        if spec.key in self.channels:
            raise EngineError("the channel is already open", value=spec.key)
        self.channels[spec.key] = Channel(len(self.channels), spec)
        return self.channels[spec.key]

    def close_channel(self, key: str) -> None:
        channel = self.channels.pop(key, None)
        if channel is not None:
            channel.close()

    def load(self, spec: LoadSpec) -> str:
        return self._loaded(spec, self.loaded)

    def load_generator(self, spec: LoadGenerator) -> str:
        return self._loaded(spec, self.generators)

    def _loaded(self, spec: _Spec, into: dict[int, _Spec]) -> str:
        self._require_started()
        if self.refuses_load:
            raise EngineError("the backend refuses the network")
        if spec.task_id in self.loaded or spec.task_id in self.generators:
            raise EngineError("the task is already loaded", value=spec.task_id)
        if not 0 <= spec.lane < len(self.device.lanes):
            raise EngineError("there is no such lane", value=spec.lane)
        into[spec.task_id] = spec
        self.calls.append(("load", spec.task_id))
        return self.load_note

    def ask(self, task_id: int, asked: Asked) -> None:
        if task_id not in self.generators:
            raise EngineError("no such language model is loaded", value=task_id)
        self._require_started()
        if asked.slot in [each.slot for (task, _), each in self.asked.items() if task == task_id]:
            raise InputError("the request cannot be taken", where="slot")
        if not asked.tokens:
            raise InputError("the request cannot be taken", where="tokens")
        self.asked[task_id, asked.request] = asked

    def cancel(self, task_id: int, request: int) -> None:
        if (task_id, request) in self.asked:
            self.cancelled.append((task_id, request))

    def limit(self, task_id: int, *, chunk: int = 0, batch: int = 0) -> None:
        if chunk < 0 or batch < 0:
            raise InputError("a limit is negative")
        if task_id in self.generators:
            self.limits[task_id] = chunk, batch
            self.calls.append(("limit", task_id))

    def cycle(self, task_id: int) -> Cycle | None:
        return self.ran[task_id][-1] if self.ran.get(task_id) else None

    def cycles(self, task_id: int, after: int) -> tuple[Cycle, ...]:
        return tuple(each for each in self.ran.get(task_id, ()) if each.number > after)

    def say(self, task_id: int, request: int, *tokens: int, ended: Ending | None = None) -> None:
        """Have a request that is in flight say something."""
        assert (task_id, request) in self.asked
        if ended is not None:
            del self.asked[task_id, request]
        times_ns = (time.monotonic_ns(),) * len(tokens)
        self.on_tokens(Spoken(task_id, request, tokens, times_ns, ended))

    def weigh_generator(
        self, compiled: CompiledGenerator, lane: int, shapes: Sequence[Shape], cache: KvShape
    ) -> Taken:
        self.weighed += 1
        nbytes = compiled.footprint(cache).total + self.takes_more
        return Taken(nbytes, nbytes)

    def measure_generator(
        self,
        compiled: CompiledGenerator,
        lane: int,
        *,
        slots: int,
        runs: int,
        on_progress: Callable[[int, int], bool],
        **how: Any,
    ) -> list[MeasuredBucket]:
        self._require_started()
        self.measured_on.append(lane)
        self.generators_measured += 1
        self.while_measuring()
        taken_ns = self.run_ns_on.get(lane, self.run_ns)
        on_progress(runs, taken_ns)
        facts, parts = compiled.facts, len(compiled.paths)
        return [
            MeasuredBucket(
                prefill,
                size,
                np.full(
                    (runs, facts.cached_by if prefill else parts),
                    self.token_ns * (size if prefill else 2) or taken_ns,
                    np.int64,
                ),
            )
            for prefill, size in measured_shapes(facts, slots)
        ]

    def change_budgets(self, task_id: int, plan: ExecutionPlan) -> None:
        spec = self.loaded.get(task_id)
        if spec is not None:
            self.loaded[task_id] = replace(spec, plan=plan)
            self.calls.append(("change_budgets", task_id))

    def unload(self, task_id: int) -> None:
        self.loaded.pop(task_id, None)
        self._remove_generator(task_id)
        self.calls.append(("unload", task_id))
        self._skip_all("the task was removed", lambda other: other == task_id)

    def profile(
        self,
        compiled: CompiledNetwork,
        lane: int,
        runs: int,
        on_progress: Callable[[int, int], bool],
        warmup: int = 10,
        **how: Any,
    ) -> np.ndarray:
        self._require_started()
        beside = how.get("beside", ())
        if beside:
            self.measured_beside += [(lane, other) for _, other in beside]
            ran = tuple((network.key, other) for network, other in beside)
            self.beside.append((lane, ran))
        else:
            self.measured += not how.get("cold", False)
            self.measured_on.append(lane)
        self.while_measuring()
        factor = self.slowdown if beside else 1.0
        if len(beside) > 1 and self.at_once:
            factor = self.at_once
        taken_ns = round(self.run_ns_on.get(lane, self.run_ns) * factor)
        if self.divides:
            taken_ns //= compiled.segments
        on_progress(runs, taken_ns)
        return np.full((runs, compiled.segments), taken_ns, np.int64)

    def submit(
        self,
        frames: Sequence[SlotFrame],
        received_ns: int,
        jobs: Sequence[tuple[int, int, int, int]],
        *,
        origin: object = None,
    ) -> None:
        if any(len(frame.shape) > MAX_RANK for frame in frames):
            raise InputError("a frame has too many extents")
        self.submitted.append(list(jobs))
        first = frames[0].array().flat[0] if frames else 0
        for frame in frames:
            frame.drop()  # read at once
        for job in jobs:
            task_id, seq, *_ = job
            spec = self.loaded.get(task_id)
            if not self.started:
                text = "the engine is not running"
                self.on_skip(JobSkip(task_id, seq, Rule.ENGINE_RESTART, text, origin))
            elif spec is None:
                self.on_skip(JobSkip(task_id, seq, Rule.STATE, "the task is not loaded", origin))
            elif not self.runs or first == HANG:
                self.in_flight[task_id, seq] = origin
            elif first == RAISE:
                self.on_skip(JobSkip(task_id, seq, Rule.RUN_FAILED, "it failed", origin))
            else:
                self._run(spec, job, received_ns, origin)

    def set_speed(self, factor: float) -> None:
        self.speed = factor

    def set_critical_scaling(self, lane: int, factor: float) -> None:
        self.scaling[lane] = factor

    def status(self) -> EngineStatus:
        if not self.started:
            return EngineStatus(0, 0, (), 0, 0)
        lanes = tuple(
            LaneState(self.running.get(index, -1), 0, 0, 0)
            for index in range(len(self.device.lanes))
        )
        return EngineStatus(1, time.monotonic_ns(), lanes, 0, 0)

    def _run(
        self, spec: LoadSpec, job: tuple[int, int, int, int], received_ns: int, origin: object
    ) -> None:
        task_id, seq, arrival_ns, deadline_ns = job
        now = time.monotonic_ns()
        outputs = {item.name: np.zeros(item.shape, item.dtype) for item in spec.compiled.outputs}
        self.on_result(
            JobResult(
                task_id,
                seq,
                arrival_ns,
                received_ns,
                deadline_ns,
                released_ns=now,
                started_ns=now,
                finished_ns=now + 1,
                execution_ns=1,
                outputs=outputs,
                origin=origin,
                handed_ns=now + 1,
            )
        )

    def _skip_all(self, text: str, of: Callable[[int], bool]) -> None:
        for task_id, seq in [key for key in self.in_flight if of(key[0])]:
            origin = self.in_flight.pop((task_id, seq))
            self.on_skip(JobSkip(task_id, seq, Rule.OPERATOR, text, origin))

    def _remove_generator(self, task_id: int) -> None:
        self.generators.pop(task_id, None)
        for task, request in list(self.asked):
            if task == task_id:
                self.say(task_id, request, ended=Ending.REMOVED)

    def _require_started(self) -> None:
        if not self.started:
            raise EngineError("the engine is not running", rule=Rule.ENGINE_RESTART)
