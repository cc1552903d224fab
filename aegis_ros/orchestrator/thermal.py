"""Sheds what a slower device cannot run in time, lets it come back, and says so."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from math import floor

from aegis_ros.analysis import AnalysisTask
from aegis_ros.device import Change, DeviceState, SpeedGovernor
from aegis_ros.errors import ConfigError
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale import Decision, Rule

__all__ = ["Thermal"]

_GRAIN = 0.005  # of the speed
_TOLD_STEP = 0.05  # of the speed, before a change that sheds nothing is worth telling


class Thermal:
    """Follows the speed of the device, one governor a lane.

    Args:
        log: where decisions are told.
        switch_ns: cost of starting one segment.
    """

    def __init__(self, log: RationaleLog, switch_ns: int) -> None:
        """Begin at nominal speed."""
        self._log = log
        self._switch_ns = switch_ns
        self._governors: dict[str, SpeedGovernor] = {}
        self._told_factor = 1.0
        self._lock = threading.Lock()

    def changed(
        self, state: DeviceState, lanes: Mapping[str, Sequence[AnalysisTask]], now_ns: int
    ) -> frozenset[str]:
        """Re-test every lane with budgets C / f and return the names of all tasks to be shed.

        Args:
            state: of the device.
            lanes: everything admitted to each lane, shed or not.
            now_ns: monotonic time.

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
            changes: dict[str, Change] = {}
            for lane, tasks in lanes.items():
                governor = self._governors.setdefault(lane, SpeedGovernor())
                if factor < 1.0 or governor.shed:  # else it is as it was admitted
                    changes[lane] = governor.decide(
                        tasks, factor, now_ns, switch_ns=self._switch_ns
                    )
            nominal = factor == 1.0 and self._told_factor < 1.0
            moved = nominal or abs(factor - self._told_factor) >= _TOLD_STEP
            told = 0
            if moved or any(change.shed or change.restored for change in changes.values()):
                told = self._tell_speed(state, factor)
            for lane, change in changes.items():
                self._tell_shed(change.shed, lanes[lane], lane, factor, told)
                self._tell_restored(change.restored, lanes[lane], lane, factor, told)
            return frozenset(name for item in self._governors.values() for name in item.shed)

    def forget(self) -> None:
        """Begin again at nominal speed, with nothing shed."""
        with self._lock:
            self._governors.clear()
            self._told_factor = 1.0

    def _tell_speed(self, state: DeviceState, factor: float) -> int:
        self._told_factor = factor
        heat = f", {state.temperature_c:.0f} °C" if state.temperature_c is not None else ""
        source = f" ({state.source}{heat})" if state.source or heat else ""
        away = sum(len(governor.shed) for governor in self._governors.values())
        follows = (
            f"{away} tasks are shed"
            if away > 1
            else "one task is shed"
            if away
            else "every deadline holds"
        )
        sentence = (
            f"the device runs at its nominal speed{source}; {follows}"
            if factor == 1.0
            else f"the device runs at {factor:.0%} of its nominal speed{source}, so that budgets "
            f"count {1 / factor:.2f} times; {follows}"
        )
        told = self._log.tell(
            "",
            Decision.INFORMED,
            Rule.DEVICE_SPEED,
            sentence,
            left=factor,
            relation="<" if factor < 1.0 else "=",
            right=1.0,
        )
        return told.id

    def _tell_shed(
        self,
        names: Sequence[str],
        tasks: Sequence[AnalysisTask],
        lane: str,
        factor: float,
        related: int,
    ) -> None:
        share = self._utilization(tasks) / factor
        for name in names:
            task = next(item for item in tasks if item.name == name)
            self._log.tell(
                name,
                Decision.SHED,
                Rule.DEVICE_SPEED,
                f"{name} ({task.criticality}) is shed: at {factor:.0%} of its nominal speed the "
                f"device cannot keep all deadlines of lane {lane}, which would be used to "
                f"{share:.1%}; what matters more, or is smaller, stays",
                lane=lane,
                utilization_before=share,
                utilization_after=self._utilization(tasks, self._governors[lane].shed) / factor,
                related=related,
            )

    def _tell_restored(
        self,
        names: Sequence[str],
        tasks: Sequence[AnalysisTask],
        lane: str,
        factor: float,
        related: int,
    ) -> None:
        governor = self._governors[lane]
        share = self._utilization(tasks, governor.shed) / factor
        reserve = f", with {governor.margin:.0%} in reserve" if factor < 1.0 else ""
        for name in names:
            self._log.tell(
                name,
                Decision.RESTORED,
                Rule.DEVICE_SPEED,
                f"{name} runs again: for {governor.hold_ns / 1e9:g} s the device, now at "
                f"{factor:.0%} of its nominal speed, could keep its deadline beside all others of "
                f"lane {lane}{reserve}",
                lane=lane,
                utilization_after=share,
                related=related,
            )

    def _utilization(self, tasks: Sequence[AnalysisTask], away: Sequence[str] = ()) -> float:
        return sum(
            task.wcet_ns(self._switch_ns) / task.period_ns
            for task in tasks
            if task.name not in away
        )
