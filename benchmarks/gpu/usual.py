"""The ways to share a device without an orchestrator, each over engines of this package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from aegis_ros.engine import (
    Channel,
    ChannelSpec,
    EngineClient,
    EngineEvent,
    JobSkip,
    LoadSpec,
    SlotFrame,
)
from aegis_ros.rationale import Rule
from aegis_ros.spec import DeviceSpec, FrameFormat, LaneSpec
from benchmarks.compare.workload import Task
from benchmarks.gpu.bench import SOLO, Bench, Running
from benchmarks.gpu.cameras import Book

__all__ = ["usual"]

_SLOTS = 4
_FIFO_NS = 10_000_000_000  # the same relative deadline for all: in the order of arrival


@contextmanager
def usual(bench: Bench, way: str, tasks: Sequence[Task]) -> Iterator[Running]:
    """Start a way; it also takes tasks of the same names at other rates.

    Args:
        bench: device.
        way: its name.
        tasks: that run.
    """
    ordered = sorted(tasks, key=lambda task: task.deadline_ms)  # the first lane is the most urgent
    own = [
        LaneSpec(task.name, bench.usual_core(at, len(ordered))) for at, task in enumerate(ordered)
    ]
    if way == "processes":
        devices = [bench.device([lane], 0) for lane in own]
        places = {task.name: (at, 0) for at, task in enumerate(ordered)}
    elif way in {"streams", SOLO}:
        devices = [bench.device(own, 0)]
        places = {task.name: (0, at) for at, task in enumerate(ordered)}
    else:
        main = LaneSpec("main", bench.usual_core(0, 1))
        devices = [bench.device([main], DeviceSpec().realtime_priority)]
        places = {task.name: (0, 0) for task in ordered}
    ids = {task.name: at for at, task in enumerate(ordered)}
    names = {at: name for name, at in ids.items()}
    running = Running(Book(tasks))
    running.lane_of = dict.fromkeys(ids, "main") if way == "queue" else {name: name for name in ids}

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
