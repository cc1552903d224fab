"""Has best effort give its memory back while the machine is short of it, and says so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from aegis_ros.engine import Engine
from aegis_ros.errors import AegisError
from aegis_ros.memory import (
    Holding,
    MemoryState,
    PressureGovernor,
    Sheddable,
    arena_plan,
)
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.generators import Generators
from aegis_ros.orchestrator.loading import Loader
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale import Reason
from aegis_ros.rationale.memory import RestoredForMemory, ShedForMemory, StillShort
from aegis_ros.spec import Criticality, MemorySpec

__all__ = ["MemoryPressure"]

_log = logging.getLogger(__name__)


class MemoryPressure:
    """Follows the memory of the machine.

    What is shed stays admitted: its time and its place in the arena stay its own, so that it can
    come back. It gets no frames and takes no requests from the moment of the decision; its network
    leaves the engine, and comes back to it, on a thread beside.

    Args:
        spec: how short memory may become.
        admitted: the tasks.
        generators: the language models.
        engine: holds the networks.
        loader: loads networks.
        loading: held while something is loaded or unloaded.
        log: where decisions are reported.
        memory: returns what is in memory for all tasks and generators.
    """

    def __init__(
        self,
        spec: MemorySpec,
        *,
        admitted: AdmittedSet,
        generators: Generators,
        engine: Engine,
        loader: Loader,
        loading: AbstractContextManager[object],
        log: RationaleLog,
        memory: Callable[[], list[Holding]],
    ) -> None:
        """Begin with nothing shed."""
        self._spec = spec
        self._admitted = admitted
        self._generators = generators
        self._engine = engine
        self._loader = loader
        self._loading = loading
        self._log = log
        self._memory = memory
        self._lock = threading.Lock()
        self._governor = self._new_governor()
        self._away: dict[str, int] = {}  # by name, the number of whose network is not loaded
        self._shed: dict[str, ShedForMemory] = {}  # until it is loaded again
        self._worker: threading.Thread | None = None
        self._state: MemoryState | None = None

    def _new_governor(self) -> PressureGovernor:
        spec = self._spec
        return PressureGovernor(spec.least_free, spec.most_stalled, spec.hold_ns)

    @property
    def state(self) -> MemoryState | None:
        """What was read last; ``None`` for nothing yet."""
        return self._state

    @property
    def shed(self) -> tuple[str, ...]:
        """Names of what is shed now, first to go first."""
        with self._lock:
            return tuple(self._shed)

    def changed(self, state: MemoryState, now_ns: int) -> None:
        """Shed what must go now, and have come back what may.

        To be called about once a second, whether something changed or not.

        Args:
            state: of the memory.
            now_ns: monotonic time.
        """
        candidates = self._candidates() if self._spec.shed else []
        with self._lock:
            self._state = state
            change = self._governor.decide(state, candidates, now_ns)
            known = {each.name for each in candidates}
            self._shed = {name: why for name, why in self._shed.items() if name in known}
            reasons: list[Reason] = []
            for each in change.shed:
                why = self._why(each, state)
                self._shed[each.name] = why
                reasons.append(why)
            reasons += [self._back(each, state) for each in change.restored]
        self._keep_away()
        for reason in reasons:
            self._log.report(reason)
        self._settle()

    def _candidates(self) -> list[Sheddable]:
        """Return what may be shed, first to go first: language models, then the largest task."""
        plan = arena_plan(self._memory())

        def gives(name: str) -> int:
            own = plan.of(name)
            return own.weights + own.activations + own.state

        tasks = {
            entry.spec.name: entry
            for entry in self._admitted
            if entry.spec.criticality is Criticality.BEST_EFFORT and not entry.failed
        }
        followed = {name: self._admitted.followers(name) for name in tasks}
        # Who runs on another's results goes before it; what others need that stay, stays as well.
        sheddable = [
            Sheddable(name, gives(name)) for name in tasks if set(followed[name]) <= tasks.keys()
        ]
        sheddable.sort(key=lambda each: (bool(followed[each.name]), -each.nbytes, each.name))
        models = [Sheddable(name, gives(name)) for name in self._generators.best_effort()]
        return sorted(models, key=lambda each: (-each.nbytes, each.name)) + sheddable

    def _why(self, each: Sheddable, state: MemoryState) -> ShedForMemory:
        return ShedForMemory(
            each.name,
            each.nbytes,
            state.available_bytes,
            state.total_bytes,
            self._governor.least_bytes(state),
            -1.0 if state.stalled is None else state.stalled,
            self._spec.most_stalled,
            state.source,
        )

    def _back(self, each: Sheddable, state: MemoryState) -> RestoredForMemory:
        return RestoredForMemory(
            each.name,
            each.nbytes,
            state.available_bytes,
            state.total_bytes,
            self._governor.least_bytes(state),
            self._spec.hold_ns,
            state.source,
        )

    def _keep_away(self) -> None:
        """Let nothing in for what is shed, or not loaded yet."""
        with self._lock:
            shed = dict(self._shed)
        for entry in self._admitted:
            entry.fed.squeezed = entry.spec.name in shed
        self._generators.squeeze(shed)

    # -- the engine ---------------------------------------------------------------------------

    def _settle(self) -> None:
        """Have the engine hold what it is to hold, beside the caller."""
        with self._lock:
            worker = self._worker
            if self._next() is None or (worker is not None and worker.is_alive()):
                return
            self._worker = threading.Thread(target=self._work, name="memory", daemon=True)
            self._worker.start()

    def wait(self) -> None:
        """Wait until the engine holds what it is to hold, as it was decided last."""
        with self._lock:
            worker = self._worker
        if worker is not None:
            worker.join()

    def _next(self) -> tuple[str, bool] | None:
        """Return what is to be unloaded, or loaded again (true); called under the lock."""
        wanted = [each.name for each in self._governor.shed]
        for name in wanted:
            task_id = self._id_of(name)
            if task_id is not None and self._away.get(name) != task_id:
                return name, False
        for name in tuple(self._away):
            if self._id_of(name) != self._away[name]:
                del self._away[name]  # it was removed, or is another one
            elif name not in wanted:
                return name, True
        return None

    def _id_of(self, name: str) -> int | None:
        entry = self._admitted.get(name)
        return self._generators.id_of(name) if entry is None else entry.task_id

    def _work(self) -> None:
        try:
            while True:
                with self._loading:
                    with self._lock:
                        step = self._next()
                    if step is None:
                        return
                    name, back = step
                    if back:
                        self._load(name)
                    else:
                        self._unload(name)
        except Exception:  # tried again at the next reading
            _log.exception("what is shed for memory was not unloaded or loaded again")

    def _unload(self, name: str) -> None:
        task_id = self._id_of(name)
        if task_id is None:
            return
        try:
            self._engine.unload(task_id)
        except AegisError as error:
            _log.debug("%s is not in the engine: %s", name, error)  # which is what is wanted
        with self._lock:
            self._away[name] = task_id

    def _load(self, name: str) -> None:
        entry = self._admitted.get(name)
        try:
            if entry is not None:
                self._load_task(entry)
            else:
                self._generators.load_again(name)
        except (AegisError, OSError, MemoryError) as error:
            with self._lock:
                why = self._shed.get(name)
                self._governor.failed(Sheddable(name, 0 if why is None else why.nbytes))
            self._log.report_often(StillShort(name, str(error) or repr(error)))
            return
        with self._lock:
            self._away.pop(name, None)
            self._shed.pop(name, None)
        self._keep_away()

    def _load_task(self, entry: Entry) -> None:
        self._engine.unload(entry.task_id)  # where something else has loaded it meanwhile
        self._loader.load(entry)

    def forget(self) -> None:
        """Begin again with nothing shed: the engine has ended."""
        with self._lock:
            self._governor = self._new_governor()
            self._away.clear()
            self._shed.clear()
            self._state = None
