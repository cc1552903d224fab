"""Runs a way to share a device, and says what became of each frame.

All ways run the same compiled networks through this package's engine, so that they differ in
nothing but who runs when: processes in an engine each, whose contexts the driver shares the GPU out
to by time; streams in one engine with a thread and a stream each, sooner deadlines with more urgent
streams; the queue on one stream in the order of arrival; solo on as many streams, of which one has
work at a time; the others as the orchestrator admits and orders them, on as many lanes as it has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from aegis_ros.config import load_config
from aegis_ros.orchestrator import FrameTimes, LaneChooser, NodeState, Orchestrator
from aegis_ros.rationale import Decision, Rationale, Rule
from aegis_ros.rationale.wording import sentence
from benchmarks.compare.cpu import Cpu, CpuUse
from benchmarks.compare.rounds import Arm, Round
from benchmarks.compare.workload import Task
from benchmarks.gpu.bench import SOLO, Bench, Running
from benchmarks.gpu.cameras import Book, Cameras
from benchmarks.gpu.usual import usual

__all__ = ["one_round", "opened", "round_of"]

_LEFT_OUT = (Decision.SKIPPED, Decision.SHED, Decision.LOST)
_WARM_UP_S = 0.5
_DRAIN_S = 0.3
_OF_ONE = 0.5  # of a round, for each network that runs alone


def one_round(
    bench: Bench, arm: Arm, *, load: float, number: int, tasks: Sequence[Task], seconds: float
) -> Round:
    """Return what one way did in one round, for which it was opened."""
    with opened(bench, arm, tasks) as way:
        return round_of(bench, arm, way, load=load, number=number, tasks=tasks, seconds=seconds)


@contextmanager
def opened(bench: Bench, arm: Arm, tasks: Sequence[Task]) -> Iterator[Running]:
    """Start a way; the usual ones also take tasks of the same names at other rates."""
    how = _orchestrated(bench, arm.name, tasks) if arm.ours else usual(bench, arm.way, tasks)
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
    began = time.time()
    turns = [[task] for task in tasks] if arm.way == SOLO else [tasks]
    part_s = seconds * (_OF_ONE if arm.way == SOLO else 1.0)
    fed = [
        _fed(bench, way, each, seed=number, seconds=part_s, warm_up_s=warm_up_s) for each in turns
    ]
    item = Round(load, arm.name, number, began, 0.0, {}, CpuUse(0.0, 0.0, 0.0, 0.0))
    for part in fed:
        item.tasks.update(part.tasks)
        item.seconds += part.seconds
    used = [(part.cpu.way, part.cpu.ours, part.cpu.others, part.cpu.stolen) for part in fed]
    item.cpu = CpuUse(*map(float, np.average(used, axis=0, weights=[part.seconds for part in fed])))
    way.finish(item)
    if way.problems:
        raise SystemExit(f"{arm.label}: {way.problems[0]}")
    return item


def _fed(
    bench: Bench,
    way: Running,
    tasks: Sequence[Task],
    *,
    seed: int,
    seconds: float,
    warm_up_s: float,
) -> Round:
    """Feed some tasks for a while."""
    book = way.book = Book(tasks)
    way.dropped.clear()
    with Cameras(tasks, book, way.send, cores=bench.cores, seed=seed):
        time.sleep(warm_up_s)
        cpu, reported, begin_ns = Cpu(way.pids), way.reported(), time.monotonic_ns()
        time.sleep(seconds)
        end_ns, used, said = time.monotonic_ns(), cpu.used(), way.reported()
    time.sleep(_DRAIN_S)
    found = book.rounds(begin_ns, end_ns, way.lane_of)
    for name, one in found.items():
        one.reported = min(one.without, said.get(name, 0) - reported.get(name, 0))
        one.replaced = way.dropped.get(name, 0)
    return Round(0.0, "", seed, time.time(), (end_ns - begin_ns) / 1e9, found, used)


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
        running.lane_of = {each.spec.name: each.lane for each in orchestrator.status().tasks}
        yield running
    finally:
        orchestrator.cleanup()
