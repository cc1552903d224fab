"""Orchestrators, each a process of its own, and a robot that asks them over real DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rclpy
from aegis_ros.msg import OrchestratorStatus, Rationale, TaskStatus
from rclpy.context import Context

from aegis_ros.nodes.executor import NodeExecutor

__all__ = ["WAIT_SECONDS", "Orchestrators"]

WAIT_SECONDS = 100.0
_ASKED_AGAIN_S = 3.0
_LEFT = 20  # callbacks of what has ended
_CONFIG = (
    "device: {{backend: onnxruntime, lanes: [{lane}], arena_mib: 64, realtime_priority: 0, "
    "standby: false}}\n"
    "models: {{roots: ['{folder}']}}\n"
)


class Orchestrators:
    """Starts them and ends them; the namespaces of no other test process begin like theirs.

    Args:
        folder: for their files; each has a log ``<name>.log`` there.

    Attributes:
        root: what their namespaces begin with.
        node: the robot.
    """

    def __init__(self, folder: Path) -> None:
        """Start none yet."""
        self.root = f"/fleet_{os.getpid()}"
        self._folder = folder
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("observer", context=self._context)
        self._executor = NodeExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._processes: list[subprocess.Popen[str]] = []
        self._last: dict[str, OrchestratorStatus] = {}  # by the rest of the namespace
        self._decided: dict[str, list[str]] = {}
        self._heard: dict[str, Any] = {}  # subscriptions, by their topics

    def start(
        self,
        name: str,
        *,
        below: str = "",
        state: str = "",
        lane: str = "{name: main}",
        autostart: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start one.

        Args:
            name: of its files.
            below: rest of its namespace, as ``/left``.
            state: name of its state directory; one of its own by default.
            lane: its only lane.
            autostart: whether it configures and activates itself.
            environment: more of it, by variable.
        """
        config = self._folder / f"{name}.yaml"
        config.write_text(_CONFIG.format(lane=lane, folder=self._folder))
        parameters = {
            "config": config,
            "state_dir": self._folder / (state or f"state_of_{name}"),
            "autostart": str(autostart).lower(),
            "diagnostics_period_s": 0.1,
            "status_period_s": 0.1,
        }
        with (self._folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "aegis_ros.nodes.orchestrator_main", "--ros-args"]
                + [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
                + ["-r", f"__ns:={self.root}{below}"],
                env={**os.environ, **(environment or {})},
                stderr=log,
                text=True,
            )
        self._processes.append(process)
        self._listen(below)
        return process

    def log(self, name: str) -> str:
        """Return what one has logged."""
        return (self._folder / f"{name}.log").read_text()

    def until(self, true: Callable[[], Any]) -> Any:
        """Wait until ``true()`` is; hear what comes meanwhile."""
        end = time.monotonic() + WAIT_SECONDS
        while not (found := true()):
            assert time.monotonic() < end, "it did not happen"
            self._executor.spin_once(timeout_sec=0.1)
        return found

    def ask(
        self, kind: Any, service: str, until: Callable[[], Any], *, below: str = "", **fields: Any
    ) -> Any:
        """Call a service of one until something is so.

        Again and again: an answer is lost where its server has not heard of the client yet.
        """
        client = self.node.create_client(kind, f"{self.root}{below}/orchestrator/{service}")
        asked = 0.0

        def done() -> Any:
            nonlocal asked
            if client.service_is_ready() and time.monotonic() - asked > _ASKED_AGAIN_S:
                asked = time.monotonic()
                client.call_async(kind.Request(**fields))
            return until()

        found = self.until(done)
        self.node.destroy_client(client)
        return found

    def tasks(self, below: str = "") -> list[TaskStatus] | None:
        """Return the tasks of one by its last status; ``None`` where it is not active."""
        last = self._last.get(below)
        return None if last is None or last.state != "active" else list(last.tasks)

    def sentences(self, below: str = "") -> list[str]:
        """Return what one has decided, as it says it."""
        return self._decided.get(below, [])

    def _listen(self, below: str) -> None:
        self._last.pop(below, None)
        self._decided[below] = []
        for kind, topic, most, keep in (
            (OrchestratorStatus, "status", 1, lambda new: self._last.update({below: new})),
            (Rationale, "rationale", 100, lambda new: self._decided[below].append(new.sentence)),
        ):
            name = f"{self.root}{below}/orchestrator/{topic}"
            if name in self._heard:  # with what the one before has said last
                self.node.destroy_subscription(self._heard[name])
            self._heard[name] = self.node.create_subscription(kind, name, keep, most)

    def end(self, *processes: subprocess.Popen[str]) -> None:
        """End some of them in order, and forget what was heard of all."""
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(WAIT_SECONDS)
        for _ in range(_LEFT):
            self._executor.spin_once(timeout_sec=0.01)
        self._last.clear()

    def close(self) -> None:
        """End all that is left."""
        for process in self._processes:
            process.kill()
            process.wait()
        rclpy.try_shutdown(context=self._context)
