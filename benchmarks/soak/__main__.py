"""Runs a robot for an hour while its parts are killed, stopped, filled up and lied to.

    python -m benchmarks.soak [--quick] [--minutes 65] [--faults KIND=NUMBER ...] [--out FOLDER]
    python -m benchmarks.soak --judge FOLDER

Five networks share one core at 70 % of it; a driver in another process sends their images. Faults
come ten times as often as on what we call a bad day: engine and node are killed, the engine stands
still, the disk of the state directory is full, the driver dies or hangs, messages are malformed,
stamps wrong, tasks come and go, and now and then two things go wrong at once. Each fault has a
window, from its injection until all tasks have results in time again. Outside the windows nothing
may be late; at no time may a frame be lost without a reason that was told; memory, file descriptors
and threads may not grow.

Everything is written to FOLDER as it comes: Ctrl-C, SIGTERM and even a power cut leave figures,
which --judge works out again. The exit code is 1 where a goal is missed, but not after --quick.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import rclpy
from aegis_ros.msg import ModelTask
from rclpy.signals import SignalHandlerOptions

from aegis_ros.config import parse_task
from aegis_ros.nodes.task_message import task_to_message
from benchmarks.compare.models import URGENT
from benchmarks.compare.plan import Plan, Planner
from benchmarks.compare.workload import Task, Workload
from benchmarks.domain import own_domain
from benchmarks.middleware import use_profile
from benchmarks.neighbours import Neighbours
from benchmarks.processes import process, wait
from benchmarks.progress import Shown, progress
from benchmarks.report import console, machine, parser, publish, read_options
from benchmarks.soak.faults import Kind, counts_for, read_counts, schedule
from benchmarks.soak.injector import Injector
from benchmarks.soak.judging import judge
from benchmarks.soak.ledger import Contract
from benchmarks.soak.listener import Listener
from benchmarks.soak.own_threads import keep_off
from benchmarks.soak.record import Record, read_run
from benchmarks.soak.sampler import Sampler
from benchmarks.soak.showing import facts, figures, show
from benchmarks.soak.small_disk import SmallDisk, small_disk
from benchmarks.soak.stage import ENGINE_PRIORITY, Stage
from benchmarks.stack.transport import seen_transport_ms
from benchmarks.stack.workload import CORE, WORKLOAD
from benchmarks.transport import declared_jitter_ms

_PACKAGE = "benchmarks.soak"
_QUICK = {"minutes": 1.5, "runs": 60, "measure_seconds": 1.0}
_LOAD = 0.7
_LOOK_S = 3.0
_DISK_MIB = 256
_TRACE_MIB = 16
_SAMPLE_S = 2.0
_MINUTES_A_COUNT = 5.0
_GUEST = "guest"
_BESIDE = "text_areas"  # the guest reads the images of this task


def main() -> None:
    """Run, or judge a run; tables to the terminal, figures to a file."""
    arguments = parser(_PACKAGE, __doc__)
    arguments.add_argument("--minutes", type=float, default=65.0, help="to run (65)")
    arguments.add_argument("--seed", type=int, default=1, help="of the schedule (1)")
    arguments.add_argument(
        "--faults",
        nargs="+",
        default=[],
        metavar="KIND=NUMBER",
        help=f"how often, instead of ten bad days' rate: {', '.join(Kind)}",
    )
    arguments.add_argument("--out", type=Path, help="folder to keep the run in")
    arguments.add_argument("--runs", type=int, default=300, help="to measure each budget (300)")
    arguments.add_argument(
        "--measure-seconds",
        type=float,
        help="at most, for each condition under which a budget is measured (no limit)",
    )
    arguments.add_argument(
        "--profiles", type=Path, help="state folder that keeps what was measured between runs"
    )
    arguments.add_argument(
        "--realtime",
        action="store_true",
        help="run driver, node and engine at high real-time priorities, keep all but the lane off "
        "its core, and watch for standstills of it: other programs compute on this machine, which "
        "they would not on a robot's (needs the permission)",
    )
    arguments.add_argument("--judge", type=Path, help="only judge the run in this folder")
    options = read_options(arguments, _QUICK)
    if options.judge is not None:
        _conclude(options.judge, options)
        return
    try:
        counts = read_counts(options.faults, counts_for(options.minutes))
    except ValueError as error:
        arguments.error(str(error))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        _run(options, counts, out)
        _conclude(out, options)


def _end(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _conclude(out: Path, options: Any) -> None:
    """Judge what was recorded; show it, write it, and exit with 1 where a goal is missed."""
    run = read_run(out)
    minutes = run.facts.get("minutes_asked", options.minutes)
    judged = judge(run, minutes)
    show(run, judged)
    publish(_PACKAGE, options.json, figures(run, judged), facts(run, judged))
    missed = [goal.name for goal in judged.goals if goal.met is False]
    if missed and options.quick:  # its budgets come from a second of measuring each
        console().print(f"missed, which says little of a quick run: {'; '.join(missed)}")
    elif missed:
        raise SystemExit(f"missed: {'; '.join(missed)}")


def _run(options: Any, counts: dict[Kind, int], out: Path) -> None:
    """Run everything and record it."""
    os.environ["ROS_DOMAIN_ID"] = str(own_domain())
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    use_profile()
    if options.realtime:
        # What starves there in the normal class gets the core for 50 ms a second (Linux 6.12 on).
        # The engine pins its lane to it all the same, as it does to a core isolated at boot.
        keep_off(CORE)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    record = Record(out)
    try:
        with small_disk(_DISK_MIB) as disk, progress() as shown:
            if not disk.small:
                for kind in (Kind.DISK_FULL, Kind.NODE_KILL_DISK_FULL):
                    counts.pop(kind, None)
                shown.console.print("No tmpfs can be mounted here: no disk will be full")
            with contextlib.suppress(KeyboardInterrupt):
                _soak(options, counts, out, record=record, disk=disk, shown=shown)
    finally:
        record.close()
        rclpy.try_shutdown()


def _soak(
    options: Any,
    counts: dict[Kind, int],
    out: Path,
    *,
    record: Record,
    disk: SmallDisk,
    shown: Shown,
) -> None:
    state = disk.path / "state"
    plan, workload = _planned(options, out, state, shown)
    tasks = list(plan.tasks)
    names = [task.name for task in tasks]
    listener = Listener({task.name: task.period_ms for task in tasks}, record)
    config = out / "robot.yaml"
    values = workload.configuration(tasks, trace="soak_%H%M%S.mcap")
    values["trace"]["max_mib"] = _TRACE_MIB
    if options.realtime:
        values["device"]["realtime_priority"] = ENGINE_PRIORITY
    config.write_text(json.dumps(values, indent=1))
    record.note(
        "run",
        contracts=[
            asdict(
                Contract(
                    *(task.name, task.deadline_ms, task.criticality == "high"),
                    repaid=task.period_ms / plan.budget_ms[task.name],
                )
            )
            for task in tasks
        ],
        asked=dict(counts),
        minutes_asked=options.minutes,
        seed=options.seed,
        realtime=options.realtime,
        load=plan.utilization,
        plan=plan.sentence(),
        budgets_ms=dict(plan.budget_ms),
        periods_ms={task.name: task.period_ms for task in tasks},
        machine=machine(),
    )
    shown.console.print(plan.sentence())
    others = Neighbours()
    stage = Stage(
        tasks,
        config=config,
        state=state,
        folder=out,
        listener=listener,
        record=record,
        realtime=options.realtime,
    )
    watched: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if options.realtime:
        arguments = (str(CORE), str(record.stopped))
        watched = process(out / "witness.log", "benchmarks.soak.witness", *arguments)
    with watched, stage:
        stage.start_node()
        stage.wait_for_node()
        stage.start_driver()
        wait(lambda: listener.heard().keys() >= set(names), "no results of all tasks")
        injector = Injector(
            stage,
            listener,
            record,
            tasks=tasks,
            urgent=URGENT,
            guest=_guest(workload, tasks),
            disk=disk,
        )
        injector.wait_until_good()
        row = shown.add_task("warming up")
        injector.warm_up()
        # Of many large messages at once some replace others in the middleware, which tells nothing
        # of topics of several publishers: frames are accounted for from here on.
        injector.count(shown, row, patient=True)
        shown.remove_task(row)
        record.note("begin", at_ns=time.time_ns())
        sampler = Sampler(
            {"node": lambda: stage.node_pid, "engine": lambda: listener.status.engine_pid},
            lambda: injector.settled,
            record,
            period_s=_SAMPLE_S,
            also=lambda: record.keep(stage.sent),
        )
        try:
            planned = schedule(options.seed, counts, options.minutes)
            times = max(1, round(options.minutes / _MINUTES_A_COUNT))
            injector.run(planned, options.minutes * 60.0, times, shown)
        finally:
            sampler.close()
            record.note("end", end_ns=time.time_ns(), cores_used_by_others=others.share())


def _planned(options: Any, out: Path, state: Path, shown: Shown) -> tuple[Plan, Workload]:
    """Measure budgets, and return tasks that take the wanted part of the lane."""
    kept = options.profiles
    if kept is not None and kept.is_dir():
        shutil.copytree(kept, state)
    workload = WORKLOAD
    if not options.realtime:
        row = shown.add_task("how long images travel")
        jitter_ms = declared_jitter_ms(seen_transport_ms(out, _LOOK_S), WORKLOAD.jitter_ms)
        workload = replace(WORKLOAD, jitter_ms=jitter_ms)
        shown.remove_task(row)
    planner = Planner(
        workload, out, state, runs=options.runs, progress=shown, limit_s=options.measure_seconds
    )
    with planner:
        plan = planner.plan(_LOAD)
    planner.tell(shown.console)
    if kept is not None:
        shutil.copytree(state, kept, dirs_exist_ok=True)
    return plan, workload


def _guest(workload: Workload, tasks: Sequence[Task]) -> ModelTask:
    """Return a small task that reads the images of another one."""
    beside = next(task for task in tasks if task.name == _BESIDE)
    task = Task(_GUEST, URGENT, beside.topic, beside.period_ms, beside.period_ms, criticality="low")
    (values,) = workload.configuration([task])["tasks"]
    values["output"]["topic"] = f"/stack/{_GUEST}/result"
    return task_to_message(parse_task(values))


if __name__ == "__main__":
    main()
