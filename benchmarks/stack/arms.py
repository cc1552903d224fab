"""Runs one way for one round, and keeps every result of it."""

from __future__ import annotations

import json
import subprocess
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rclpy
from aegis_ros.msg import InferenceResult, OrchestratorStatus, Rationale
from rclpy.qos import DurabilityPolicy, QoSProfile

from aegis_ros.nodes.spinning import spin_beside
from benchmarks.compare.cpu import Cpu
from benchmarks.compare.rounds import Arm, Round, TaskRound
from benchmarks.compare.workload import Task, Workload
from benchmarks.processes import last_lines, process, wait
from benchmarks.stack.workload import FRAME

__all__ = ["Listener", "Stage", "one_round"]

_WARM_UP_S = 3.0
_DRAIN_S = 2.0  # after a round, for results of its last frames
_LEFT_OUT = ("skipped", "shed", "lost")
_DECIMATION = ("decimation", "thinning")  # the rule, and its name in earlier versions
_BLURRED = 2  # counters are read twice a second, so the ends of a round are not sharp in them
_CUT_OFF_S = 1.0  # of a round that is ended early: its last results may be missing


class _Heard:
    """Results of one task, 56 bytes each, so that an hour is no burden."""

    def __init__(self) -> None:
        self.times = array("q")  # stamped, released, started, finished
        self.spans = array("d")  # response, execution

    def add(self, message: InferenceResult) -> None:
        timing = message.timing
        for moment in (timing.stamped, timing.released, timing.started, timing.finished):
            self.times.append(moment.sec * 1_000_000_000 + moment.nanosec)
        self.spans.append(timing.response_ms)
        self.spans.append(timing.execution_ms)


