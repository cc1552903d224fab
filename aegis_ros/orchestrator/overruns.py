"""Tasks that exceed their budgets again and again: who ran beside them, and a budget that holds."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aegis_ros.engine import Engine, OverrunEvent
from aegis_ros.errors import AegisError
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.loading import Loader
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.planning.contention import Contention
from aegis_ros.planning.seen_budgets import Exceeded, judge_lane, with_seen
from aegis_ros.rationale.budgets import BudgetExceeded, RanBeside
from aegis_ros.spec import DeviceSpec

__all__ = ["SustainedOverruns"]

_log = logging.getLogger(__name__)

_MANY = 5  # overruns within the window; fewer are what budgets of a given probability allow
_WINDOW_NS = 60_000_000_000
_NEWS = 1.05  # what was seen is reported again when it has grown by so much


@dataclass(frozen=True, slots=True)
class _Overrun:
    at_ns: int
    job: int
    exceeded: Exceeded
    beside: tuple[str, ...]


class SustainedOverruns:
    """Counts overruns that have consequences, and tests the set with what was seen of them.

    Those that the lane has room for are no reason: no deadline is at risk, and no frame is lost.

    Args:
        device: its lanes.
        admitted: the tasks.
        engine: knows what runs on each lane.
        contention: knows which lanes slow each other.
        loader: has the engine hold tasks to other budgets.
        log: where decisions are reported.
        changing: the orchestrator's lock.
        changed: called under it when budgets have changed.
    """

    def __init__(
        self,
        *,
        device: DeviceSpec,
        admitted: AdmittedSet,
        engine: Engine,
        contention: Contention,
        loader: Loader,
        log: RationaleLog,
        changing: threading.RLock,
        changed: Callable[[], None],
    ) -> None:
        """Know of no overrun."""
        self._device = device
        self._lanes = tuple(lane.name for lane in device.lanes)
        self._admitted = admitted
        self._engine = engine
        self._contention = contention
        self._loader = loader
        self._report = log.report
        self._changing = changing
        self._changed = changed
        self._lock = threading.Lock()
        self._seen: dict[int, deque[_Overrun]] = {}
        # By task: the budget that did not do, and beside whom.
        self._reported: dict[int, tuple[int, frozenset[tuple[str, str]]]] = {}

    def note(self, event: OverrunEvent) -> None:
        """Note an overrun; called by the engine client's threads."""
        entry = self._admitted.of_id(event.task_id)
        if entry is None or event.absorbed:
            return
        budgets_ns = entry.candidate.plan.budgets_ns
        if event.segment >= len(budgets_ns) or event.budget_ns <= 0:
            return  # of a network that has been replaced
        # A device that is slower than nominal has longer budgets in the engine.
        nominal = budgets_ns[event.segment] / event.budget_ns
        exceeded = Exceeded(
            event.segment, round(event.taken_ns * nominal), round(event.used_ns * nominal)
        )
        overrun = _Overrun(time.monotonic_ns(), event.seq, exceeded, self._beside(entry.lane))
        with self._lock:
            self._seen.setdefault(entry.task_id, deque(maxlen=16 * _MANY)).append(overrun)

    @property
    def pending(self) -> bool:
        """Whether any task has exceeded its budget so often that :meth:`review` would test it."""
        with self._lock:
            return any(_jobs(overruns) >= _MANY for overruns in self._seen.values())

    def review(self) -> None:
        """Test the set anew for every task that has exceeded its budget again and again.

        To be called while no request is answered, by a thread that may wait: the engine may be
        loading networks again. It is told before the proof changes, since a larger budget there
        does no harm alone.
        """
        for task_id, overruns in self._sustained():
            entry = self._admitted.of_id(task_id)
            if entry is not None and self._admitted.get(entry.spec.name) is entry:
                self._test(entry, overruns)

    def forget(self) -> None:
        """Forget all overruns."""
        with self._lock:
            self._seen.clear()
            self._reported.clear()

    def _beside(self, lane: str) -> tuple[str, ...]:
        """Return who runs on lanes that slow this one."""
        slowing = set(self._contention.slowed_by(lane))
        if not slowing:
            return ()
        running = []
        for name, state in zip(self._lanes, self._engine.status().lanes, strict=False):
            other = self._admitted.of_id(state.task_id) if name in slowing else None
            if other is not None:
                running.append(other.spec.name)
        return tuple(running)

    def _sustained(self) -> list[tuple[int, list[_Overrun]]]:
        since = time.monotonic_ns() - _WINDOW_NS
        found = []
        with self._lock:
            for task_id, overruns in tuple(self._seen.items()):
                while overruns and overruns[0].at_ns < since:
                    overruns.popleft()
                if not overruns:
                    del self._seen[task_id]
                elif _jobs(overruns) >= _MANY:
                    found.append((task_id, list(overruns)))
                    del self._seen[task_id]
        return found

    def _test(self, entry: Entry, overruns: list[_Overrun]) -> None:
        before, name = entry.candidate, entry.spec.name
        after = with_seen(before, [each.exceeded for each in overruns])
        beside = frozenset((each.spec.name, each.lane) for each in self._admitted)
        known_ns, known_beside = self._reported.get(entry.task_id, (0, beside))
        known = after.work_ns < known_ns * _NEWS and beside == known_beside
        if after.plan == before.plan or known:
            return
        running = self._admitted.running(grown={name: after})
        judged = judge_lane(
            name, before, after, running, lane=entry.lane, switch_ns=self._device.switch_ns
        )
        late = judged.late
        if not late:
            chains = self._admitted.judge_chains(running)
            late = name if chains is not None and not chains.schedulable else ""
        declared = before.wcet_source == "declared"
        reason = BudgetExceeded(
            task=name,
            lane=entry.lane,
            times=_jobs(overruns),
            within_ns=overruns[-1].at_ns - overruns[0].at_ns,
            beside=self._ran_beside(overruns),
            before_ns=before.work_ns,
            seen_ns=after.work_ns,
            declared=declared,
            late=late,
            late_ns=judged.late_ns,
            test=judged.verdict.test,
            finding=judged.verdict.finding,
            utilization_before=self._admitted.utilization(entry.lane),
            utilization_after=judged.verdict.utilization,
        )
        if late or declared:
            self._reported = {
                key: value
                for key, value in self._reported.items()
                if self._admitted.of_id(key) is not None
            }
            self._reported[entry.task_id] = after.work_ns, beside
        else:
            try:
                self._loader.change_budgets(entry, after.plan)
            except AegisError as error:  # it is restarted; the next overruns will ask again
                _log.debug("%s keeps its budget: %s", name, error)
                return
            with self._changing:
                self._admitted.grow({name: after})
                self._changed()
        self._report(reason)

    def _ran_beside(self, overruns: list[_Overrun]) -> tuple[RanBeside, ...]:
        """Return who ran beside these jobs, who did most often first."""
        counted: Counter[str] = Counter()
        for job in {each.job: each for each in overruns}.values():
            counted.update(set(job.beside))
        return tuple(
            RanBeside(name, other.lane, times)
            for name, times in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
            if (other := self._admitted.get(name)) is not None
        )


def _jobs(overruns: Iterable[_Overrun]) -> int:
    return len({each.job for each in overruns})
