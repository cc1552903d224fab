"""The node's side of the engine: loads networks, submits frames, hands out results, supervises."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.engine.channel import Channel
from aegis_ros.engine.control import output_layout
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.process import EngineProcess
from aegis_ros.engine.types import (
    ChannelSpec,
    EngineEvent,
    EngineInfo,
    EngineStatus,
    JobResult,
    LoadSpec,
)
from aegis_ros.engine.wire import (
    DONE,
    MAX_DIMS,
    MAX_RECORD_BYTES,
    OUTPUT_FREE,
    SKIP_RULES,
    SKIPPED,
    SUBMIT,
    Kind,
)
from aegis_ros.errors import EngineError
from aegis_ros.rationale import Rule
from aegis_ros.spec import DeviceSpec

__all__ = ["EngineClient"]

_OUTPUT_SLOTS = 4
_STALE_LOOP_NS = 1_000_000_000
_STUCK_FACTOR = 20
_STUCK_LEAST_NS = 5_000_000_000
_CRASH_WINDOW_NS = 60_000_000_000
_CRASHES_TO_GIVE_UP = 8
_CRASHES_TO_QUARANTINE = 3


@dataclass(slots=True)
class _Loaded:
    spec: LoadSpec
    memory: SharedMemory
    crashes: int = 0


@dataclass(slots=True)
class _InFlight:
    channel: Channel
    slot: int
    arrival_ns: int
    received_ns: int
    deadline_ns: int


class EngineClient:
    """One engine, kept alive. Callbacks come from the client's own threads.

    Args:
        device: backend, lanes and priority.
        on_result: a job ran to its end; its owner must release the result.
        on_skip: a job will not run: (task id, sequence number, rule, text).
        on_event: the engine as a whole was lost, came back or was given up.
    """

    def __init__(
        self,
        device: DeviceSpec,
        *,
        on_result: Callable[[JobResult], None],
        on_skip: Callable[[int, int, Rule, str], None],
        on_event: Callable[[EngineEvent], None],
    ) -> None:
        """Start nothing yet."""
        self._device = device
        self._on_result = on_result
        self._on_skip = on_skip
        self._on_event = on_event
        self._process: EngineProcess | None = None
        self._channels: dict[str, Channel] = {}
        self._loaded: dict[int, _Loaded] = {}
        self._in_flight: dict[tuple[int, int], _InFlight] = {}
        self._guard = threading.Lock()  # tables above
        self._changing = threading.RLock()  # load, unload, restart: one at a time
        self._next_channel = 1
        self._stopping = threading.Event()
        self._restarts = 0
        self._restart_ns = 0
        self._crashes: deque[int] = deque()
        self._threads: list[threading.Thread] = []
        self._generation = 0

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> EngineInfo:
        """Start the engine process.

        Raises:
            EngineError: it does not start, or runs already.
        """
        with self._changing:
            if self._process is not None:
                raise EngineError("the engine runs already")
            self._stopping.clear()
            self._process = EngineProcess(self._device)
            self._watch(self._process)
            return self.info()

    def info(self) -> EngineInfo:
        """Return what the engine says of itself.

        Raises:
            EngineError: it does not run.
        """
        said = self._running().info
        return EngineInfo(said["pid"], said["backend"], said["device"], said["determinism"])

    def stop(self) -> None:
        """End the engine and forget everything; always returns."""
        self._stopping.set()
        process = self._process
        if process is not None:
            process.stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5.0)
        with self._changing:
            self._threads = []
            if process is not None:
                process.close()
            self._process = None
            for channel in self._channels.values():
                channel.close()
            for loaded in self._loaded.values():
                loaded.memory.close()
            self._channels.clear()
            self._loaded.clear()
            self._in_flight.clear()

    # -- what is loaded -----------------------------------------------------------------------

    def open_channel(self, spec: ChannelSpec) -> Channel:
        """Create the slots of a stream.

        Raises:
            EngineError: the key is taken, or the engine is gone.
        """
        with self._changing:
            if spec.key in self._channels:
                raise EngineError("the channel is open already", value=spec.key)
            channel = Channel(self._next_channel, spec)
            self._next_channel += 1
            try:
                self._send_channel(self._running(), channel)
            except EngineError:
                channel.close()
                raise
            self._channels[spec.key] = channel
            return channel

    def close_channel(self, key: str) -> None:
        """Give the slots of a stream back; its tasks must be unloaded."""
        with self._changing:
            channel = self._channels.pop(key, None)
            if channel is None:
                return
            self._running().ask({"do": "close_channel", "index": channel.index})
            channel.close()

    def load(self, spec: LoadSpec) -> None:
        """Load a network and make its task known to the scheduler.

        Raises:
            EngineError: the backend refuses, or the engine is gone; nothing has changed.
        """
        with self._changing:
            loaded = _Loaded(spec, self._output_memory(spec.compiled))
            try:
                self._send_load(self._running(), loaded)
            except EngineError:
                loaded.memory.close()
                raise
            with self._guard:
                self._loaded[spec.task_id] = loaded

    def unload(self, task_id: int) -> None:
        """Forget a task and give back what its network took; unknown ids are ignored."""
        with self._changing:
            with self._guard:
                loaded = self._loaded.pop(task_id, None)
            if loaded is None:
                return
            try:
                self._running().ask({"do": "unload", "task_id": task_id})
            except EngineError as error:
                if error.code != "gone":
                    raise
            loaded.memory.close()

    def profile(
        self,
        compiled: CompiledNetwork,
        lane: int,
        runs: int,
        on_progress: Callable[[int, int], bool],
        warmup: int = 10,
    ) -> npt.NDArray[np.int64]:
        """Time a network on a lane between the jobs that run there.

        Args:
            compiled: the network.
            lane: index of the lane.
            runs: how many runs are timed.
            on_progress: told (runs done, nanoseconds of the slowest); return False to stop.
            warmup: runs before the first that counts.

        Returns:
            int64 [runs, segments], nanoseconds; fewer runs if stopped.

        Raises:
            EngineError: the network fails, or the engine is gone.
        """
        samples: list[int] = []

        def progress(message: dict[str, Any]) -> bool:
            samples.extend(message["samples"])
            return on_progress(message["progress"], max(samples, default=0))

        answer = self._running().ask(
            {
                "do": "profile",
                "compiled": compiled.to_json(),
                "lane": lane,
                "runs": runs,
                "warmup": warmup,
            },
            on_progress=progress,
        )
        samples.extend(answer["samples"])
        return np.asarray(samples, np.int64).reshape(-1, compiled.segments)

    # -- frames -------------------------------------------------------------------------------

    def submit(
        self,
        channel: Channel,
        slot: int,
        shape: tuple[int, ...],
        received_ns: int,
        jobs: Sequence[tuple[int, int, int, int]],
    ) -> None:
        """Hand a written slot to the engine, for one job or more.

        Args:
            channel: the stream's channel.
            slot: index that ``acquire`` gave.
            shape: shape of the frame.
            received_ns: when the frame came (monotonic).
            jobs: (task id, sequence number, arrival, absolute deadline) of each job.
        """
        process = self._process
        channel.hold(slot, len(jobs))
        padded = (*shape, *(0,) * (MAX_DIMS - len(shape)))
        for task_id, seq, arrival_ns, deadline_ns in jobs:
            key = (task_id, seq)
            with self._guard:
                self._in_flight[key] = _InFlight(
                    channel, slot, arrival_ns, received_ns, deadline_ns
                )
            record = SUBMIT.pack(
                Kind.SUBMIT, task_id, seq, channel.index, slot, len(shape), *padded,
                arrival_ns, received_ns, deadline_ns,
            )
            problem = "the engine is not running"
            if process is not None:
                try:
                    process.frames.send(record, socket.MSG_DONTWAIT)
                    continue
                except BlockingIOError:
                    problem = "the engine does not keep up"
                except OSError:
                    problem = "the engine is gone"
            if self._take(key) is not None:
                channel.drop(slot)
                self._on_skip(task_id, seq, Rule.STATE, problem)

    def status(self) -> EngineStatus:
        """Return the engine's state without asking it."""
        process = self._process
        if process is None:
            return EngineStatus(0, 0, (), self._restarts, self._restart_ns)
        page = process.page
        return EngineStatus(
            process.pid, page.alive_ns, page.lanes(), self._restarts, self._restart_ns
        )

    # -- inside -------------------------------------------------------------------------------

    def _running(self) -> EngineProcess:
        if self._process is None:
            raise EngineError("the engine is not running", code="gone")
        return self._process

    @staticmethod
    def _output_memory(compiled: CompiledNetwork) -> SharedMemory:
        return SharedMemory(output_layout(compiled)[1] * _OUTPUT_SLOTS)

    @staticmethod
    def _send_channel(process: EngineProcess, channel: Channel) -> None:
        spec = channel.spec
        process.ask(
            {
                "do": "open_channel",
                "index": channel.index,
                "key": spec.key,
                "format": str(spec.format),
                "max_shape": list(spec.max_shape),
                "slots": spec.slots,
            },
            (channel.memory.fd,),
        )

    @staticmethod
    def _send_load(process: EngineProcess, loaded: _Loaded) -> None:
        spec = loaded.spec
        process.ask(
            {
                "do": "load",
                "task_id": spec.task_id,
                "lane": spec.lane,
                "queue": spec.queue,
                "slots": _OUTPUT_SLOTS,
                "compiled": spec.compiled.to_json(),
            },
            (loaded.memory.fd,),
        )

    def _take(self, key: tuple[int, int]) -> _InFlight | None:
        with self._guard:
            return self._in_flight.pop(key, None)

    def _watch(self, process: EngineProcess) -> None:
        self._generation += 1
        for name, target in (("results", self._read), ("watchdog", self._guard_process)):
            thread = threading.Thread(
                target=target, args=(process, self._generation), name=f"engine-{name}", daemon=True
            )
            thread.start()
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]

    def _read(self, process: EngineProcess, generation: int) -> None:
        buffer = bytearray(MAX_RECORD_BYTES)
        while True:
            try:
                size = process.frames.recv_into(buffer)
            except OSError:
                size = 0
            if size == 0:
                return
            if buffer[0] == Kind.DONE:
                self._done(process, buffer)
            elif buffer[0] == Kind.SKIPPED:
                _, rule, task_id, seq, _, _ = SKIPPED.unpack_from(buffer)
                text = bytes(buffer[SKIPPED.size : size]).decode(errors="replace")
                job = self._take((task_id, seq))
                if job is not None:
                    job.channel.drop(job.slot)
                    self._on_skip(task_id, seq, SKIP_RULES[rule], text)

    def _done(self, process: EngineProcess, buffer: bytearray) -> None:
        (_, task_id, seq, _, _, slot, released, started, finished, execution) = DONE.unpack_from(
            buffer
        )
        job = self._take((task_id, seq))
        with self._guard:
            loaded = self._loaded.get(task_id)
        if job is None:
            return
        job.channel.drop(job.slot)

        def release() -> None:
            record = OUTPUT_FREE.pack(Kind.OUTPUT_FREE, task_id, slot)
            try:
                process.frames.send(record, socket.MSG_DONTWAIT)
            except OSError:
                return  # the engine is gone, and its slots with it

        if loaded is None:
            release()
            return
        offsets, size = output_layout(loaded.spec.compiled)
        outputs = {
            item.name: loaded.memory.array(
                slot * size + offset, tuple(int(extent) for extent in item.shape), item.dtype
            )
            for offset, item in zip(offsets, loaded.spec.compiled.outputs, strict=True)
        }
        loaded.crashes = 0
        self._on_result(
            JobResult(
                task_id, seq, job.arrival_ns, job.received_ns, job.deadline_ns, released, started,
                finished, execution, outputs, release,
            )
        )

    def _guard_process(self, process: EngineProcess, generation: int) -> None:
        """Watch one process until it ends or hangs, then replace it."""
        while not self._stopping.wait(0.02):
            code = process.ended()
            cause = f"the engine ended (code {code})" if code is not None else self._hang(process)
            if cause:
                lost_ns = time.monotonic_ns()
                suspects = [lane.task_id for lane in process.page.lanes() if lane.task_id >= 0]
                process.kill()
                self._recover(process, cause, suspects, lost_ns)
                return

    def _hang(self, process: EngineProcess) -> str:
        now = time.monotonic_ns()
        alive = process.page.alive_ns
        if alive and now - alive > _STALE_LOOP_NS:
            return f"the engine's loop has not moved for {(now - alive) / 1e9:.1f} s"
        for index, lane in enumerate(process.page.lanes()):
            with self._guard:
                loaded = self._loaded.get(lane.task_id)
            if loaded is None:
                continue
            budget = sum(loaded.spec.wcet_ns)
            limit = max(_STUCK_FACTOR * budget, _STUCK_LEAST_NS)
            if now - lane.since_ns > limit:
                return (
                    f"{loaded.spec.name} has run for {(now - lane.since_ns) / 1e9:.1f} s on lane "
                    f"{self._device.lanes[index].name} (its budget is {budget / 1e6:.1f} ms)"
                )
        return ""

    def _recover(
        self, process: EngineProcess, cause: str, suspects: list[int], lost_ns: int
    ) -> None:
        with self._guard:
            lost = tuple(sorted(self._in_flight))
            self._in_flight.clear()
        for channel in list(self._channels.values()):
            channel.reset()
        self._crashes.append(lost_ns)
        while lost_ns - self._crashes[0] > _CRASH_WINDOW_NS:
            self._crashes.popleft()
        self._on_event(
            EngineEvent(Rule.ENGINE_RESTART, f"{cause}; {len(lost)} job(s) in flight lost", lost)
        )
        quarantined = self._quarantine(suspects)
        if len(self._crashes) >= _CRASHES_TO_GIVE_UP:
            self._process = None
            self._on_event(
                EngineEvent(
                    Rule.LIMIT,
                    f"the engine was lost {len(self._crashes)} times within a minute and is not "
                    "started again; deactivate and activate the orchestrator to try once more",
                )
            )
            return
        with self._changing:
            if self._stopping.is_set():
                return
            process.close()
            try:
                self._restart()
            except EngineError as error:
                self._process = None
                self._on_event(EngineEvent(Rule.LIMIT, f"the engine cannot be restarted: {error}"))
                return
        duration = time.monotonic_ns() - lost_ns
        self._restarts += 1
        self._restart_ns = duration
        names = ", ".join(self._loaded[task].spec.name for task in quarantined)
        self._on_event(
            EngineEvent(
                Rule.ENGINE_RESTART,
                f"the engine is back after {duration / 1e6:.0f} ms with "
                f"{len(self._loaded) - len(quarantined)} task(s)"
                + (f"; left out after crashing it: {names}" if names else ""),
                recovered=True,
                duration_ns=duration,
                quarantined=quarantined,
            )
        )

    def _restart(self) -> None:
        process = EngineProcess(self._device)
        self._process = process
        for channel in self._channels.values():
            self._send_channel(process, channel)
        for loaded in list(self._loaded.values()):
            if loaded.crashes >= _CRASHES_TO_QUARANTINE:
                continue
            # Results that are still being decoded keep the old memory alive.
            loaded.memory.close()
            loaded.memory = self._output_memory(loaded.spec.compiled)
            self._send_load(process, loaded)
        self._watch(process)

    def _quarantine(self, suspects: list[int]) -> tuple[int, ...]:
        with self._guard:
            for task_id in suspects:
                if task_id in self._loaded:
                    self._loaded[task_id].crashes += 1
            return tuple(
                task_id
                for task_id, loaded in self._loaded.items()
                if loaded.crashes >= _CRASHES_TO_QUARANTINE
            )
