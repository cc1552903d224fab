"""The four ways: a process a network, a stream a network, one queue, and the orchestrator.

All run the same compiled networks through this package's engine, so that they differ in nothing but
who runs when: the first in an engine each, whose contexts the driver shares the GPU out to by time;
the second in one engine with a thread and a stream each, sooner deadlines with more urgent streams;
the third on one stream in the order of arrival; the last as the orchestrator admits, cuts and
orders them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aegis_ros.backends import CompiledNetwork
from aegis_ros.config import load_config
from aegis_ros.engine import (
    Channel,
    ChannelSpec,
    EngineClient,
    EngineEvent,
    JobSkip,
    LoadSpec,
    SlotFrame,
)
from aegis_ros.orchestrator import FrameTimes, Orchestrator
from aegis_ros.rationale import Decision, Rationale, Rule
from aegis_ros.spec import DeviceSpec, FrameFormat, LaneSpec
from benchmarks.compare.cpu import Cpu
from benchmarks.compare.rounds import Arm, Round
from benchmarks.compare.workload import Task, Workload
from benchmarks.gpu.cameras import Book, Cameras

__all__ = ["WAYS", "Bench", "one_round"]

WAYS = {
    "processes": "a process a network",
    "streams": "a stream a network",
    "queue": "one queue",
    "aegis": "aegis_ros",
}
_ONE_LANE = ("queue", "aegis")
_LEFT_OUT = (Decision.SKIPPED, Decision.SHED, Decision.LOST)
_WARM_UP_S = 1.0
_DRAIN_S = 0.5
_SLOTS = 4
_FIFO_NS = 10_000_000_000  # the same relative deadline for all: in the order of arrival


@dataclass(frozen=True)
class Bench:
    """What every round works with.

    Attributes:
        workload: what runs.
        compiled: each network, whole.
        state: profiles and caches of the orchestrator.
        folder: for configurations.
        cores: processor cores the cameras may run on; empty for any.
    """

    workload: Workload
    compiled: Mapping[str, CompiledNetwork]
    state: Path
    folder: Path
    cores: tuple[int, ...] = ()

    def device(self, lanes: Sequence[LaneSpec], priority: int) -> DeviceSpec:
        """Return the device with these lanes."""
        return DeviceSpec(
            str(self.workload.device["backend"]), tuple(lanes), realtime_priority=priority
        )

    def images(self, tasks: Sequence[Task]) -> dict[str, npt.NDArray[np.uint8]]:
        """Return an image for the camera of each task."""
        chance = np.random.default_rng(0)
        return {
            task.name: chance.integers(0, 256, self.compiled[task.network].max_shape, np.uint8)
            for task in tasks
        }


@dataclass
class _Running:
    """A way that takes frames.

    Attributes:
        send: hands over a task's frame.
        pids: processes it consists of, besides this one.
        finish: completes what the round found; before the way ends.
        reported: frames left out so far of which that was said, by task.
    """

    send: Callable[[Task, int], None]
    pids: list[int]
    finish: Callable[[Round], None] = lambda item: None
    reported: Callable[[], dict[str, int]] = dict
    dropped: dict[str, int] = field(default_factory=dict)


def one_round(
    bench: Bench, arm: Arm, *, load: float, number: int, tasks: Sequence[Task], seconds: float
) -> Round:
    """Return what one way did in one round."""
    book = Book(tasks)
    with ExitStack() as stack:
        way = stack.enter_context(
            _orchestrated(bench, tasks, book) if arm.ours else _usual(bench, arm.way, tasks, book)
        )
        with Cameras(tasks, book, way.send, cores=bench.cores, seed=number):
            time.sleep(_WARM_UP_S)
            cpu, reported, begin_ns = Cpu(way.pids), way.reported(), time.monotonic_ns()
            time.sleep(seconds)
            end_ns, used, said = time.monotonic_ns(), cpu.used(), way.reported()
        time.sleep(_DRAIN_S)
        found = book.rounds(begin_ns, end_ns, one_lane=arm.way in _ONE_LANE)
        for name, one in found.items():
            one.reported = min(one.without, said.get(name, 0) - reported.get(name, 0))
            one.replaced = way.dropped.get(name, 0)
        item = Round(load, arm.name, number, time.time(), (end_ns - begin_ns) / 1e9, found, used)
        way.finish(item)
    return item


@contextmanager
def _usual(bench: Bench, way: str, tasks: Sequence[Task], book: Book) -> Iterator[_Running]:
    core = bench.workload.core
    ordered = sorted(tasks, key=lambda task: task.deadline_ms)  # the first lane is the most urgent
    own = [LaneSpec(task.name, core) for task in ordered]
    if way == "processes":
        devices = [bench.device([lane], 0) for lane in own]
        places = {task.name: (at, 0) for at, task in enumerate(ordered)}
    elif way == "streams":
        devices = [bench.device(own, 0)]
        places = {task.name: (0, at) for at, task in enumerate(ordered)}
    else:
        devices = [bench.device([LaneSpec("main", core)], DeviceSpec().realtime_priority)]
        places = {task.name: (0, 0) for task in ordered}
    ids = {task.name: at for at, task in enumerate(ordered)}
    names = {at: name for name, at in ids.items()}
    dropped: dict[str, int] = {}
    problems: list[str] = []

    def skipped(skip: JobSkip) -> None:
        name = names[skip.task_id]
        dropped[name] = dropped.get(name, 0) + 1
        if skip.rule is not Rule.NEWER_FRAME:
            problems.append(f"{name}: {skip.rule} {skip.text}")

    def event(happened: EngineEvent) -> None:
        problems.append(happened.sentence)

    with ExitStack() as stack:
        engines: list[EngineClient] = []
        for device in devices:
            engine = EngineClient(
                device,
                on_result=book.result,
                on_skip=skipped,
                on_event=event,
            )
            engine.start()
            stack.callback(engine.stop)
            engines.append(engine)
        channels: dict[str, Channel] = {}
        for task in ordered:
            at, lane = places[task.name]
            compiled = bench.compiled[task.network]
            channels[task.name] = engines[at].open_channel(
                ChannelSpec(task.name, FrameFormat.RGB8, compiled.max_shape, _SLOTS)
            )
            engines[at].load(LoadSpec(ids[task.name], task.name, compiled, lane, task.name))
        images = bench.images(tasks)
        sent = dict.fromkeys(ids, 0)

        def send(task: Task, stamp_ns: int) -> None:
            channel, image = channels[task.name], images[task.name]
            slot = channel.acquire()
            if slot is None:
                dropped[task.name] = dropped.get(task.name, 0) + 1
                return
            channel.array(slot, image.shape)[...] = image
            sent[task.name] += 1
            at, _ = places[task.name]
            span = _FIFO_NS if way == "queue" else round(task.deadline_ms * 1e6)
            job = (ids[task.name], sent[task.name], stamp_ns, stamp_ns + span)
            origin = (task.name, stamp_ns)
            engines[at].submit(
                (SlotFrame(channel, slot, image.shape),), stamp_ns, [job], origin=origin
            )

        yield _Running(send, [engine.info().pid for engine in engines], dropped=dropped)
        if problems:
            raise SystemExit(f"{WAYS[way]}: {problems[0]}")


@contextmanager
def _orchestrated(bench: Bench, tasks: Sequence[Task], book: Book) -> Iterator[_Running]:
    path = bench.folder / "aegis.yaml"
    path.write_text(json.dumps(bench.workload.configuration(tasks)))
    spec = load_config(path)
    said: list[Rationale] = []
    orchestrator = Orchestrator(
        spec,
        state_dir=bench.state,
        node="",
        on_result=lambda _, result: book.result(result),
        on_rationale=said.append,
    )
    try:
        answers = orchestrator.configure()
        orchestrator.activate()
        keys = {stream.topic: stream.key for stream in orchestrator.intake.streams()}
        images = bench.images(tasks)

        def send(task: Task, stamp_ns: int) -> None:
            key = keys.get(task.topic)
            taken = orchestrator.intake.take(key, stamp_ns) if key is not None else None
            if taken is None:
                return
            image = images[task.name]
            taken.array(image.shape)[...] = image
            now, wall = time.monotonic_ns(), time.time_ns()
            orchestrator.intake.commit(
                taken,
                image.shape,
                FrameTimes(wall - (now - stamp_ns), stamp_ns, now, wall),
                (task.name, stamp_ns),
            )

        def reported() -> dict[str, int]:
            return {
                item.spec.name: item.skipped + item.lost + item.decimated
                for item in orchestrator.status().tasks
            }

        def finish(item: Round) -> None:
            state = orchestrator.status()
            item.utilization = state.lanes[0].utilization_admitted
            bounds = {each.spec.name: each.response_bound_ns / 1e6 for each in state.tasks}
            for answer in answers:
                if not answer.accepted:
                    item.tasks[answer.rationale.task].refused = answer.rationale.sentence
            for name, one in item.tasks.items():
                one.bound_ms = bounds.get(name, 0.0)
                if name not in bounds:
                    one.reported = one.without
            for each in said:
                if each.rule is Rule.DECIMATION:
                    item.decimations[each.task] = each.sentence
                if each.decision in _LEFT_OUT:
                    rules = item.reasons.setdefault(each.task, {})
                    rules[each.rule] = rules.get(each.rule, 0) + max(1, each.count)

        info = orchestrator.status().engine
        yield _Running(send, [] if info is None else [info.pid], finish, reported)
    finally:
        orchestrator.cleanup()
