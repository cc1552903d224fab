"""Carries a change of the admitted set to intake, timers, engine and trace."""

from __future__ import annotations

import threading
from collections.abc import Callable

from aegis_ros.engine import Engine
from aegis_ros.errors import AegisError
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.claims import Claims
from aegis_ros.orchestrator.generators import Generators
from aegis_ros.orchestrator.intake import Intake
from aegis_ros.orchestrator.ledger import Ledger
from aegis_ros.orchestrator.loading import Loader
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.recording import traced_task
from aegis_ros.orchestrator.run_trace import RunTrace
from aegis_ros.orchestrator.timers import Timers
from aegis_ros.planning.streams import Stream
from aegis_ros.rationale.engine import NotUnloaded
from aegis_ros.spec import DeviceSpec

__all__ = ["Propagation"]


class Propagation:
    """Keeps what works with the admitted tasks up to date.

    Called under the orchestrator's lock unless it says otherwise.

    Args:
        device: the lanes.
        admitted: the tasks.
        engine: receives what is proven of each lane.
        loader: owns the networks and the channels of the tasks.
        intake: feeds them.
        timers: release those with a timer.
        trace: records their contracts.
        ledger: books what becomes of frames.
        log: where it is reported that a network could not be unloaded.
        on_streams: called with the streams to subscribe to.
        changing: the orchestrator's lock.
        claims: show other orchestrators how much is admitted.
        generators: do what the tasks leave them.
    """

    def __init__(
        self,
        *,
        device: DeviceSpec,
        admitted: AdmittedSet,
        engine: Engine,
        loader: Loader,
        intake: Intake,
        timers: Timers,
        trace: RunTrace,
        ledger: Ledger,
        log: RationaleLog,
        on_streams: Callable[[tuple[Stream, ...]], None],
        changing: threading.RLock,
        claims: Claims,
        generators: Generators,
    ) -> None:
        """Change nothing yet."""
        self._device = device
        self._admitted = admitted
        self._engine = engine
        self._loader = loader
        self._intake = intake
        self._timers = timers
        self._trace = trace
        self._ledger = ledger
        self._log = log
        self._on_streams = on_streams
        self._changing = changing
        self._claims = claims
        self._generators = generators

    def publish_tables(self) -> None:
        """Feed exactly the tasks that are admitted now."""
        self._intake.replace(self._loader.tables(self._admitted))
        self._timers.replace([entry.joint for entry in self._admitted if entry.spec.timed])
        self._on_streams(self._intake.streams())

    def publish_proofs(self) -> None:
        """Give engine and trace what is proven now: who comes or goes changes it for the others."""
        self._generators.settle()
        lanes = [lane.name for lane in self._device.lanes]
        self._claims.note({lane: self._admitted.utilization(lane) for lane in lanes})
        for index, lane in enumerate(self._device.lanes):
            self._engine.set_critical_scaling(index, self._admitted.critical_scaling(lane.name))
        recorder = self._trace.recorder
        if recorder is not None:
            for entry in self._admitted:
                recorder.task(traced_task(entry, self._admitted.bound_ns(entry)))

    def unload(self, entry: Entry) -> None:
        """Take a former task out of the engine, and its number out of the set.

        Called under the lock of the unloader, and not under the orchestrator's.
        """
        entry.joint.close()
        try:
            self._loader.unload(entry, self._admitted)
        except AegisError as error:
            self._log.report(NotUnloaded(entry.spec.name, str(error)))
        self._log.forget(entry.spec.name)  # what it reported of the task's last jobs
        with self._changing:
            self._admitted.forget(entry)
        self._ledger.close(entry.task_id)
        recorder = self._trace.recorder
        if recorder is not None:
            recorder.gone(entry.task_id)
