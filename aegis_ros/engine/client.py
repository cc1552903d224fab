"""The node's side of the engine: loads networks, submits frames, hands out results, supervises."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.engine.channel import Channel
from aegis_ros.engine.history import CrashHistory
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.messages import (
    CloseChannel,
    Done,
    Load,
    Loaded,
    OpenChannel,
    ProfileBegin,
    ProfileBegun,
    ProfileEnd,
    ProfileRuns,
    ProfileSamples,
    Request,
    Unload,
)
from aegis_ros.engine.process import EngineProcess
from aegis_ros.engine.slots import OutputSlots
from aegis_ros.engine.types import (
    ChannelSpec,
    EngineEvent,
    EngineInfo,
    EngineStatus,
    JobResult,
    LoadSpec,
    OverrunEvent,
)
from aegis_ros.engine.watch import Trouble, trouble
from aegis_ros.engine.wire import (
    DONE,
    MAX_DIMS,
    MAX_RECORD_BYTES,
    OUTPUT_FREE,
    OVERRUN,
    POLICIES,
    RESTORED,
    SKIP_RULES,
    SKIPPED,
    SUBMIT,
    Kind,
)
from aegis_ros.errors import EngineError, InputError
from aegis_ros.rationale import Rule
from aegis_ros.spec import Criticality, DeviceSpec

__all__ = ["EngineClient"]

_OUTPUT_SLOTS = 4
_WATCH_INTERVAL_S = 0.1
_READER_GRACE_S = 0.5
_STOP_TIMEOUT_S = 10.0
_IMPORTANCE = list(Criticality)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _InFlight:
    channel: Channel
    slot: int
    arrival_ns: int
    received_ns: int
    deadline_ns: int


@dataclass(slots=True)
class _Outage:
    lost_ns: int
    retry_ns: int
    trouble: Trouble


class EngineClient:
    """One engine, kept alive. Callbacks come from the client's own threads.

    A supervisor thread starts the process, watches it, and replaces it: it sees at once when the
    process is gone and within a second or so when it hangs. All that was opened and loaded is
    opened and loaded again; every frame in flight is told as lost, exactly once.

    Args:
        device: backend, lanes and priority.
        on_result: a job ran to its end; its owner must release the result.
        on_skip: a job will not run: (task id, sequence number, rule, text).
        on_event: the engine as a whole was lost, came back or was given up.
        on_overrun: a segment took longer than its budget.
        on_restored: a lane that shed what is below high criticality takes all again: (index of the
            lane, nanoseconds it had shed).
        trace: ring that every engine process writes its trace to; stays the caller's.
    """

    def __init__(
        self,
        device: DeviceSpec,
        *,
        on_result: Callable[[JobResult], None],
        on_skip: Callable[[int, int, Rule, str], None],
        on_event: Callable[[EngineEvent], None],
        on_overrun: Callable[[OverrunEvent], None] = lambda event: None,
        on_restored: Callable[[int, int], None] = lambda lane, duration_ns: None,
        trace: SharedMemory | None = None,
    ) -> None:
        """Start nothing yet."""
        self._device = device
        self._on_result = on_result
        self._on_skip = on_skip
        self._on_event = on_event
        self._on_overrun = on_overrun
        self._on_restored = on_restored
        self._trace = trace
        self._process: EngineProcess | None = None
        self._reader: threading.Thread | None = None
        self._supervisor: threading.Thread | None = None
        self._channels: dict[str, Channel] = {}
        self._loaded: dict[int, LoadSpec] = {}
        self._in_flight: dict[tuple[int, int], _InFlight] = {}
        self._guard = threading.Lock()  # process, tables above; held for microseconds
        self._changing = threading.Lock()  # load, unload, start again: one at a time
        self._life = threading.Lock()  # start, stop: one at a time
        self._next_channel = 1
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._history = CrashHistory()
        self._outage: _Outage | None = None
        self._loading: tuple[int, ...] = ()
        self._doubted = False
        self._restarts = 0
        self._restart_ns = 0
        self._speed = 1.0
        self._room: dict[int, float] = {}

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> EngineInfo:
        """Start the engine process.

        Raises:
            EngineError: it does not start, or runs already.
        """
        with self._life:
            if self._supervisor is not None:
                raise EngineError("the engine runs already")
            self._stopping = threading.Event()
            self._wake.clear()
            self._history = CrashHistory()
            self._outage = None
            started: Future[None] = Future()
            thread = threading.Thread(
                target=self._supervise, args=(started,), name="engine-supervisor", daemon=True
            )
            thread.start()
            started.result()
            self._supervisor = thread
            return self.info()

    def info(self) -> EngineInfo:
        """Return what the engine says of itself.

        Raises:
            EngineError: it does not run.
        """
        return self._running().info

    def stop(self) -> None:
        """End the engine and forget everything; always returns, from any thread.

        Jobs in flight are skipped as ``OPERATOR``.
        """
        with self._life:
            thread, self._supervisor = self._supervisor, None
            self._stopping.set()
            self._wake.set()
        process = self._process
        if process is not None:
            process.stop()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=_STOP_TIMEOUT_S)
        for task_id, seq in self._lose_all():
            self._skip(task_id, seq, Rule.OPERATOR, "the engine was stopped")
        with self._guard:
            channels = list(self._channels.values())
            self._channels.clear()
            self._loaded.clear()
        for channel in channels:
            channel.close()

    # -- what is loaded -----------------------------------------------------------------------

    def open_channel(self, spec: ChannelSpec) -> Channel:
        """Create the slots of a stream.

        Raises:
            EngineError: the key is taken, or the engine was not started.
        """
        with self._changing:
            if spec.key in self._channels:
                raise EngineError("the channel is open already", value=spec.key)
            channel = Channel(self._next_channel, spec)
            self._next_channel += 1
            try:
                _send_channel(self._running(), channel)
            except EngineError as error:
                # An engine that comes back is told of every channel.
                if error.rule is not Rule.ENGINE_RESTART or self._supervisor is None:
                    channel.close()
                    raise
            with self._guard:
                self._channels[spec.key] = channel
            return channel

    def close_channel(self, key: str) -> None:
        """Give the slots of a stream back; its tasks must be unloaded. Unknown keys pass."""
        with self._changing:
            with self._guard:
                channel = self._channels.pop(key, None)
            if channel is None:
                return
            self._tell(CloseChannel(channel.index))
            channel.close()

    def load(self, spec: LoadSpec) -> str:
        """Load a network and make its task known to the scheduler.

        Returns:
            What the backend chose while it loaded, for people; may be empty.

        Raises:
            EngineError: the backend refuses, or the engine is gone; nothing has changed.
        """
        with self._changing:
            if spec.task_id in self._loaded:
                raise EngineError("the task is loaded already", value=spec.task_id)
            if not 0 <= spec.lane < len(self._device.lanes):
                raise EngineError(
                    "there is no such lane",
                    value=spec.lane,
                    expected=f"0 to {len(self._device.lanes) - 1}",
                )
            note = _send_load(self._running(), spec)
            with self._guard:
                self._loaded[spec.task_id] = spec
            return note

    def unload(self, task_id: int) -> None:
        """Forget a task and give back what its network took; unknown ids are ignored.

        Its waiting jobs are skipped; one that runs is waited for, and its result dropped.
        """
        with self._changing:
            with self._guard:
                known = self._loaded.pop(task_id, None)
            self._history.forget(task_id)
            if known is None:
                return
            self._tell(Unload(task_id))
            process = self._process
            slots = None if process is None else process.outputs.pop(task_id, None)
            if slots is not None:
                slots.close()

    def profile(
        self,
        compiled: CompiledNetwork,
        lane: int,
        runs: int,
        on_progress: Callable[[int, int], bool],
        warmup: int = 10,
        *,
        frames: npt.NDArray[np.generic] | None = None,
        cold: bool = False,
        after: CompiledNetwork | None = None,
        beside: Sequence[tuple[CompiledNetwork, int]] = (),
    ) -> npt.NDArray[np.int64]:
        """Time a network on a lane between the jobs that run there.

        Args:
            compiled: the network.
            lane: index of the lane.
            runs: how many runs are timed.
            on_progress: told (runs done, nanoseconds of the slowest); return False to stop.
            warmup: runs before the first that counts.
            frames: what it is fed, [frames, *compiled.max_shape]; ``None`` for random frames.
            cold: drive its data out of the caches before every run.
            after: a network that runs on the lane right before every run.
            beside: networks that run meanwhile, each with the index of its lane, another one.

        Returns:
            int64 [runs, segments], nanoseconds; fewer runs if stopped.

        Raises:
            EngineError: the network fails, or the engine is gone.
        """
        process = self._running()
        samples: list[list[int]] = []
        worst = 0
        total = runs + warmup
        handles: list[int] = []

        def begin(
            network: CompiledNetwork, where: int, fed: npt.NDArray[np.generic] | None = None
        ) -> int:
            handles.append(_begin_profile(process, network, where, fed))
            return handles[-1]

        try:
            timed = begin(compiled, lane, frames)
            before = begin(after, lane) if after is not None else 0
            others = tuple(begin(network, where) for network, where in beside)
            while len(samples) < total and not self._stopping.is_set():
                turn = ProfileRuns(timed, total - len(samples), cold, before, others)
                taken = process.ask(turn, ProfileSamples).samples
                samples += taken
                counted = samples[max(warmup, len(samples) - len(taken)) :]
                worst = max([worst, *(sum(row) for row in counted)])
                if not on_progress(max(0, len(samples) - warmup), worst):
                    break
        finally:
            try:
                for handle in handles:
                    process.ask(ProfileEnd(handle), Done)
            except EngineError as error:
                _log.debug("a measured network was not unloaded: %s", error)
        return np.asarray(samples[warmup:], np.int64).reshape(-1, compiled.segments)

    # -- frames -------------------------------------------------------------------------------

    def submit(
        self,
        channel: Channel,
        slot: int,
        shape: tuple[int, ...],
        received_ns: int,
        jobs: Sequence[tuple[int, int, int, int]],
    ) -> None:
        """Hand a written slot to the engine, for one job or more; never waits.

        A job that cannot be handed over is told through ``on_skip`` before this returns.

        Args:
            channel: the stream's channel.
            slot: index that ``acquire`` gave.
            shape: shape of the frame.
            received_ns: when the frame came (monotonic).
            jobs: (task id, sequence number, arrival, absolute deadline) of each job.

        Raises:
            InputError: the shape has too many extents; the slot is still the caller's.
        """
        if len(shape) > MAX_DIMS:
            raise InputError(
                "a frame has too many extents", value=shape, expected=f"at most {MAX_DIMS}"
            )
        padded = (*shape, *(0,) * (MAX_DIMS - len(shape)))
        refused: list[tuple[int, int, Rule, str]] = []
        channel.hold(slot, len(jobs))
        with self._guard:
            process = self._process
            for task_id, seq, arrival_ns, deadline_ns in jobs:
                if process is None:
                    refused.append((task_id, seq, Rule.ENGINE_RESTART, "the engine is not running"))
                    continue
                if task_id not in process.outputs:
                    refused.append((task_id, seq, *self._why_not_loaded(task_id)))
                    continue
                try:
                    process.submit(
                        SUBMIT.pack(
                            Kind.SUBMIT,
                            task_id,
                            seq,
                            channel.index,
                            slot,
                            len(shape),
                            *padded,
                            arrival_ns,
                            received_ns,
                            deadline_ns,
                        )
                    )
                except BlockingIOError:
                    text = "the engine does not keep up"
                    refused.append((task_id, seq, Rule.LIMIT, text))
                except OSError:
                    text = "the engine is being restarted"
                    refused.append((task_id, seq, Rule.ENGINE_RESTART, text))
                else:
                    self._in_flight[task_id, seq] = _InFlight(
                        channel, slot, arrival_ns, received_ns, deadline_ns
                    )
        for task_id, seq, rule, text in refused:
            channel.drop(slot)
            self._skip(task_id, seq, rule, text)

    def set_speed(self, factor: float) -> None:
        """Tell how fast the device is, so that budgets count ``1 / factor`` times; never waits.

        Args:
            factor: above 0; 1 for as fast as budgets were measured. What is above counts as 1.
        """
        self._speed = min(1.0, factor)
        process = self._process
        if process is not None:
            process.page.set_speed(self._speed)

    def set_room(self, lane: int, factor: float) -> None:
        """Tell what room the proof leaves on a lane; never waits.

        Args:
            lane: index of the lane.
            factor: by which all its budgets can be multiplied and nobody is late, at least 1.
                What stays within it is told as an overrun, and nothing else follows.
        """
        self._room[lane] = max(1.0, factor)
        process = self._process
        if process is not None:
            process.page.set_room(lane, self._room[lane])

    def status(self) -> EngineStatus:
        """Return the engine's state without asking it."""
        process = self._process
        if process is None:
            return EngineStatus(0, 0, (), self._restarts, self._restart_ns)
        page = process.page
        return EngineStatus(
            process.pid, page.alive_ns, page.lanes(), self._restarts, self._restart_ns
        )

    # -- supervision: one thread, that lives as long as the engine is wanted --------------------

    def _supervise(self, started: Future[None]) -> None:
        stopping = self._stopping  # of this start: a later one has its own
        try:
            self._bring_up()
        except Exception as error:  # whatever it is, start() must tell it
            started.set_exception(error)
            return
        started.set_result(None)
        while not stopping.is_set():
            self._wake.wait(_WATCH_INTERVAL_S)
            self._wake.clear()
            if stopping.is_set():
                break
            try:
                self._look_after()
            except Exception:  # the one thread that must not end
                _log.exception("the engine's supervisor met an error it goes on after")
        process = self._process
        if process is not None:
            process.stop()
            self._retire(process)

    def _look_after(self) -> None:
        process = self._process
        if process is not None:
            with self._guard:
                loaded = dict(self._loaded)
            if process.disconnected and process.ended() is None:
                process.kill()
            code = process.ended()
            found = trouble(code, process.page, loaded, time.monotonic_ns())
            # A machine that stood still as a whole looks like a hang, once.
            certain = code is not None or self._doubted
            self._doubted = found is not None and not certain
            if found is None:
                process.flush()
            elif certain:
                self._lose(process, found)
        if self._outage is not None and time.monotonic_ns() >= self._outage.retry_ns:
            self._come_back(self._outage)

    def _bring_up(self) -> tuple[tuple[int, str], ...]:
        """Start a process and load everything; return (task, reason) of what failed to load."""
        with self._changing:
            process = EngineProcess(self._device, self._trace)
            process.page.set_speed(self._speed)
            for lane, factor in tuple(self._room.items()):
                process.page.set_room(lane, factor)
            try:
                for channel in list(self._channels.values()):
                    _send_channel(process, channel)
                reader = threading.Thread(
                    target=self._read, args=(process,), name="engine-results", daemon=True
                )
                reader.start()
                with self._guard:
                    self._process, self._reader = process, reader
                return self._load_again(process)
            except (EngineError, OSError) as error:
                process.kill()
                self._retire(process)
                raise EngineError(f"the engine cannot be made ready ({error})") from error

    def _load_again(self, process: EngineProcess) -> tuple[tuple[int, str], ...]:
        """Load what was loaded, the most critical first; results flow as soon as they can."""
        failed: list[tuple[int, str]] = []
        order = sorted(self._loaded.values(), key=lambda spec: _IMPORTANCE.index(spec.criticality))
        for spec in order:
            if spec.task_id in self._history.quarantined:
                continue
            self._loading = (spec.task_id,)
            try:
                _send_load(process, spec)
            except EngineError as error:
                if error.rule is Rule.ENGINE_RESTART:
                    raise
                failed.append((spec.task_id, str(error)))
            self._loading = ()
        return tuple(failed)

    def _lose(self, process: EngineProcess, found: Trouble) -> None:
        lost_ns = time.monotonic_ns()
        process.kill()
        self._retire(process)
        lost = self._lose_all()
        if self._stopping.is_set():
            for task_id, seq in lost:
                self._skip(task_id, seq, Rule.OPERATOR, "the engine was stopped")
            return
        guilty = self._history.note(lost_ns, found.suspects)
        names = ", ".join(self._loaded[task].name for task in guilty if task in self._loaded)
        sentence = f"{found.cause}; {len(lost)} job(s) in flight lost"
        if names:
            sentence += f"; {names} crashed it too often and is quarantined"
        self._tell_event(
            EngineEvent(
                Rule.ENGINE_RESTART,
                sentence,
                tuple(lost),
                quarantined=guilty,
                cause=found.cause,
                lane=found.lane,
                stood_ns=max(0, lost_ns - found.since_ns),
            )
        )
        self._plan(lost_ns, lost_ns, found)

    def _plan(self, lost_ns: int, now_ns: int, found: Trouble) -> None:
        """Decide when to start again, if at all."""
        if self._history.hopeless(now_ns):
            self._outage = None
            self._tell_event(
                EngineEvent(
                    Rule.LIMIT,
                    "the engine was lost 5 times within a minute and is not started again; "
                    "deactivate and activate the orchestrator to try once more",
                )
            )
            return
        self._outage = _Outage(lost_ns, now_ns + self._history.delay_ns(now_ns), found)

    def _come_back(self, outage: _Outage) -> None:
        try:
            failed = self._bring_up()
        except EngineError as error:
            if self._stopping.is_set():
                return
            now = time.monotonic_ns()
            lost = tuple(self._lose_all())
            guilty = self._history.note(now, self._loading)
            self._loading = ()
            self._tell_event(
                EngineEvent(
                    Rule.ENGINE_RESTART,
                    f"the engine did not come back: {error}",
                    lost,
                    quarantined=guilty,
                )
            )
            self._plan(outage.lost_ns, now, outage.trouble)
            return
        self._outage = None
        duration = time.monotonic_ns() - outage.lost_ns
        self._restarts += 1
        self._restart_ns = duration
        process = self._process
        count = 0 if process is None else len(process.outputs)
        sentence = f"the engine is back after {duration / 1e6:.0f} ms with {count} task(s)"
        left_out = [
            spec.name for task, spec in self._loaded.items() if task in self._history.quarantined
        ]
        if left_out:
            sentence += f"; left out for crashing it: {', '.join(left_out)}"
        if failed:
            sentence += "; not loaded again: " + ", ".join(
                f"{self._loaded[task].name} ({reason})" for task, reason in failed
            )
        self._tell_event(
            EngineEvent(
                Rule.ENGINE_RESTART,
                sentence,
                recovered=True,
                duration_ns=duration,
                quarantined=tuple(sorted(self._history.quarantined)),
                failed=failed,
                cause=outage.trouble.cause,
                lane=outage.trouble.lane,
                stood_ns=max(0, outage.lost_ns - outage.trouble.since_ns),
            )
        )

    def _retire(self, process: EngineProcess) -> None:
        """Let go of a dead process once its last records are read."""
        reader = self._reader
        if reader is not None and reader is not threading.current_thread():
            reader.join(timeout=_READER_GRACE_S)
        with self._guard:
            if self._process is process:
                self._process = self._reader = None
        process.close()

    def _lose_all(self) -> list[tuple[int, int]]:
        """Take every job in flight, and free the slots they read."""
        with self._guard:
            jobs = dict(self._in_flight)
            self._in_flight.clear()
        for job in jobs.values():
            job.channel.drop(job.slot)
        return sorted(jobs)

    # -- inside -------------------------------------------------------------------------------

    def _running(self) -> EngineProcess:
        process = self._process
        if process is None:
            raise EngineError(
                "the engine is not running",
                hint="It may be starting again: try once more in a few seconds",
                rule=Rule.ENGINE_RESTART,
            )
        return process

    def _tell(self, request: Request) -> None:
        """Ask for something that an engine which is gone need not be asked for."""
        try:
            self._running().ask(request, Done)
        except EngineError as error:
            if error.rule is not Rule.ENGINE_RESTART:
                raise

    def _why_not_loaded(self, task_id: int) -> tuple[Rule, str]:
        if task_id in self._history.quarantined:
            return Rule.RUN_FAILED, "the task crashed the engine too often and is quarantined"
        if task_id in self._loaded:
            return Rule.ENGINE_RESTART, "the task is not loaded again yet"
        return Rule.STATE, "the task is not loaded"

    def _take(self, task_id: int, seq: int) -> _InFlight | None:
        with self._guard:
            return self._in_flight.pop((task_id, seq), None)

    def _skip(self, task_id: int, seq: int, rule: Rule, text: str) -> None:
        try:
            self._on_skip(task_id, seq, rule, text)
        except Exception:
            _log.exception("on_skip raised")

    def _tell_event(self, event: EngineEvent) -> None:
        try:
            self._on_event(event)
        except Exception:
            _log.exception("on_event raised")

    def _overran(self, buffer: bytearray) -> None:
        (_, policy, sheds, absorbed, lane, task_id, seq, segment, skips, taken, budget, used) = (
            OVERRUN.unpack_from(buffer)
        )
        applied = POLICIES[policy]
        event = OverrunEvent(
            task_id, seq, lane, segment, taken, budget, used, applied, skips, sheds, absorbed
        )
        try:
            self._on_overrun(event)
        except Exception:
            _log.exception("on_overrun raised")

    def _restored(self, buffer: bytearray) -> None:
        _, lane, duration_ns = RESTORED.unpack_from(buffer)
        try:
            self._on_restored(lane, duration_ns)
        except Exception:
            _log.exception("on_restored raised")

    def _read(self, process: EngineProcess) -> None:
        """Hand out results and skips until the process is gone (one thread a process)."""
        buffer = bytearray(MAX_RECORD_BYTES)
        while True:
            try:
                size = process.frames.recv_into(buffer)
            except OSError:
                size = 0
            if size == 0:
                process.disconnected = True
                self._wake.set()
                return
            if buffer[0] == Kind.DONE:
                self._done(process, buffer)
            elif buffer[0] == Kind.SKIPPED:
                _, rule, task_id, seq, _, _ = SKIPPED.unpack_from(buffer)
                text = bytes(buffer[SKIPPED.size : size]).decode(errors="replace")
                job = self._take(task_id, seq)
                if job is not None:
                    job.channel.drop(job.slot)
                    self._skip(task_id, seq, SKIP_RULES[rule], text)
            elif buffer[0] == Kind.OVERRUN:
                self._overran(buffer)
            elif buffer[0] == Kind.RESTORED:
                self._restored(buffer)

    def _done(self, process: EngineProcess, buffer: bytearray) -> None:
        _, early, task_id, seq, _, _, slot, *times = DONE.unpack_from(buffer)
        released, started, finished, execution = times
        job = self._take(task_id, seq)
        if job is None:
            return
        job.channel.drop(job.slot)
        slots, spec = process.outputs.get(task_id), self._loaded.get(task_id)
        if slots is None or (early and spec is None):
            self._skip(task_id, seq, Rule.OPERATOR, "the task was removed")
            return
        outputs = slots.views(slot)
        if early and spec is not None:
            taken = spec.compiled.exit_outputs(spec.early_exit)
            outputs = {name: outputs[source] for name, source in taken.items()}

        def release() -> None:
            process.give_back(OUTPUT_FREE.pack(Kind.OUTPUT_FREE, task_id, slot))

        result = JobResult(
            task_id,
            seq,
            job.arrival_ns,
            job.received_ns,
            job.deadline_ns,
            released,
            started,
            finished,
            execution,
            outputs,
            early,
            release,
        )
        try:
            self._on_result(result)
        except Exception:
            _log.exception("on_result raised")
            result.release()


def _begin_profile(
    process: EngineProcess,
    compiled: CompiledNetwork,
    lane: int,
    frames: npt.NDArray[np.generic] | None,
) -> int:
    """Load a network to be measured, and return its handle."""
    if frames is None:
        return process.ask(ProfileBegin(compiled, lane), ProfileBegun).handle
    memory = SharedMemory(frames.nbytes)
    try:
        memory.array(0, frames.shape, frames.dtype)[...] = frames
        request = ProfileBegin(compiled, lane, len(frames))
        return process.ask(request, ProfileBegun, (memory.fd,)).handle
    finally:
        memory.close()


def _send_channel(process: EngineProcess, channel: Channel) -> None:
    process.ask(OpenChannel(channel.index, channel.spec), Done, (channel.memory.fd,))


def _send_load(process: EngineProcess, spec: LoadSpec) -> str:
    """Load a network into one process, return its note; nothing is left when that fails."""
    slots = OutputSlots(spec.compiled, _OUTPUT_SLOTS)
    try:
        answer = process.ask(Load(spec, _OUTPUT_SLOTS), Loaded, (slots.memory.fd,))
    except EngineError:
        slots.close()
        raise
    process.outputs[spec.task_id] = slots
    return answer.note
