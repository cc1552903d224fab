"""What is looked after once a second: device speed, silent topics, trace and decimation."""

from __future__ import annotations

import time
from collections.abc import Callable

from aegis_ros.analysis import AnalysisTask
from aegis_ros.device import DeviceState
from aegis_ros.engine import Engine
from aegis_ros.memory import Holding, MemoryState, arena_plan
from aegis_ros.orchestrator.admitted import AdmittedSet
from aegis_ros.orchestrator.decimator import Decimator
from aegis_ros.orchestrator.engine_events import EngineEvents
from aegis_ros.orchestrator.ledger import Ledger
from aegis_ros.orchestrator.lifecycle import Lifecycle
from aegis_ros.orchestrator.pressure import MemoryPressure
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.run_trace import RunTrace
from aegis_ros.orchestrator.silent_topics import SilentTopics, TopicCount
from aegis_ros.orchestrator.summaries import task_state
from aegis_ros.orchestrator.thermal import Thermal
from aegis_ros.spec import OrchestratorSpec
from aegis_ros.trace.states import RunState

__all__ = ["Tick"]


class Tick:
    """Follows the device, and gives frames back where the proof allows it.

    Args:
        spec: lanes and arena.
        lifecycle: topics are watched while frames are let in.
        admitted: the tasks.
        engine: gets the speed of the device.
        events: know which lanes shed.
        decimator: changes how many frames tasks take.
        refresh: adapts budgets and decimation to what has become of the tasks.
        trace: records the state.
        ledger: knows what became of frames.
        log: where decisions are reported.
        memory: returns what is in memory for the admitted tasks.
        pressure: sheds what the machine has no memory for.
    """

    def __init__(
        self,
        *,
        spec: OrchestratorSpec,
        lifecycle: Lifecycle,
        admitted: AdmittedSet,
        engine: Engine,
        events: EngineEvents,
        decimator: Decimator,
        refresh: Callable[[], None],
        trace: RunTrace,
        ledger: Ledger,
        log: RationaleLog,
        memory: Callable[[], list[Holding]],
        pressure: MemoryPressure,
    ) -> None:
        """Begin at nominal speed."""
        self._spec = spec
        self._lifecycle = lifecycle
        self._admitted = admitted
        self._engine = engine
        self._events = events
        self._decimator = decimator
        self._refresh = refresh
        self._trace = trace
        self._ledger = ledger
        self._device = DeviceState()
        self._memory = memory
        self._pressure = pressure
        self._thermal = Thermal(log, spec.device.switch_ns)
        self._silent_topics = SilentTopics(log)

    def forget(self) -> None:
        """Begin again at nominal speed, with nothing shed."""
        self._thermal.forget()
        self._pressure.forget()

    def memory_changed(self, state: MemoryState) -> None:
        """Shed best effort while the machine is short of memory; undo it with hysteresis.

        To be called about once a second, whether something changed or not. A task that is shed
        stays admitted, gets no frames and is not loaded.

        Args:
            state: what a :class:`~aegis_ros.device.MemoryMonitor` reads.
        """
        self._pressure.changed(state, time.monotonic_ns())

    def device_changed(self, state: DeviceState) -> None:
        """Decimate and shed at once what a slower device cannot run; undo it with hysteresis.

        To be called about once a second, whether something changed or not. A task that is shed
        stays admitted and gets no frames.

        Args:
            state: what a :class:`~aegis_ros.device.DeviceMonitor` reads.

        Raises:
            ConfigError: the speed is not above 0.
        """
        entries = tuple(self._admitted)  # no lock: it must not wait while a network is measured
        lanes: dict[str, list[AnalysisTask]] = {}
        for entry in entries:
            lanes.setdefault(entry.lane, []).append(entry.candidate.analysis_task())
        slowed = self._thermal.changed(
            state, lanes, time.monotonic_ns(), self._admitted.decimations()
        )
        self._engine.set_speed(state.clock_factor)
        now_ns = time.monotonic_ns()
        for entry in entries:
            fed = entry.fed
            fed.shed = entry.spec.name in slowed.shed
            wanted = self._lifecycle.active and fed.enabled and not fed.kept_out
            fed.let_in_ns = (fed.let_in_ns or now_ns) if wanted else 0
        self._decimator.slowed(slowed.decimations, state.clock_factor)
        self._silent_topics.watch(
            [
                TopicCount(
                    entry.spec.name,
                    entry.spec.topics,
                    entry.spec.period_ns,
                    entry.statistics.received,
                )
                for entry in entries
                if entry.fed.let_in_ns and entry.spec.sources and not entry.spec.timed
            ],
            now_ns,
        )
        self._device = state
        self.note_state()
        self._refresh()

    def note_state(self) -> None:
        """Have the trace note what everything is like now."""
        recorder = self._trace.recorder
        if recorder is not None:
            recorder.state(self._run_state(self._device))

    def _run_state(self, device: DeviceState) -> RunState:
        engine, shedding = self._engine.status(), self._events.shedding
        lanes = [lane.name for lane in self._spec.device.lanes]
        return RunState(
            time.monotonic_ns(),
            arena_plan(self._memory()).nbytes,
            self._spec.device.arena_bytes,
            device.clock_factor,
            device.temperature_c,
            device.throttled,
            device.source,
            engine.pid,
            engine.restarts,
            {name: state.waiting for name, state in zip(lanes, engine.lanes, strict=False)},
            tuple(name for name in lanes if name in shedding),
            {entry.spec.name: str(task_state(entry, shedding)) for entry in self._admitted},
            self._ledger.balances(),
        )
