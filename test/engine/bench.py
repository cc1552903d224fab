"""A running engine with a simulated device, and what a test wants to ask of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.testing.simulated import lasting
from aegis_ros.engine import (
    Channel,
    ChannelSpec,
    EngineClient,
    EngineEvent,
    JobResult,
    JobSkip,
    LoadSpec,
    OverrunEvent,
    PartialResult,
    SlotFrame,
    Spoken,
)
from aegis_ros.memory import Footprint
from aegis_ros.network import NetworkInput, TensorInfo
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import EarlyExitPlan, ExecutionPlan, SegmentPlan
from aegis_ros.spec import DeviceSpec, FrameFormat, LaneSpec

SHAPE = (16, 24, 3)
RAISE, HANG, CRASH = 255, 254, 253
MS = 1_000_000
TIMEOUT_S = 100.0


def simulated(*segment_ns: int, path: str = "simulated.onnx") -> CompiledNetwork:
    """Return a network whose segments take the given times."""
    return CompiledNetwork(
        backend="simulated",
        key="key",
        paths=lasting(path, *(segment_ns or (MS,))),
        inputs=(
            NetworkInput(TensorInfo("frame", "uint8", ("h", "w", 3)), FrameFormat.RGB8, SHAPE),
        ),
        outputs=(TensorInfo("values", "float32", (4,)), TensorInfo("more", "int64", (2, 2))),
        footprint=Footprint(1000),
    )


def plan(
    budgets_ns: tuple[int, ...], exit_after: int = 0, total_ns: int = 0
) -> ExecutionPlan | None:
    """Return a plan with budgets; ``None`` where none are given."""
    if not budgets_ns:
        return None
    steps = len(budgets_ns)
    if exit_after:
        return EarlyExitPlan(steps, budgets_ns, total_ns, exit_after)
    return SegmentPlan(steps, budgets_ns, total_ns)


@dataclass
class Heard:
    """What the callbacks got; each has a copy of the outputs, the slots are handed back."""

    results: list[JobResult] = field(default_factory=list)
    outputs: list[dict[str, np.ndarray]] = field(default_factory=list)
    skips: list[tuple[int, int, Rule, str]] = field(default_factory=list)
    stopped: list[bool] = field(default_factory=list)  # of each of the skips
    events: list[EngineEvent] = field(default_factory=list)
    overruns: list[OverrunEvent] = field(default_factory=list)
    restored: list[tuple[int, int]] = field(default_factory=list)
    partials: list[tuple[PartialResult, dict[str, np.ndarray], int]] = field(default_factory=list)
    """With the number of results that were there before."""
    spoken: list[Spoken] = field(default_factory=list)


class Bench:
    """One engine client whose callbacks are recorded and can be waited for."""

    def __init__(
        self,
        lanes: int = 1,
        backend: str = "simulated",
        release: bool = True,
        engine: Callable[..., Any] = EngineClient,
        backends: Sequence[str] = (),
    ) -> None:
        self.heard = Heard()
        self.changed = threading.Condition()
        self.release = release
        names = backends or [""] * lanes  # of each lane, empty for the device's
        device = DeviceSpec(
            backend=backend,
            lanes=tuple(LaneSpec(f"lane{index}", backend=each) for index, each in enumerate(names)),
            realtime_priority=0,
        )
        self.client = engine(
            device,
            on_result=lambda result: self._on_result(result),
            on_skip=lambda skip: self._on_skip(skip),
            on_event=lambda event: self._note(self.heard.events, event),
            on_overrun=lambda event: self._note(self.heard.overruns, event),
            on_restored=lambda *restored: self._note(self.heard.restored, restored),
            on_tokens=lambda spoken: self._note(self.heard.spoken, spoken),
            on_partial=lambda partial: self._note(
                self.heard.partials,
                (
                    partial,
                    {name: value.copy() for name, value in partial.outputs.items()},
                    len(self.heard.results),
                ),
            ),
        )
        self.sent: set[tuple[int, int]] = set()
        self._seq = 0

    def __enter__(self) -> Bench:
        self.client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop()

    def _on_result(self, result: JobResult) -> None:
        copy = {name: value.copy() for name, value in result.outputs.items()}
        if self.release:
            result.release()
        with self.changed:
            self.heard.outputs.append(copy)
            self.heard.results.append(result)
            self.changed.notify_all()

    def _on_skip(self, skip: JobSkip) -> None:
        self.heard.stopped.append(skip.stopped)
        self._note(self.heard.skips, (skip.task_id, skip.seq, skip.rule, skip.text))

    def _note(self, kept: list, item: object) -> None:
        with self.changed:
            kept.append(item)
            self.changed.notify_all()

    def wait(self, true: Callable[[Heard], object], what: str) -> None:
        """Wait until something was heard, or is so."""
        end = time.monotonic() + TIMEOUT_S
        with self.changed:
            while not true(self.heard):
                assert time.monotonic() < end, (what, self.heard)
                self.changed.wait(0.05)  # nothing is heard of a process that stands by

    def channel(self, key: str = "camera", slots: int = 8) -> Channel:
        return self.client.open_channel(ChannelSpec(key, FrameFormat.RGB8, SHAPE, slots))

    def load(self, task_id: int, *segment_ns: int, **fields: object) -> None:
        network = simulated(*segment_ns)
        # Budgets that no machine is slow enough to exceed by chance.
        budgets = tuple(10 * part + 1000 * MS for part in segment_ns)
        spec = {"lane": 0, "channel": "camera", "compiled": network}
        fields.setdefault("wcet_ns", budgets)
        compiled = fields.get("compiled", network)
        stand_ins = fields.get("early_exit", {}).values()  # type: ignore[attr-defined]
        exit_after = compiled.exit_after(stand_ins) if stand_ins else 0  # type: ignore[attr-defined]
        fields["plan"] = plan(fields.pop("wcet_ns"), exit_after)  # type: ignore[arg-type]
        self.client.load(LoadSpec(task_id, f"task{task_id}", **(spec | fields)))  # type: ignore[arg-type]

    def feed(
        self,
        channel: Channel,
        *task_ids: int,
        value: int = 1,
        deadline_ms: float = 1000.0,
        shape: Sequence[int] = SHAPE,
        origin: object = None,
    ) -> int:
        """Submit one frame, waiting for a slot if need be; return its sequence number."""
        end = time.monotonic() + TIMEOUT_S
        while (slot := channel.acquire()) is None:
            assert time.monotonic() < end, "no slot came back"
            time.sleep(0.001)
        channel.array(slot, tuple(shape))[:] = value
        now = time.monotonic_ns()
        self._seq += 1
        deadline = now + int(deadline_ms * MS)
        self.sent |= {(task, self._seq) for task in task_ids}
        jobs = [(task, self._seq, now, deadline) for task in task_ids]
        self.client.submit((SlotFrame(channel, slot, tuple(shape)),), now, jobs, origin=origin)
        return self._seq

    def accounted(self) -> list[tuple[int, int]]:
        """Return every job that was heard of, as often as it was."""
        heard = self.heard
        return sorted(
            [(result.task_id, result.seq) for result in heard.results]
            + [(task, seq) for task, seq, _, _ in heard.skips]
            + [job for event in heard.events for job in event.lost]
        )

    def kill(self, signal_number: int) -> None:
        """Send a signal to the engine that runs, once one does."""
        end = time.monotonic() + TIMEOUT_S
        while (pid := self.client.status().pid) == 0:  # 0 would be this very process group
            assert time.monotonic() < end, "no engine runs"
            time.sleep(0.001)
        os.kill(pid, signal_number)

    def running(self, task_id: int, lane: int = 0) -> None:
        """Wait until a lane runs a task."""
        end = time.monotonic() + TIMEOUT_S
        while self.client.status().lanes[lane].task_id != task_id:
            assert time.monotonic() < end, f"task {task_id} does not run"
            time.sleep(0.001)
