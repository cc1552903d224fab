"""The ways to share a device: the usual three, and the orchestrator with one lane or several.

All run the same compiled networks through this package's engine, so that they differ in nothing but
who runs when: the first in an engine each, whose contexts the driver shares the GPU out to by time;
the second in one engine with a thread and a stream each, sooner deadlines with more urgent streams;
the third on one stream in the order of arrival; the others as the orchestrator admits and orders
them, on as many lanes as it is given.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends import CompiledNetwork, capabilities_of
from aegis_ros.config import load_config
from aegis_ros.engine import (
    Channel,
    ChannelSpec,
    EngineClient,
    EngineEvent,
    JobResult,
    JobSkip,
    LoadSpec,
    SlotFrame,
)
from aegis_ros.orchestrator import FrameTimes, LaneChooser, NodeState, Orchestrator
from aegis_ros.rationale import Decision, Rationale, Rule
from aegis_ros.rationale.wording import sentence
from aegis_ros.spec import DeviceSpec, FrameFormat, LaneSpec, Wait
from benchmarks.compare.cpu import Cpu
from benchmarks.compare.rounds import Arm, Round
from benchmarks.compare.workload import Task, Workload
from benchmarks.gpu.cameras import Book, Cameras

__all__ = [
    "AUTO",
    "LANES",
    "SHARES",
    "WAYS",
    "Bench",
    "Running",
    "arm_of",
    "one_round",
    "opened",
    "round_of",
]

WAYS = {
    "processes": "a process a network",
    "streams": "a stream a network",
    "queue": "one queue",
    "aegis": "aegis_ros, one lane",
    "aegis_2": "aegis_ros, two lanes",
    "aegis_3": "aegis_ros, three lanes",
    "aegis_shares": "aegis_ros, two shares",
    "aegis_auto": "aegis_ros, chosen lanes",
}
SHARES = "aegis_shares"
AUTO = "aegis_auto"
LANES = {"aegis": 1, "aegis_2": 2, "aegis_3": 3, SHARES: 2, AUTO: 0}  # 0: as it chooses
_LEFT_OUT = (Decision.SKIPPED, Decision.SHED, Decision.LOST)
_WARM_UP_S = 0.5
_DRAIN_S = 0.3
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
        lane_cores: cores of the lanes, in their order; those beyond may run on any.
        share: multiprocessors of the first of two lanes that divide the device; 0 for none.
        choose_s: time to measure in where lanes are chosen; ``None`` for as long as it takes.
    """

    workload: Workload
    compiled: Mapping[str, CompiledNetwork]
    state: Path
    folder: Path
    cores: tuple[int, ...] = ()
    lane_cores: tuple[int, ...] = ()
    share: int = 0
    choose_s: float | None = None

    def device(self, lanes: Sequence[LaneSpec], priority: int, backend: str = "") -> DeviceSpec:
        """Return the device with these lanes."""
        return DeviceSpec(
            backend or str(self.workload.device["backend"]),
            tuple(lanes),
            realtime_priority=priority,
            wait=Wait(self.workload.device.get("wait", Wait.SLEEP)),
        )

    def usual_core(self, lane: int) -> int | None:
        """Return the core of a lane of the usual ways: that of the device, where it is one."""
        if capabilities_of(str(self.workload.device["backend"])).on_cores:
            return self.workload.core
        return self.lane_cores[lane] if lane < len(self.lane_cores) else None

    def images(self, tasks: Sequence[Task]) -> dict[str, npt.NDArray[np.uint8]]:
        """Return an image for the camera of each task."""
        chance = np.random.default_rng(0)
        return {
            task.name: chance.integers(0, 256, self.compiled[task.network].max_shape, np.uint8)
            for task in tasks
        }

    def configured(self, way: str) -> Workload:
        """Return the workload with the lanes of one way of the orchestrator."""
        lanes: list[dict[str, Any]] = []
        for at in range(LANES[way]):
            core = self.lane_cores[at] if at < len(self.lane_cores) else None
            lanes.append({"name": f"lane{at + 1}", "cpu": core})
        if way == SHARES:
            lanes[0]["sms"] = self.share
        return replace(self.workload, device={**self.workload.device, "lanes": lanes or "auto"})


