"""A running orchestrator node and a robot beside it, in one process, over real DDS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from aegis_ros.action import ProfileModel
from aegis_ros.msg import InferenceResult, ModelTask, OrchestratorStatus, Rationale
from aegis_ros.srv import (
    EvaluateModel,
    ListModels,
    RegisterModel,
    SetTaskEnabled,
    UnregisterModel,
)
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.goals import GoalClient
from aegis_ros.nodes.orchestrator import OrchestratorNode
from test.network.builders import identity_network

WAIT_SECONDS = 100.0
SIZE = (12, 16)
_LATCHED = QoSProfile(
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def _listed(lanes: str) -> str:
    return lanes if lanes == "auto" else f"[{lanes}]"


class Asked:
    """A request that was sent."""

    def __init__(self, system: System, future: Any) -> None:
        self._system = system
        self._future = future

    def done(self) -> bool:
        return bool(self._future.done())

    def result_in_time(self) -> Any:
        """Wait for the answer."""
        return self._system.until(lambda: self._future.done() and self._future.result())


class System:
    """The orchestrator under test, and what a robot's developer would hold against it."""

    def __init__(
        self,
        context: Context,
        folder: Path,
        tasks: str = "",
        lanes: str = "{name: main}",
        *,
        remap: Sequence[str] = (),
        simulated: bool = False,
        standby: bool = False,
        more: str = "",
    ) -> None:
        self.folder = folder
        self.model = identity_network(folder / "identity.onnx", (1, 3, *SIZE))
        config = folder / "robot.yaml"
        config.write_text(
            f"device: {{backend: onnxruntime, lanes: {_listed(lanes)}, arena_mib: 256, "
            f"realtime_priority: 0, standby: {str(standby).lower()}}}\n"
            f"models: {{roots: ['{folder}']}}\n{more}" + (f"tasks:\n{tasks}" if tasks else "")
        )
        self.node = OrchestratorNode(
            context=context,
            cli_args=["--ros-args", *(word for rule in remap for word in ("-r", rule))],
            parameter_overrides=[
                Parameter("config", value=str(config)),
                Parameter("state_dir", value=str(folder / "state")),
                Parameter("diagnostics_period_s", value=0.1),
                Parameter("status_period_s", value=0.1),
                Parameter("use_sim_time", value=simulated),
            ],
        )
        self.robot = Node("robot", context=context)
        self.rationales: list[Rationale] = []
        self.statuses: list[OrchestratorStatus] = []
        self.diagnostics: list[DiagnosticArray] = []
        self.results: list[InferenceResult] = []
        self._news = threading.Condition()
        self.robot.create_subscription(
            Rationale, "/orchestrator/rationale", self._keep(self.rationales), _LATCHED
        )
        self.robot.create_subscription(
            OrchestratorStatus, "/orchestrator/status", self._keep(self.statuses), 10
        )
        self.robot.create_subscription(
            DiagnosticArray, "/diagnostics", self._keep(self.diagnostics), 10
        )
        self._clients = {
            kind: self.robot.create_client(kind, f"/orchestrator/{name}")
            for kind, name in (
                (RegisterModel, "register_model"),
                (EvaluateModel, "evaluate_model"),
                (UnregisterModel, "unregister_model"),
                (SetTaskEnabled, "set_task_enabled"),
                (ListModels, "list_models"),
            )
        }
        self.profiler = GoalClient(self.robot, ProfileModel, "/orchestrator/profile_model")
        self.executors = [self.node.control_executor, self.node.intake_executor]
        self.executors.append(NodeExecutor(context=context))
        for executor, node in zip(
            self.executors, (self.node, self.node.intake_node, self.robot), strict=True
        ):
            executor.add_node(node)
        self._threads = [
            threading.Thread(target=_spin, args=(each,), daemon=True) for each in self.executors
        ]
        for thread in self._threads:
            thread.start()

    def _keep(self, into: list[Any]) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            with self._news:
                into.append(message)
                self._news.notify_all()

        return keep

    def until(self, true: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None) -> Any:
        """Wait until ``true()`` is; do ``meanwhile`` again and again."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            with self._news:
                found = true()
                if found:
                    return found
                assert time.monotonic() < end, "it did not happen"
                self._news.wait(0.05)
            meanwhile()

    def rationale(self, rule: str, task: str = "", after: int = 0) -> Rationale:
        """Wait for a rationale of this rule."""
        found: Rationale = self.until(
            lambda: next(
                (
                    each
                    for each in self.rationales
                    if each.rule == rule and each.task == task and each.id > after
                ),
                None,
            )
        )
        return found

    def last_id(self) -> int:
        return max((each.id for each in self.rationales), default=0)

    def call(self, kind: Any, **fields: Any) -> Any:
        """Call a service and wait for its answer."""
        return self.ask(kind, **fields).result_in_time()

    def ask(self, kind: Any, **fields: Any) -> Asked:
        """Call a service of the orchestrator and do not wait."""
        return self._ask(self._clients[kind], kind, fields)

    def ask_node(self, kind: Any, name: str, **fields: Any) -> Asked:
        """The same for a service that every lifecycle node has."""
        if kind not in self._clients:
            self._clients[kind] = self.robot.create_client(kind, f"/orchestrator/{name}")
        return self._ask(self._clients[kind], kind, fields)

    def _ask(self, client: Any, kind: Any, fields: dict[str, Any]) -> Asked:
        assert client.wait_for_service(WAIT_SECONDS)
        future = client.call_async(kind.Request(**fields))
        future.add_done_callback(lambda done: self._wake())
        return Asked(self, future)

    def wait_for(self, future: Any) -> Any:
        future.add_done_callback(lambda done: self._wake())
        return self.until(lambda: future.done() and future.result())

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()

    def task(self, name: str, /, **changes: Any) -> ModelTask:
        """A small task that is admitted unless ``changes`` say otherwise."""
        message = ModelTask(
            name=name, model=str(self.model), period_ms=50.0, jitter_ms=5.0, wcet_ms=1.0
        )
        message.input.topic = f"/{name}/image"
        message.input.max_size = [64, 64]
        message.output.topic = f"/{name}/result"
        message.preprocess.resize = "stretch"
        message.preprocess.size = list(SIZE)
        for path, value in changes.items():
            target, names = message, path.split("__")
            for part in names[:-1]:
                target = getattr(target, part)
            setattr(target, names[-1], value)
        return message

    def listen(self, name: str) -> None:
        """Keep the results of a task."""
        self.robot.create_subscription(
            InferenceResult, f"/{name}/result", self._keep(self.results), 10
        )

    def results_of(self, name: str) -> list[InferenceResult]:
        return [each for each in self.results if each.task == name]

    def camera(self, name: str, kind: Any = Image) -> Any:
        return self.robot.create_publisher(kind, f"/{name}/image", 1)

    def image(self, value: int = 100, encoding: str = "rgb8") -> Image:
        pixel = 3 if encoding in ("rgb8", "bgr8") else 1
        message = Image(height=SIZE[0], width=SIZE[1], encoding=encoding, step=SIZE[1] * pixel)
        message.header.frame_id = "camera"
        message.header.stamp = self.robot.get_clock().now().to_msg()
        message.data = bytes([value]) * (SIZE[0] * SIZE[1] * pixel)
        return message

    def close(self) -> None:
        self.node.close()
        for executor in self.executors:
            executor.shutdown()
        for thread in self._threads:
            thread.join()
        # ROS keeps nodes on the network for as long as anything refers to them.
        self.profiler.destroy()
        self.robot.destroy_node()
        self.node.leave()


def _spin(executor: Executor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return


@contextmanager
def running(
    folder: Path,
    tasks: str = "",
    autostart: bool = True,
    lanes: str = "{name: main}",
    *,
    remap: Sequence[str] = (),
    simulated: bool = False,
    standby: bool = False,
    more: str = "",
) -> Iterator[System]:
    """Start a system and end it; a ``simulated`` one follows /clock.

    The lines of ``more`` go into its configuration; with ``standby``, a second engine stands by.
    """
    context = Context()
    rclpy.init(context=context)
    system = System(
        context,
        folder,
        tasks,
        lanes,
        remap=remap,
        simulated=simulated,
        standby=standby,
        more=more,
    )
    try:
        if autostart:
            assert system.node.autostart()
        yield system
    finally:
        system.close()
        rclpy.try_shutdown(context=context)
