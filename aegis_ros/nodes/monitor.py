"""The `monitor` node: a live table of a running orchestrator in the terminal."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import deque
from datetime import datetime
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.live import Live

from aegis_ros.errors import AegisError
from aegis_ros.msg import GeneratorStatus, OrchestratorStatus, Rationale
from aegis_ros.nodes.answering import answer_always
from aegis_ros.nodes.command_line import beside_ros_arguments
from aegis_ros.nodes.ending import end_on_signals, run_and_leave
from aegis_ros.nodes.spinning import spin_beside
from aegis_ros.nodes.starting import starting
from aegis_ros.nodes.unheard_files import warn_of_files
from aegis_ros.nodes.unknown_parameters import warn_of_unknown
from aegis_ros.views.generators import GeneratorRow
from aegis_ros.views.progress import progress_line
from aegis_ros.views.status import (
    DecisionRow,
    LaneRow,
    Snapshot,
    TaskRow,
    render_snapshot,
    safe,
    summary_line,
)

__all__ = ["Monitor", "main"]

_MIB = 1024 * 1024
_EXAMPLES = """examples:
  ros2 run aegis_ros monitor
  ros2 run aegis_ros monitor --target /robot1/orchestrator
  ros2 run aegis_ros monitor --once > status.txt
"""


class Monitor:
    """Listens to one orchestrator and keeps what a table needs.

    Args:
        node: node to subscribe with; its owner spins it.
        target: fully qualified name of the orchestrator node.
        decisions: how many of the latest decisions are kept.
    """

    def __init__(self, node: Node, target: str, decisions: int = 8) -> None:
        """Subscribe to ``<target>/status`` and ``<target>/rationale``."""
        self._status: OrchestratorStatus | None = None
        self._decisions: deque[Rationale] = deque(maxlen=decisions)
        self._lock = threading.Lock()
        latched = QoSProfile(
            depth=1000,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        node.create_subscription(OrchestratorStatus, f"{target}/status", self._on_status, 1)
        node.create_subscription(Rationale, f"{target}/rationale", self._on_rationale, latched)

    def _on_status(self, message: OrchestratorStatus) -> None:
        self._status = message

    def _on_rationale(self, message: Rationale) -> None:
        with self._lock:
            self._decisions.append(message)

    @property
    def status(self) -> OrchestratorStatus | None:
        """The latest status, ``None`` before the first."""
        return self._status

    def snapshot(self) -> Snapshot | None:
        """Return what to draw now, ``None`` before the first status."""
        if self._status is None:
            return None
        with self._lock:
            decisions = tuple(_decision_row(message) for message in self._decisions)
        return safe(_snapshot(self._status, decisions))


def _snapshot(status: OrchestratorStatus, decisions: tuple[DecisionRow, ...]) -> Snapshot:
    restarts = f", restarted {status.engine_restarts}x" if status.engine_restarts else ""
    engine = f"engine pid {status.engine_pid}{restarts}" if status.engine_pid else "no engine"
    return Snapshot(
        state=status.state,
        backend=status.backend,
        device=status.device,
        engine=engine,
        arena_used_mib=status.arena_used_bytes / _MIB,
        arena_mib=status.arena_bytes / _MIB,
        tasks=tuple(_task_row(task) for task in status.tasks),
        lanes=tuple(
            LaneRow(lane.name, lane.utilization_admitted, lane.utilization_measured, lane.slack_ms)
            for lane in status.lanes
        ),
        decisions=decisions,
        progress=progress_line(status.admissions, status.admissions_ended),
        rejected=tuple((each.name, each.sentence) for each in status.rejected),
        generators=tuple(
            _generator_row(each)
            for each in status.generators
            if each.state != GeneratorStatus.STATE_REFUSED  # which is among the rejected
        ),
    )


def _generator_row(generator: GeneratorStatus) -> GeneratorRow:
    return GeneratorRow(
        name=generator.name,
        lane=generator.lane,
        state=generator.state,
        problem=generator.problem,
        given_up=tuple(generator.given_up),
        precision=generator.precision,
        running=generator.running,
        waiting=generator.waiting,
        tokens=generator.tokens,
        tokens_per_s=generator.tokens_per_s,
        expected_tokens_per_s=generator.expected_tokens_per_s,
        step_ms=generator.step_ms,
        context=generator.context,
        batch_limit=generator.batch_limit,
        length_limit=generator.length_limit,
        cache_used_mib=generator.cache_used_bytes / _MIB,
        cache_mib=generator.cache_bytes / _MIB,
    )


def _task_row(task: Any) -> TaskRow:
    return TaskRow(
        name=task.spec.name,
        lane=task.lane,
        criticality=task.spec.criticality,
        state=task.state,
        period_ms=task.spec.period_ms,
        deadline_ms=task.spec.deadline_ms,
        rate_hz=task.rate_hz,
        p50_ms=task.response_p50_ms,
        p99_ms=task.response_p99_ms,
        max_ms=task.response_max_ms,
        bound_ms=task.response_bound_ms,
        wcet_ms=task.wcet_ms,
        utilization=task.utilization,
        completed=task.completed,
        missed=task.missed,
        skipped=task.skipped,
        lost=task.lost,
        decimation=task.decimation,
        decimated=task.decimated,
    )


def _decision_row(message: Rationale) -> DecisionRow:
    moment = datetime.fromtimestamp(message.stamp.sec + message.stamp.nanosec / 1e9)
    return DecisionRow(
        clock=moment.strftime("%H:%M:%S"),
        task=message.task,
        decision=message.decision,
        rule=message.rule,
        sentence=message.sentence,
        count=message.count,
    )


def show(monitor: Monitor, console: Console, stop: threading.Event, once: bool) -> int:
    """Draw until ``stop`` is set; return the exit code."""
    deadline = time.monotonic() + 10.0
    while monitor.snapshot() is None:
        if stop.wait(0.1):
            return 0
        if time.monotonic() > deadline:
            Console(stderr=True).print(
                "no status within 10 s: is the orchestrator running, under this name "
                "(--target) and in this ROS_DOMAIN_ID?"
            )
            return 1
    if once or not console.is_terminal:
        while True:
            snapshot = monitor.snapshot()
            assert snapshot is not None
            if once:
                console.print(render_snapshot(snapshot, console.width))
                return 0
            console.print(summary_line(snapshot), soft_wrap=True)
            if stop.wait(2.0):
                return 0
    with Live(console=console, refresh_per_second=4, screen=True) as live:
        while not stop.wait(0.25):
            snapshot = monitor.snapshot()
            assert snapshot is not None
            live.update(render_snapshot(snapshot, console.width))
    return 0


def main(args: list[str] | None = None) -> int:
    """Run the monitor.

    Returns:
        0 ended by the user, 1 nothing to show, 2 refused by security.
    """
    parser = argparse.ArgumentParser(
        prog="monitor",
        description="Live table of a running orchestrator.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", default="/orchestrator", help="name of the orchestrator node")
    parser.add_argument("--once", action="store_true", help="print one table and exit")
    options = parser.parse_args(beside_ros_arguments(parser, args))
    stop = threading.Event()
    end_on_signals(stop)
    try:
        with starting():
            # Ours: rclpy's handlers would end the subscriptions, and leave this waiting.
            rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
            node = rclpy.create_node("aegis_monitor")
            warn_of_files(node)
            warn_of_unknown(node)
            answer_always(node)
            monitor = Monitor(node, options.target)
    except AegisError as error:
        print(f"monitor: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    spinner = spin_beside(node)
    try:
        return show(monitor, Console(), stop, options.once)
    finally:
        spinner.leave()
        rclpy.try_shutdown()


if __name__ == "__main__":
    run_and_leave(main)