@dataclass
class Running:
    """A way that takes frames.

    Attributes:
        book: what is written into now.
        send: hands over a task's frame.
        pids: processes it consists of, besides this one.
        finish: completes what the round found; before the way ends.
        reported: frames left out so far of which that was said, by task.
        dropped: frames that a newer one took the place of, by task.
        answers: what the orchestrator said of each task when it was asked to admit it.
        problems: what went wrong with the way as a whole, in words.
    """

    book: Book
    send: Callable[[Task, int], None] = lambda task, stamp_ns: None
    pids: list[int] = field(default_factory=list)
    finish: Callable[[Round], None] = lambda item: None
    reported: Callable[[], dict[str, int]] = dict
    dropped: dict[str, int] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def result(self, result: JobResult) -> None:
        """Note a result of the present round or the one before; hand it back."""
        self.book.result(result)


def arm_of(way: str) -> Arm:
    """Return a way as what takes a turn."""
    return Arm(way, WAYS[way], "aegis" if way in LANES else way)


def one_round(
    bench: Bench, arm: Arm, *, load: float, number: int, tasks: Sequence[Task], seconds: float
) -> Round:
    """Return what one way did in one round, for which it was opened."""
    with opened(bench, arm, tasks) as way:
        return round_of(bench, arm, way, load=load, number=number, tasks=tasks, seconds=seconds)


@contextmanager
def opened(bench: Bench, arm: Arm, tasks: Sequence[Task]) -> Iterator[Running]:
    """Start a way; the usual ones also take tasks of the same names at other rates."""
    how = _orchestrated(bench, arm.name, tasks) if arm.ours else _usual(bench, arm.way, tasks)
    with how as way:
        yield way


def round_of(
    bench: Bench,
    arm: Arm,
    way: Running,
    *,
    load: float,
    number: int,
    tasks: Sequence[Task],
    seconds: float,
    warm_up_s: float = _WARM_UP_S,
) -> Round:
    """Feed a way for a while and return what it did.

    Raises:
        SystemExit: its engine was lost, or a network failed.
    """
    book = way.book = Book(tasks)
    way.dropped.clear()
    with Cameras(tasks, book, way.send, cores=bench.cores, seed=number):
        time.sleep(warm_up_s)
        cpu, reported, begin_ns = Cpu(way.pids), way.reported(), time.monotonic_ns()
        time.sleep(seconds)
        end_ns, used, said = time.monotonic_ns(), cpu.used(), way.reported()
    time.sleep(_DRAIN_S)
    one_lane = arm.way == "queue" or LANES.get(arm.name) == 1
    found = book.rounds(begin_ns, end_ns, lane_times=one_lane, proven=arm.ours)
    for name, one in found.items():
        one.reported = min(one.without, said.get(name, 0) - reported.get(name, 0))
        one.replaced = way.dropped.get(name, 0)
    item = Round(load, arm.name, number, time.time(), (end_ns - begin_ns) / 1e9, found, used)
    way.finish(item)
    if way.problems:
        raise SystemExit(f"{arm.label}: {way.problems[0]}")
    return item


