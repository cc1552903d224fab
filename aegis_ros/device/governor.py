"""Decides what a slow device decimates and sheds, and what comes back, without flapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from aegis_ros.analysis import AnalysisTask, decimated, find_decimation, restorable, shed_order
from aegis_ros.errors import ConfigError

__all__ = ["Change", "DecimationGovernor", "SpeedGovernor"]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done now.

    Attributes:
        shed: names, first to go first.
        restored: names, first to come back first; never beside anything that is shed.
    """

    shed: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()


@dataclass
class SpeedGovernor:
    """Turns the speed of a device over time into changes of what runs on one lane.

    What no longer fits is shed at once. What fits again comes back when it has fitted, with a
    margin, for a while without interruption; so a speed that swings about a limit changes
    nothing after the first time. At nominal speed, above which there is none, no margin is asked
    for. What runs always passes the test at the present speed.

    Attributes:
        margin: share of the speed that has to be in reserve for a task to come back.
        hold_ns: for how long it has to.
    """

    margin: float = 0.05
    hold_ns: int = 10_000_000_000
    _shed: list[str] = field(default_factory=list)
    _fits_since: dict[str, int] = field(default_factory=dict)
    _asked: object = None  # what the answers below belong to; most readings change nothing
    _too_much: tuple[str, ...] = ()
    _fitting: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would flap or never restore.

        Raises:
            ConfigError: margin or time is out of range.
        """
        if not 0.0 <= self.margin < 1.0 or self.hold_ns < 0:
            raise ConfigError(
                "hysteresis is out of range",
                where="margin, hold_ns",
                value=(self.margin, self.hold_ns),
                expected="0 <= margin < 1, hold_ns >= 0",
            )

    @property
    def shed(self) -> tuple[str, ...]:
        """Names of what is shed now, first to go first."""
        return tuple(self._shed)

    def decide(
        self, tasks: Sequence[AnalysisTask], factor: float, now_ns: int, *, switch_ns: int = 0
    ) -> Change:
        """Return what to change.

        Args:
            tasks: everything that belongs on the lane, shed or not.
            factor: speed of the device, above 0; more than nominal counts as nominal.
            now_ns: monotonic time.
            switch_ns: cost of starting one segment.

        Raises:
            ConfigError: the factor is not above 0, or two tasks have the same name.
        """
        factor = min(1.0, factor)
        names = {task.name for task in tasks}
        self._shed = [name for name in self._shed if name in names]
        margin = self.margin if factor < 1.0 else 0.0
        asked = (tuple(tasks), factor, switch_ns, tuple(self._shed))
        if asked != self._asked:
            self._too_much = shed_order(tasks, factor, switch_ns=switch_ns)
            self._fitting = (
                restorable(tasks, self._shed, factor, margin=margin, switch_ns=switch_ns)
                if self._shed
                else ()
            )
            self._asked = asked
        going = tuple(name for name in self._too_much if name not in self._shed)
        if going:
            self._shed.extend(going)
            self._fits_since.clear()
            return Change(shed=going)
        self._fits_since = {name: self._fits_since.get(name, now_ns) for name in self._fitting}
        back = self._returning(tasks, factor * (1.0 - margin), now_ns, switch_ns)
        for name in back:
            self._shed.remove(name)
            del self._fits_since[name]
        return Change(restored=back)

    def _returning(
        self, tasks: Sequence[AnalysisTask], factor: float, now_ns: int, switch_ns: int
    ) -> tuple[str, ...]:
        """Return those whose time has come, each tested beside what runs by then."""
        back: list[str] = []
        for name, since_ns in self._fits_since.items():
            if now_ns - since_ns < self.hold_ns:
                continue
            away = set(self._shed) - {*back, name}
            running = [task for task in tasks if task.name not in away]
            # The order in which tasks are kept is not monotone in the speed, so this is asked.
            if not shed_order(running, factor, switch_ns=switch_ns):
                back.append(name)
        return tuple(back)


@dataclass
class DecimationGovernor:
    """Leaves frames out while a device is slow, as few and as fairly as possible.

    What no longer fits loses frames at once. Frames come back when more of them have fitted, with
    a margin, for a while without interruption; at nominal speed no margin is asked for.

    Attributes:
        margin: share of the speed that has to be in reserve for frames to come back.
        hold_ns: for how long it has to.
    """

    margin: float = 0.05
    hold_ns: int = 10_000_000_000
    _decimation: dict[str, int] | None = None
    _better_since: int | None = None
    _asked: object = None  # what the answers below belong to; most readings change nothing
    _holds: bool = True
    _calm: dict[str, int] | None = None

    @property
    def slow(self) -> bool:
        """Whether frames are left out because the device is slow."""
        return self._decimation is not None

    def decide(
        self,
        tasks: Sequence[AnalysisTask],
        nominal: Mapping[str, int],
        limits: Mapping[str, int],
        speed: float,
        *,
        now_ns: int,
        switch_ns: int = 0,
    ) -> Mapping[str, int] | None:
        """Return n of each task that takes every n-th frame; ``None`` for those of ``nominal``.

        Args:
            tasks: everything that runs on the lane, with the periods of its frames.
            nominal: n of each task at nominal speed, by name; 1 for what is not named.
            limits: by name, how far a task may be decimated.
            speed: of the device, above 0; more than nominal counts as nominal.
            now_ns: monotonic time.
            switch_ns: cost of starting one segment.
        """
        speed = min(1.0, speed)
        present = dict(nominal) if self._decimation is None else self._decimation
        asked = (tuple(tasks), tuple(sorted(present.items())), speed, switch_ns)
        if asked != self._asked:
            self._holds = _passes(decimated(tasks, present), speed, switch_ns)
            margin = self.margin if speed < 1.0 else 0.0
            self._calm = _least_decimation(tasks, limits, speed * (1.0 - margin), switch_ns)
            self._asked = asked
        if not self._holds:
            found = _least_decimation(tasks, limits, speed, switch_ns)
            names = [task.name for task in tasks]
            self._decimation = (
                {name: limits.get(name, 1) for name in names} if found is None else found
            )
            self._better_since = None
        elif self._decimation is not None:
            self._give_back(self._decimation, speed, now_ns)
        return self._decimation

    def _give_back(self, present: Mapping[str, int], speed: float, now_ns: int) -> None:
        calm = self._calm
        if calm is None or (speed < 1.0 and not _more(calm, present)):
            self._better_since = None
            return
        if self._better_since is None:
            self._better_since = now_ns
        if now_ns - self._better_since >= self.hold_ns:
            self._decimation = calm if speed < 1.0 else None
            self._better_since = None


def _more(calm: Mapping[str, int], present: Mapping[str, int]) -> bool:
    """Return whether the task that loses most loses less, or else the next one, and so on."""
    names = {*calm, *present}

    def losses(decimation: Mapping[str, int]) -> list[int]:
        return sorted((decimation.get(name, 1) for name in names), reverse=True)

    return losses(calm) < losses(present)


def _slower(task: AnalysisTask, speed: float) -> AnalysisTask:
    exact = Fraction(speed)
    return task.scaled(lambda part: ceil(part / exact))


def _passes(tasks: Sequence[AnalysisTask], speed: float, switch_ns: int) -> bool:
    return _least_decimation(tasks, {}, speed, switch_ns) is not None


def _least_decimation(
    tasks: Sequence[AnalysisTask], limits: Mapping[str, int], speed: float, switch_ns: int
) -> dict[str, int] | None:
    lane = next((task.lane for task in tasks if task.lane), "main")
    return find_decimation(
        [_slower(task, speed) for task in tasks],
        limits,
        [lane],
        switch_ns=ceil(switch_ns / Fraction(speed)),
        fixed={task.name: lane for task in tasks},
    )
