"""One engine as its node sees it: loads networks, takes frames, hands out results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.generators import CompiledGenerator
from aegis_ros.backends.registry import backend_name
from aegis_ros.engine.channel import Channel, SlotFrame
from aegis_ros.engine.client.callbacks import Callbacks
from aegis_ros.engine.client.contents import Contents
from aegis_ros.engine.client.in_flight import InFlight
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.client.profiling import measure_generator, profile
from aegis_ros.engine.client.requests import (
    send_channel,
    send_generator,
    send_if_running,
    send_load,
)
from aegis_ros.engine.client.results import ResultReader
from aegis_ros.engine.client.speeches import Speeches
from aegis_ros.engine.client.supervisor import Supervisor
from aegis_ros.engine.client.weighing import weighed
from aegis_ros.engine.conversation import Conversation, Cycle
from aegis_ros.engine.events import (
    EngineEvent,
    EngineStatus,
    JobResult,
    JobSkip,
    OverrunEvent,
    PartialResult,
)
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.messages import ChangeBudgets, CloseChannel, Unload
from aegis_ros.engine.speech import Asked, LoadGenerator, Spoken
from aegis_ros.engine.types import ChannelSpec, EngineInfo, LoadSpec
from aegis_ros.errors import EngineError
from aegis_ros.memory import KvShape, Taken
from aegis_ros.network.generator.measuring import MeasuredBucket
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import ExecutionPlan
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import DeviceSpec

__all__ = ["EngineClient"]


class EngineClient:
    """An :class:`Engine` process, kept alive. Callbacks come from the client's own threads.

    A supervisor thread starts the process, watches it, and replaces it: it sees at once when the
    process is gone and within a second or so when it hangs. All that was opened and loaded is
    opened and loaded again; every frame in flight is reported lost, exactly once.

    Args:
        device: backend, lanes and priority.
        on_result: a job ran to its end; its owner must release the result.
        on_skip: a job will not run.
        on_event: the engine as a whole was lost, came back or was given up.
        on_overrun: a segment took longer than its budget.
        on_restored: a lane that shed what is below high criticality takes all again: (index of the
            lane, nanoseconds it had shed).
        on_partial: a job has completed some of its outputs before its end.
        on_tokens: a language model has said something, or an answer has ended.
        trace: ring that every engine process writes its trace to; stays the caller's.
    """

    def __init__(
        self,
        device: DeviceSpec,
        *,
        on_result: Callable[[JobResult], None],
        on_skip: Callable[[JobSkip], None],
        on_event: Callable[[EngineEvent], None],
        on_overrun: Callable[[OverrunEvent], None] = lambda event: None,
        on_restored: Callable[[int, int], None] = lambda lane, duration_ns: None,
        on_partial: Callable[[PartialResult], None] = lambda partial: None,
        on_tokens: Callable[[Spoken], None] = lambda spoken: None,
        trace: SharedMemory | None = None,
    ) -> None:
        """Start nothing yet."""
        self._device = device
        callbacks = Callbacks(
            on_result, on_skip, on_event, on_overrun, on_restored, on_partial, on_tokens
        )
        self._callbacks = callbacks
        self._contents = Contents()
        self._in_flight = InFlight(callbacks, self._why_not_loaded)
        self._speeches = Speeches(self._in_flight, callbacks)
        self._supervisor = Supervisor(
            device,
            trace=trace,
            contents=self._contents,
            in_flight=self._in_flight,
            speeches=self._speeches,
            callbacks=callbacks,
            read=ResultReader(self._in_flight, self._contents, self._speeches, callbacks).read,
        )

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> EngineInfo:
        """As :meth:`Engine.start`."""
        self._supervisor.start()
        return self.info()

    def info(self) -> EngineInfo:
        """As :meth:`Engine.info`."""
        return self._running().info

    def stop(self) -> None:
        """As :meth:`Engine.stop`."""
        self._supervisor.stop()
        for task_id in self._contents.loaded():
            self._speeches.remove(task_id)
        for each in self._contents.take_all():
            each.close()

    def try_again(self) -> None:
        """As :meth:`Engine.try_again`."""
        self._supervisor.try_again()

    # -- what is loaded -----------------------------------------------------------------------

    def open_channel(self, spec: ChannelSpec) -> Channel:
        """As :meth:`Engine.open_channel`."""
        with self._contents.changing:
            if self._contents.channel(spec.key) is not None:
                raise EngineError("the channel is already open", value=spec.key)
            channel = Channel(self._contents.next_channel(), spec)
            try:
                send_channel(self._running(), channel)
            except EngineError as error:
                # An engine that comes back is given every channel.
                if error.rule is not Rule.ENGINE_RESTART or not self._supervisor.wanted:
                    channel.close()
                    raise
            self._contents.add_channel(channel)
            return channel

    def close_channel(self, key: str) -> None:
        """As :meth:`Engine.close_channel`."""
        with self._contents.changing:
            channel = self._contents.remove_channel(key)
            if channel is None:
                return
            send_if_running(self._in_flight.process, CloseChannel(channel.index))
            channel.close()

    def load(self, spec: LoadSpec) -> str:
        """As :meth:`Engine.load`."""
        with self._contents.changing:
            self._check(spec)
            note = send_load(self._running(), spec)
            self._contents.add_network(spec)
            return note

    def load_generator(self, spec: LoadGenerator) -> str:
        """As :meth:`Engine.load_generator`."""
        with self._contents.changing:
            self._check(spec)
            conversation = Conversation(spec.cache, image=spec.compiled.facts.image_shape)
            try:
                note = send_generator(self._running(), spec, conversation)
            except EngineError:
                conversation.close()
                raise
            self._contents.add_generator(spec, conversation)
            self._speeches.add(spec, conversation)
            return note

    def change_budgets(self, task_id: int, plan: ExecutionPlan) -> None:
        """As :meth:`Engine.change_budgets`."""
        with self._contents.changing:
            spec = self._contents.change_budgets(task_id, plan)
            if spec is not None:
                request = ChangeBudgets(task_id, plan, spec.criticality)
                send_if_running(self._in_flight.process, request)

    def unload(self, task_id: int) -> None:
        """As :meth:`Engine.unload`."""
        with self._contents.changing:
            known = self._contents.remove_network(task_id)
            conversation = self._contents.remove_generator(task_id)
            self._supervisor.forgive(task_id)
            if conversation is not None:
                self._unload_generator(task_id, conversation)
            if known is None:
                return
            send_if_running(self._in_flight.process, Unload(task_id))
            # What the engine reported of its last jobs may not have been read yet.
            for seq, job in self._in_flight.take_of(task_id):
                text = "the task was removed"
                self._callbacks.skip(JobSkip(task_id, seq, Rule.OPERATOR, text, job.origin))
            process = self._in_flight.process
            slots = None if process is None else process.outputs.pop(task_id, None)
            if slots is not None:
                slots.close()

    def profile(
        self,
        compiled: CompiledNetwork,
        lane: int,
        runs: int,
        on_progress: Callable[[int, int], bool],
        *,
        warmup: int = 10,
        frames: Sequence[npt.NDArray[np.generic]] | None = None,
        cold: bool = False,
        after: CompiledNetwork | None = None,
        beside: Sequence[tuple[CompiledNetwork, int]] = (),
    ) -> npt.NDArray[np.int64]:
        """As :meth:`Engine.profile`."""
        return profile(
            self._running(),
            compiled,
            lane,
            runs,
            on_progress=on_progress,
            warmup=warmup,
            frames=frames,
            cold=cold,
            after=after,
            beside=beside,
            stopping=lambda: self._supervisor.stopping,
        )

    def weigh_generator(
        self, compiled: CompiledGenerator, lane: int, shapes: Sequence[Shape], cache: KvShape
    ) -> Taken:
        """As :meth:`Engine.weigh_generator`."""
        backend = backend_name(self._device.lanes[lane].backend or self._device.backend)
        return weighed(compiled, shapes, cache, backend)

    def measure_generator(
        self,
        compiled: CompiledGenerator,
        lane: int,
        *,
        slots: int,
        runs: int,
        on_progress: Callable[[int, int], bool],
        warmup: int = 3,
        cold: bool = False,
        beside: Sequence[tuple[CompiledNetwork, int]] = (),
    ) -> list[MeasuredBucket]:
        """As :meth:`Engine.measure_generator`."""
        return measure_generator(
            self._running(),
            compiled,
            lane,
            slots=slots,
            runs=runs,
            on_progress=on_progress,
            warmup=warmup,
            cold=cold,
            beside=beside,
            stopping=lambda: self._supervisor.stopping,
        )

    # -- requests -----------------------------------------------------------------------------

    def ask(self, task_id: int, asked: Asked) -> None:
        """As :meth:`Engine.ask`."""
        self._speeches.ask(task_id, asked)

    def cancel(self, task_id: int, request: int) -> None:
        """As :meth:`Engine.cancel`."""
        self._speeches.cancel(task_id, request)

    def limit(self, task_id: int, *, chunk: int = 0, batch: int = 0) -> None:
        """As :meth:`Engine.limit`."""
        self._speeches.limit(task_id, chunk=chunk, batch=batch)

    def cycle(self, task_id: int) -> Cycle | None:
        """As :meth:`Engine.cycle`."""
        return self._speeches.cycle(task_id)

    def cycles(self, task_id: int, after: int) -> tuple[Cycle, ...]:
        """As :meth:`Engine.cycles`."""
        return self._speeches.cycles(task_id, after)

    # -- frames -------------------------------------------------------------------------------

    def submit(
        self,
        frames: Sequence[SlotFrame],
        received_ns: int,
        jobs: Sequence[tuple[int, int, int, int]],
        *,
        origin: object = None,
    ) -> None:
        """As :meth:`Engine.submit`."""
        self._in_flight.submit(frames, received_ns, jobs, origin)

    def set_speed(self, factor: float) -> None:
        """As :meth:`Engine.set_speed`."""
        speed = self._contents.set_speed(factor)
        process = self._in_flight.process
        if process is not None:
            process.page.set_speed(speed)

    def set_critical_scaling(self, lane: int, factor: float) -> None:
        """As :meth:`Engine.set_critical_scaling`."""
        scaling = self._contents.set_critical_scaling(lane, factor)
        process = self._in_flight.process
        if process is not None:
            process.page.set_critical_scaling(lane, scaling)

    def status(self) -> EngineStatus:
        """As :meth:`Engine.status`."""
        process, supervisor = self._in_flight.process, self._supervisor
        if process is None:
            return EngineStatus(
                0,
                0,
                (),
                supervisor.restarts,
                supervisor.restart_ns,
                given_up=supervisor.given_up,
            )
        page = process.page
        return EngineStatus(
            process.pid,
            page.alive_ns,
            page.lanes(),
            supervisor.restarts,
            supervisor.restart_ns,
            supervisor.standby_pid,
        )

    # -- inside -------------------------------------------------------------------------------

    def _check(self, spec: LoadSpec | LoadGenerator) -> None:
        """Refuse to load what cannot be loaded.

        Raises:
            EngineError: the id is taken, or there is no such lane.
        """
        if self._contents.holds(spec.task_id):
            raise EngineError("the task is already loaded", value=spec.task_id)
        if not 0 <= spec.lane < len(self._device.lanes):
            raise EngineError(
                "there is no such lane",
                value=spec.lane,
                expected=f"0 to {len(self._device.lanes) - 1}",
            )

    def _unload_generator(self, task_id: int, conversation: Conversation) -> None:
        process = self._in_flight.process
        # Before the engine drops its job: its answers have ended when this returns.
        self._speeches.remove(task_id)
        send_if_running(process, Unload(task_id))
        if process is not None:
            process.generators.discard(task_id)
        conversation.close()

    def _running(self) -> EngineProcess:
        process = self._in_flight.process
        if process is None:
            raise EngineError(
                "the engine is not running",
                hint="It was lost too often: deactivate and activate the orchestrator first"
                if self._supervisor.given_up
                else "It may be restarting; try again in a few seconds",
                rule=Rule.ENGINE_RESTART,
            )
        return process

    def _why_not_loaded(self, task_id: int) -> tuple[Rule, str]:
        if task_id in self._supervisor.quarantined:
            return Rule.RUN_FAILED, "the task crashed the engine too often and is quarantined"
        if self._contents.network(task_id) is not None:
            return Rule.ENGINE_RESTART, "the task is not loaded again yet"
        return Rule.STATE, "the task is not loaded"