@contextmanager
def _usual(bench: Bench, way: str, tasks: Sequence[Task]) -> Iterator[Running]:
    ordered = sorted(tasks, key=lambda task: task.deadline_ms)  # the first lane is the most urgent
    own = [LaneSpec(task.name, bench.usual_core(at)) for at, task in enumerate(ordered)]
    if way == "processes":
        devices = [bench.device([lane], 0) for lane in own]
        places = {task.name: (at, 0) for at, task in enumerate(ordered)}
    elif way == "streams":
        devices = [bench.device(own, 0)]
        places = {task.name: (0, at) for at, task in enumerate(ordered)}
    else:
        main = LaneSpec("main", bench.usual_core(0))
        devices = [bench.device([main], DeviceSpec().realtime_priority)]
        places = {task.name: (0, 0) for task in ordered}
    ids = {task.name: at for at, task in enumerate(ordered)}
    names = {at: name for name, at in ids.items()}
    running = Running(Book(tasks))

    def skipped(skip: JobSkip) -> None:
        name = names[skip.task_id]
        running.dropped[name] = running.dropped.get(name, 0) + 1
        if skip.rule is not Rule.NEWER_FRAME:
            running.problems.append(f"{name}: {skip.rule} {skip.text}")

    def event(happened: EngineEvent) -> None:
        running.problems.append(happened.sentence)

    with ExitStack() as stack:
        engines = [
            EngineClient(device, on_result=running.result, on_skip=skipped, on_event=event)
            for device in devices
        ]
        channels: dict[str, Channel] = {}

        def begin(at: int) -> None:
            """Start an engine and load what belongs into it."""
            engines[at].start()
            for task in ordered:
                place, lane = places[task.name]
                if place != at:
                    continue
                compiled = bench.compiled[task.network]
                channels[task.name] = engines[at].open_channel(
                    ChannelSpec(task.name, FrameFormat.RGB8, compiled.max_shape, _SLOTS)
                )
                engines[at].load(LoadSpec(ids[task.name], task.name, compiled, lane, task.name))

        for engine in engines:
            stack.callback(engine.stop)
        with ThreadPoolExecutor(len(engines)) as pool:
            list(pool.map(begin, range(len(engines))))
        images = bench.images(tasks)
        sent = dict.fromkeys(ids, 0)
        written: set[tuple[str, int]] = set()

        def send(task: Task, stamp_ns: int) -> None:
            channel, image = channels[task.name], images[task.name]
            slot = channel.acquire()
            if slot is None:
                running.dropped[task.name] = running.dropped.get(task.name, 0) + 1
                return
            if (task.name, slot) not in written:  # it stays there, as nobody else writes
                channel.array(slot, image.shape)[...] = image
                written.add((task.name, slot))
            sent[task.name] += 1
            at, _ = places[task.name]
            span = _FIFO_NS if way == "queue" else round(task.deadline_ms * 1e6)
            job = (ids[task.name], sent[task.name], stamp_ns, stamp_ns + span)
            origin = (task.name, stamp_ns)
            engines[at].submit(
                (SlotFrame(channel, slot, image.shape),), stamp_ns, [job], origin=origin
            )

        running.send = send
        running.pids = [engine.info().pid for engine in engines]
        yield running


@contextmanager
def _orchestrated(bench: Bench, way: str, tasks: Sequence[Task]) -> Iterator[Running]:
    path = bench.folder / f"{way}.yaml"
    path.write_text(json.dumps(bench.configured(way).configuration(tasks)))
    said: list[Rationale] = []
    running = Running(Book(tasks))
    state = NodeState(bench.state, node="")
    chooser = LaneChooser(load_config(path), state=state, limit_s=bench.choose_s)
    spec, chosen = chooser.choose()
    orchestrator = Orchestrator(
        spec,
        state_dir=bench.state,
        node="",
        on_result=lambda _, result: running.result(result),
        on_rationale=said.append,
        lanes_chosen=chosen,
        state=state,
    )
    try:
        answers = orchestrator.configure()
        orchestrator.activate()
        keys = {stream.topic: stream.key for stream in orchestrator.intake.streams()}
        images = bench.images(tasks)
        written: set[tuple[str, int]] = set()

        def send(task: Task, stamp_ns: int) -> None:
            key = keys.get(task.topic)
            taken = orchestrator.intake.take(key, stamp_ns) if key is not None else None
            if taken is None:
                return
            image = images[task.name]
            if (task.name, taken.slot) not in written:
                taken.array(image.shape)[...] = image
                written.add((task.name, taken.slot))
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
            item.utilization = sum(lane.utilization_admitted for lane in state.lanes)
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

        running.answers = {answer.rationale.task: answer.rationale.sentence for answer in answers}
        if chosen is not None:
            running.answers["lanes"] = sentence(chosen)
        info = orchestrator.status().engine
        running.send, running.finish, running.reported = send, finish, reported
        running.pids = [] if info is None else [info.pid]
        yield running
    finally:
        orchestrator.cleanup()