class Listener:
    """Hears the results of all tasks, and what the orchestrator says."""

    def __init__(self, names: Sequence[str]) -> None:
        """Subscribe."""
        self.node = rclpy.create_node("listener")
        self.heard: dict[str, _Heard] = {}
        self.status = OrchestratorStatus()
        self.reasons: dict[str, dict[str, int]] = {}
        self.rejected: dict[str, str] = {}  # why, by task
        self.decimations: dict[str, str] = {}  # what was said last of each task that is decimated
        for name in names:
            self.node.create_subscription(
                InferenceResult, f"/stack/{name}/result", self._result, QoSProfile(depth=50)
            )
        self.node.create_subscription(OrchestratorStatus, "/orchestrator/status", self._state, 1)
        self.node.create_subscription(
            Rationale,
            "/orchestrator/rationale",
            self._rationale,
            QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        spin_beside(self.node)

    def clear(self) -> None:
        """Forget the arm before."""
        self.heard = {}
        self.reasons = {}
        self.decimations = {}
        self.rejected = {}
        self.status = OrchestratorStatus()

    def counters(self) -> dict[str, dict[str, int]]:
        """Return what the orchestrator counted of each task since it was activated."""
        names = ("received", "completed", "missed", "skipped", "lost", "overruns")
        found = {}
        for item in self.status.tasks:
            mine = found[item.spec.name] = {name: int(getattr(item, name)) for name in names}
            ended = mine["completed"] + mine["skipped"] + mine["lost"]
            # Every frame that was received becomes a job or is counted, but for those left out.
            left_out = mine["received"] - ended if item.spec.name in self.decimations else 0
            # `thinned` is also what versions before 0.2 call it.
            mine["decimated"] = int(getattr(item, "thinned", left_out))
        return found

    def _result(self, message: InferenceResult) -> None:
        self.heard.setdefault(message.task, _Heard()).add(message)

    def _state(self, message: OrchestratorStatus) -> None:
        self.status = message

    def _rationale(self, message: Rationale) -> None:
        if message.rule in _DECIMATION:
            self.decimations[message.task] = message.sentence
        if message.decision == Rationale.DECISION_REJECTED:
            self.rejected[message.task] = message.sentence
        if message.decision in _LEFT_OUT:
            rules = self.reasons.setdefault(message.task, {})
            rules[message.rule] = rules.get(message.rule, 0) + max(1, int(message.count))


@dataclass(frozen=True)
class Stage:
    """What every round works with.

    Attributes:
        workload: what runs.
        files: the fused file of each network, for the ways without an orchestrator.
        folder: for configurations and logs.
        state: state directory of the orchestrator.
        listener: hears all results.
        frame: height and width of the images.
    """

    workload: Workload
    files: Mapping[str, str]
    folder: Path
    state: Path
    listener: Listener
    frame: Sequence[int] = FRAME


@contextmanager
def _running(
    stage: Stage, arm: Arm, tasks: Sequence[Task], load: float
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run one way, and the cameras, until the block is left; yield the processes of the way."""
    folder, listener = stage.folder, stage.listener
    values = [task.as_values() | {"path": stage.files.get(task.network, "")} for task in tasks]
    log = folder / f"{arm.name}.log"
    (folder / "stamps.npz").unlink(missing_ok=True)
    with ExitStack() as stack:
        made: list[subprocess.Popen[bytes]] = []
        if arm.ours:
            config = folder / f"{arm.name}.yaml"
            config.write_text(
                json.dumps(
                    stage.workload.configuration(
                        tasks,
                        trace=f"load_{100 * load:.0f}_%H%M%S.mcap" if arm.trace else "",
                        latency_ms=arm.latency_ms,
                        frame=stage.frame,
                    )
                )
            )
            made.append(
                stack.enter_context(
                    process(
                        log,
                        "aegis_ros.nodes.orchestrator_main",
                        *("--ros-args", "-p", f"config:={config}"),
                        *("-p", f"state_dir:={stage.state}", "-p", "status_period_s:=0.5"),
                    )
                )
            )
            needed = {task.name for task in tasks if not task.extra}

            def refused() -> str:
                reported = [text for name, text in listener.rejected.items() if name in needed]
                return "; ".join(reported)

            wait(
                lambda: listener.status.state == "active",
                f"{arm.label} does not become active",
                made[0],
                log=log,
                refused=refused,
            )
            names = {item.spec.name for item in listener.status.tasks}
            if missing := needed - names:
                said = last_lines(log)
                raise SystemExit(
                    f"{arm.label} runs without {', '.join(sorted(missing))}: {refused() or said}"
                )
        else:
            groups = [[value] for value in values] if arm.way == "nodes" else [values]
            for at, group in enumerate(groups):
                out = folder / f"replaced_{at}.json"
                out.unlink(missing_ok=True)
                made.append(
                    stack.enter_context(
                        process(log, "benchmarks.stack.usual", arm.way, json.dumps(group), str(out))
                    )
                )
            names = {task.name for task in tasks}
        cameras = stack.enter_context(
            process(
                folder / "cameras.log",
                "benchmarks.stack.cameras",
                json.dumps(values),
                str(folder / "stamps.npz"),
                *map(str, stage.frame),
            )
        )
        wait(
            lambda: names <= listener.heard.keys(),
            f"{arm.label}: no result of each network",
            cameras,
            log=log,
            refused=lambda: _ended(made, log),
        )
        yield made


def _ended(made: Sequence[subprocess.Popen[bytes]], log: Path) -> str:
    """Return what a process said last that has ended before its time; empty where none has."""
    gone = [each for each in made if each.poll() is not None]
    return f"a process ended with code {gone[0].returncode}: {last_lines(log)}" if gone else ""


def one_round(
    stage: Stage,
    arm: Arm,
    *,
    load: float,
    number: int,
    tasks: Sequence[Task],
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Round, bool]:
    """Return what one way did in one round, and whether it was ended early by the operator."""
    folder, listener = stage.folder, stage.listener
    listener.clear()
    ended = False
    with _running(stage, arm, tasks, load) as made:
        time.sleep(_WARM_UP_S)
        cpu = Cpu([each.pid for each in made])
        before, begin_ns = listener.counters(), time.time_ns()
        try:
            sleep(seconds)
            end_ns = time.time_ns()
        except KeyboardInterrupt:
            ended, end_ns = True, time.time_ns() - round(_CUT_OFF_S * 1e9)
            if end_ns <= begin_ns:
                raise
        used, after = cpu.used(), listener.counters()
        with suppress(KeyboardInterrupt):
            time.sleep(_DRAIN_S)
        status = listener.status
        heard = {name: one for name, one in listener.heard.items() if one.times}
    replaced: dict[str, int] = {}
    for path in folder.glob("replaced_*.json"):
        replaced |= json.loads(path.read_text())
        path.unlink()
    with np.load(folder / "stamps.npz") as stamps:
        found = {
            task.name: _of_task(stamps[task.name], heard.get(task.name), begin_ns, end_ns)
            for task in tasks
        }
    for name, one in found.items():
        one.replaced = replaced.get(name, 0)
    if arm.ours:
        _take_status(found, status, before, after)
    return (
        Round(
            load,
            arm.name,
            number,
            begin_ns / 1e9,
            (end_ns - begin_ns) / 1e9,
            found,
            used,
            status.lanes[0].utilization_admitted if arm.ours and status.lanes else 0.0,
            {name: dict(rules) for name, rules in listener.reasons.items()} if arm.ours else {},
            dict(listener.decimations) if arm.ours else {},
            after if arm.ours else {},
        ),
        ended,
    )


def _take_status(
    found: dict[str, TaskRound],
    status: OrchestratorStatus,
    before: Mapping[str, Mapping[str, int]],
    after: Mapping[str, Mapping[str, int]],
) -> None:
    bounds = {item.spec.name: item.response_bound_ms for item in status.tasks}
    for name, one in found.items():
        if name not in bounds:
            one.refused = "not admitted"
            one.reported = one.without
            continue
        one.bound_ms = bounds[name]
        said = sum(
            after.get(name, {}).get(kind, 0) - before.get(name, {}).get(kind, 0)
            for kind in ("skipped", "lost", "decimated")
        )
        sharp = said == 0 or abs(said - one.without) > _BLURRED
        one.reported = min(one.without, said) if sharp else one.without


def _of_task(
    stamps: npt.NDArray[np.int64], heard: _Heard | None, begin_ns: int, end_ns: int
) -> TaskRound:
    within = stamps[(stamps >= begin_ns) & (stamps < end_ns)]
    if heard is None:
        return TaskRound(frames=len(within), without=len(within))
    # Copies: a late result must be able to make the arrays grow meanwhile.
    spans = np.array(heard.spans, np.float64)
    spans = spans[: len(spans) // 2 * 2].reshape(-1, 2)
    times = np.array(heard.times, np.int64)[: 4 * len(spans)].reshape(-1, 4)
    kept = np.isin(times[:, 0], within)
    times, spans = times[kept], spans[kept]
    without = len(within) - len(np.unique(times[:, 0]))
    if not times[:, 3].any():  # no times on the lane: not the orchestrator
        return TaskRound(len(within), without, 0, 0, spans[:, 0], spans[:, 1])
    stamped, released, started, finished = times.T
    return TaskRound(
        len(within),
        without,
        0,
        0,
        spans[:, 0],
        spans[:, 1],
        (finished - stamped) / 1e6,
        (released - stamped) / 1e6,
        released,
        started,
        finished,
    )
