"""Hears what the robot publishes, and knows since when all is good again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import rclpy
from aegis_ros.msg import InferenceResult, OrchestratorStatus, Rationale
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from aegis_ros.nodes.spinning import spin_beside
from benchmarks.soak.ledger import HEARD, Count
from benchmarks.soak.record import Record
from benchmarks.soak.recovering import Recovery

__all__ = ["Listener"]

_GIVE_NO_RESULT = (Rationale.DECISION_SKIPPED, Rationale.DECISION_LOST)
# Lost is a task or a subscription, not a frame.
_NO_FRAME = frozenset(
    [
        "cannot_subscribe",
        "publisher_of_other_qos",
        "publisher_of_other_type",
        "quarantined",
        "task_not_reloaded",
    ]
)
# Frames that were never received: lost on their way, or replaced by newer ones before that.
_TRANSPORT = frozenset(["frames_lost", "frames_overtaken"])
_DEEP = 1000


class Listener:
    """Subscribes to results, decisions, status and diagnostics; spins on a thread of its own.

    Args:
        periods_ms: of the tasks, in the order of their numbers.
        record: gets every result.

    Attributes:
        node: to make clients and publishers with.
        status: the newest of the node that runs; an empty one before.
        status_at: when it came, monotonic seconds.
        in_flight: frames whose end is yet to come, as the diagnostics said last.
        rejected: sentences of rejections.
    """

    def __init__(self, periods_ms: Mapping[str, float], record: Record) -> None:
        """Subscribe."""
        self.node: Node = rclpy.create_node("listener")
        self._numbers = {name: number for number, name in enumerate(periods_ms)}
        self._periods_ns = {name: round(each * 1e6) for name, each in periods_ms.items()}
        self._record = record
        self._lock = threading.Lock()
        self._recovery = Recovery(self._periods_ns, 0)
        self._heard: Counter[str] = Counter()
        self._longest_ns = 0  # between two statuses of one node
        self.begin_life()
        deep = QoSProfile(depth=_DEEP)
        for name in periods_ms:
            self.node.create_subscription(
                InferenceResult, f"/stack/{name}/result", self._result, deep
            )
        self.node.create_subscription(OrchestratorStatus, "/orchestrator/status", self._state, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, 10)
        self.node.create_subscription(
            Rationale,
            "/orchestrator/rationale",
            self._decided,
            QoSProfile(depth=_DEEP, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        spin_beside(self.node)

    def begin_life(self) -> None:
        """Forget the node before."""
        with self._lock:
            self.status = OrchestratorStatus()
            self.status_at = 0.0
            self._status_ns = 0
            self.in_flight = -1
            self.rejected: list[str] = []
            self._told: Counter[str] = Counter()
            self._transport: Counter[str] = Counter()
            self._kinds: Counter[str] = Counter()

    def watch(self, since_ns: int) -> None:
        """Wait for good results of frames that were received from now on."""
        with self._lock:
            self._recovery = Recovery(self._periods_ns, since_ns)

    def good(self, name: str) -> int:
        """Return when the first good result since :meth:`watch` was published; 0 for none yet.

        Good is a result in time that is measured from the stamp of its frame.
        """
        with self._lock:
            return self._recovery.first_ns(name)

    def all_good(self) -> bool:
        """Return whether all tasks have one."""
        with self._lock:
            return self._recovery.all_first()

    def steady(self, for_s: float) -> int:
        """Return since when all frames of all tasks have had good results; 0 for less than that.

        Args:
            for_s: for how long that must have been so.
        """
        with self._lock:
            return self._recovery.steady_ns(time.time_ns(), round(for_s * 1e9))

    def decisions(self, kind: str) -> int:
        """Return how many decisions of a kind the node has published."""
        with self._lock:
            return self._kinds[kind]

    def heard(self) -> dict[str, int]:
        """Return how many results were heard of each task since the beginning."""
        with self._lock:
            return dict(self._heard)

    def counts(self) -> tuple[dict[str, Count], int]:
        """Return what the node counted of each task and told of them, and its status's stamp."""
        with self._lock:
            counts = {
                item.spec.name: Count(
                    int(item.received),
                    int(item.completed),
                    int(item.skipped),
                    int(item.lost),
                    int(item.decimated),
                    self._told[item.spec.name],
                    self._transport[item.spec.name],
                )
                for item in self.status.tasks
                if item.spec.name in self._numbers
            }
            return counts, self._status_ns

    def _result(self, message: InferenceResult) -> None:
        timing = message.timing
        number = self._numbers.get(message.task)
        if number is None or not message.header.frame_id.isdecimal():
            return
        received_ns, published_ns = _ns(timing.received), _ns(timing.published)
        row = np.array(
            (
                number,
                timing.met,
                int(message.header.frame_id),
                received_ns,
                published_ns,
                timing.response_ms,
                timing.execution_ms,
            ),
            HEARD,
        )
        self._record.heard(row.tobytes())
        believed = timing.stamped == message.header.stamp
        with self._lock:
            self._heard[message.task] += 1
            good = bool(believed and timing.met)
            self._recovery.note(message.task, received_ns, published_ns, good=good)

    def _state(self, message: OrchestratorStatus) -> None:
        with self._lock:
            self.status = message
            self.status_at = time.monotonic()
            at_ns = _ns(message.stamp)
            gap_ns = at_ns - self._status_ns if self._status_ns else 0
            self._status_ns = at_ns
            longer = gap_ns > self._longest_ns
            self._longest_ns = max(gap_ns, self._longest_ns)
        if longer:
            self._record.note("status_gap", gap_ms=gap_ns / 1e6, at_ns=at_ns)

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for each in message.status:
            if each.name == "/orchestrator: frames":
                values = {value.key: value.value for value in each.values}
                self.in_flight = int(values["in_flight"])

    def _decided(self, message: Rationale) -> None:
        with self._lock:
            self._kinds[message.kind] += 1
            if message.decision == Rationale.DECISION_REJECTED:
                self.rejected.append(message.sentence)
            if _gives_no_result(message):
                into = self._transport if message.kind in _TRANSPORT else self._told
                into[message.task] += max(1, int(message.count))


def _gives_no_result(message: Rationale) -> bool:
    """Return whether a decision stands for frames without a result."""
    return message.decision in _GIVE_NO_RESULT and message.kind not in _NO_FRAME


def _ns(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
