"""Decimates and sheds what a slower device cannot run in time, lets it come back, and says so."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor

from aegis_ros.analysis import AnalysisTask, decimated
from aegis_ros.device import Change, DecimationGovernor, DeviceState, SpeedGovernor
from aegis_ros.errors import ConfigError
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.planning.decimation import Decimation
from aegis_ros.rationale.decimation import DecimationCause, DecimationChanged
from aegis_ros.rationale.device import DeviceSpeed, RestoredForSpeed, ShedForSpeed

__all__ = ["Slowed", "Thermal"]

_GRAIN = 0.005  # of the speed
_REPORTED_STEP = 0.05  # of the speed, before a change that sheds nothing is worth a report


@dataclass(frozen=True, slots=True)
class Slowed:
    """What a slow device costs.

    Attributes:
        shed: names of the tasks that get no frames.
        decimations: by lane, n of each task that takes every n-th frame, where that differs from
            what was proven at nominal speed.
    """

    shed: frozenset[str]
    decimations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Thermal:
    """Follows the speed of the device, one governor a lane.

    Args:
        log: where decisions are reported.
        switch_ns: cost of starting one segment.
    """

    def __init__(self, log: RationaleLog, switch_ns: int) -> None:
        """Begin at nominal speed."""
        self._log = log
        self._switch_ns = switch_ns
        self._governors: dict[str, SpeedGovernor] = {}
        self._decimators: dict[str, DecimationGovernor] = {}
        self._reported_paces: dict[str, dict[str, int]] = {}
        self._reported_factor = 1.0
        self._lock = threading.Lock()

    def changed(
        self,
        state: DeviceState,
        lanes: Mapping[str, Sequence[AnalysisTask]],
        now_ns: int,
        decimations: Mapping[str, Decimation] | None = None,
    ) -> Slowed:
        """Re-test every lane with budgets C / f and return what is to be decimated and shed.

        Nothing is shed as long as leaving frames out, as far as tasks allow it, is enough.

        Args:
            state: of the device.
            lanes: everything admitted to each lane, shed or not, with the periods of its frames.
            now_ns: monotonic time.
            decimations: of the tasks that may be decimated.

        Raises:
            ConfigError: the speed is not above 0; nothing is changed.
        """
        factor = state.clock_factor
        if not factor > 0.0:
            raise ConfigError(
                "the speed of the device is out of range",
                where="clock_factor",
                value=factor,
                expected="above 0",
            )
        # In half percents, rounded down: a clock that trembles is not worth a test each second.
        factor = min(1.0, floor(factor / _GRAIN + 1e-9) * _GRAIN or factor)
        with self._lock:
            for lane in [name for name in self._governors if name not in lanes]:
                del self._governors[lane]
                self._decimators.pop(lane, None)
            shared = {} if decimations is None else decimations
            limits = {name: own.limit for name, own in shared.items()}
            nominal_decimations = {name: own.n for name, own in shared.items()}
            changes: dict[str, Change] = {}
            slowed: dict[str, Mapping[str, int]] = {}
            for lane, tasks in lanes.items():
                governor = self._governors.setdefault(lane, SpeedGovernor())
                decimator = self._decimators.setdefault(lane, DecimationGovernor())
                if not (factor < 1.0 or governor.shed or decimator.slow):
                    continue  # it is as it was admitted
                changes[lane] = governor.decide(
                    decimated(tasks, limits), factor, now_ns, switch_ns=self._switch_ns
                )
                kept = [task for task in tasks if task.name not in governor.shed]
                slow = decimator.decide(
                    kept,
                    nominal_decimations,
                    limits,
                    factor,
                    now_ns=now_ns,
                    switch_ns=self._switch_ns,
                )
                if slow is not None:
                    slowed[lane] = slow
            moves = self._moves(lanes, slowed, nominal_decimations)
            nominal = factor == 1.0 and self._reported_factor < 1.0
            moved = nominal or abs(factor - self._reported_factor) >= _REPORTED_STEP
            cause = 0
            if moved or moves or any(item.shed or item.restored for item in changes.values()):
                cause = self._report_speed(state, factor, slowed, nominal_decimations)
            for lane, change in changes.items():
                running = decimated(lanes[lane], slowed.get(lane, nominal_decimations))
                self._report_shed(change.shed, running, lane, factor, related=cause)
                self._report_restored(change.restored, running, lane, factor, related=cause)
            for lane, task, before, after in moves:
                self._report_pace(task, lane, before, after, factor=factor, related=cause)
            shed = frozenset(name for item in self._governors.values() for name in item.shed)
            return Slowed(shed, slowed)

    def forget(self) -> None:
        """Begin again at nominal speed, with nothing shed."""
        with self._lock:
            self._governors.clear()
            self._decimators.clear()
            self._reported_paces.clear()
            self._reported_factor = 1.0

    def _moves(
        self,
        lanes: Mapping[str, Sequence[AnalysisTask]],
        slowed: Mapping[str, Mapping[str, int]],
        nominal: Mapping[str, int],
    ) -> list[tuple[str, AnalysisTask, int, int]]:
        """Return lane, task, n before and n now of each task whose decimation the speed changes."""
        moves = []
        before, self._reported_paces = self._reported_paces, {}
        for lane, tasks in lanes.items():
            shed = self._governors[lane].shed
            for task in tasks:
                usual = nominal.get(task.name, 1)
                was = before.get(lane, {}).get(task.name, usual)
                now = slowed[lane].get(task.name, 1) if lane in slowed else usual
                if was != now and task.name not in shed:
                    moves.append((lane, task, was, now))
                if lane in slowed:
                    self._reported_paces.setdefault(lane, {})[task.name] = now
        return moves

    def _report_pace(
        self, task: AnalysisTask, lane: str, before: int, after: int, *, factor: float, related: int
    ) -> None:
        self._log.report(
            DecimationChanged(
                task.name,
                lane,
                task.period_ns,
                before,
                after,
                DecimationCause.SLOWER if after > before else DecimationCause.FASTER,
                factor=factor,
            ),
            related=related,
        )

    def _report_speed(
        self,
        state: DeviceState,
        factor: float,
        slowed: Mapping[str, Mapping[str, int]],
        nominal: Mapping[str, int],
    ) -> int:
        self._reported_factor = factor
        fewer = sum(
            n > nominal.get(name, 1) for each in slowed.values() for name, n in each.items()
        )
        away = sum(len(governor.shed) for governor in self._governors.values())
        return self._log.report(
            DeviceSpeed(factor, state.source, state.temperature_c, away, fewer)
        ).id

    def _report_shed(
        self,
        names: Sequence[str],
        tasks: Sequence[AnalysisTask],
        lane: str,
        factor: float,
        *,
        related: int,
    ) -> None:
        share = self._utilization(tasks) / factor
        for name in names:
            task = next(item for item in tasks if item.name == name)
            self._log.report(
                ShedForSpeed(
                    name,
                    str(task.criticality),
                    lane,
                    factor,
                    share,
                    self._utilization(tasks, self._governors[lane].shed) / factor,
                ),
                related=related,
            )

    def _report_restored(
        self,
        names: Sequence[str],
        tasks: Sequence[AnalysisTask],
        lane: str,
        factor: float,
        *,
        related: int,
    ) -> None:
        governor = self._governors[lane]
        share = self._utilization(tasks, governor.shed) / factor
        for name in names:
            self._log.report(
                RestoredForSpeed(name, lane, factor, governor.hold_ns, governor.margin, share),
                related=related,
            )

    def _utilization(self, tasks: Sequence[AnalysisTask], away: Sequence[str] = ()) -> float:
        return sum(
            task.wcet_ns(self._switch_ns) / task.period_ns
            for task in tasks
            if task.name not in away
        )
