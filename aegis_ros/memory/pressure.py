"""Decides what best effort gives up while a machine is short of memory, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["MemoryState", "PressureChange", "PressureGovernor", "Sheddable"]

_PACE_LOW_NS = 2_000_000_000  # what is given back is free a moment later
_PACE_STALLED_NS = 10_000_000_000  # the kernel's average is one of ten seconds


@dataclass(frozen=True, slots=True)
class MemoryState:
    """The memory of a machine, or of the control group that limits this process, at one moment.

    Of several, that of which the smallest share is left.

    Attributes:
        total_bytes: what there is; 0 for unknown.
        available_bytes: what can be taken of it without swapping anything out.
        stalled: share of the last ten seconds in which everything that wanted to run waited for
            memory; ``None`` where the kernel does not say.
        swap_used_bytes: what is swapped out, whoever it belongs to.
        engine_bytes: of the engine, resident; 0 for unknown.
        engine_swapped_bytes: of the engine, swapped out.
        source: where this was read, for people.
        missing: what could not be read, for people.
        others: of the machine and the groups that are not the tightest, what is available of what.
    """

    total_bytes: int = 0
    available_bytes: int = 0
    stalled: float | None = None
    swap_used_bytes: int = 0
    engine_bytes: int = 0
    engine_swapped_bytes: int = 0
    source: str = ""
    missing: tuple[str, ...] = ()
    others: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Sheddable:
    """A task or generator that runs only as long as there is memory for it.

    Attributes:
        name: of it.
        nbytes: what the engine gives back once it is unloaded.
    """

    name: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class PressureChange:
    """What is to be done now.

    Attributes:
        shed: first to go first.
        restored: first to come back first; never beside anything that is shed.
    """

    shed: tuple[Sheddable, ...] = ()
    restored: tuple[Sheddable, ...] = ()


@dataclass
class PressureGovernor:
    """Turns the memory of a machine over time into what is shed.

    One is shed after the other, as long as it goes on: what the first one gives back may be enough.
    Where there is less than half of what must stay free, all are. What was shed last comes back
    first, once nothing has been short for a while without interruption and there is room for it
    beside half as much again as must stay free; so memory that swings about a limit changes nothing
    after the first time.

    Attributes:
        least_free: share of the memory that must stay free, 0 for not looked at.
        most_stalled: share of the time that may be lost, 1 for not looked at.
        hold_ns: for how long nothing must be short before something comes back.
    """

    least_free: float
    most_stalled: float
    hold_ns: int
    _shed: list[Sheddable] = field(default_factory=list)
    _next_ns: int = 0
    _calm_since: int | None = None

    @property
    def shed(self) -> tuple[Sheddable, ...]:
        """What is shed now, first to go first."""
        return tuple(self._shed)

    def least_bytes(self, state: MemoryState) -> int:
        """Return how much must stay free."""
        return int(self.least_free * state.total_bytes)

    def low(self, state: MemoryState) -> bool:
        """Return whether too little is free."""
        return state.total_bytes > 0 and state.available_bytes < self.least_bytes(state)

    def stalled(self, state: MemoryState) -> bool:
        """Return whether too much time is lost."""
        return state.stalled is not None and state.stalled > self.most_stalled

    def failed(self, back: Sheddable) -> None:
        """Take in again what was to come back and could not; it waits as long once more."""
        if all(each.name != back.name for each in self._shed):
            self._shed.append(back)
            self._calm_since = None

    def decide(
        self, state: MemoryState, candidates: Sequence[Sheddable], now_ns: int
    ) -> PressureChange:
        """Return what to change.

        Args:
            state: of the memory.
            candidates: all that may be shed, whether it is or not, first to go first.
            now_ns: monotonic time.
        """
        known = {each.name for each in candidates}
        self._shed = [each for each in self._shed if each.name in known]
        if self.low(state) or self.stalled(state):
            self._calm_since = None
            return PressureChange(shed=self._going(state, candidates, now_ns))
        if not self._shed or not self._calm(state):
            self._calm_since = None
            return PressureChange()
        if self._calm_since is None:
            self._calm_since = now_ns
        if now_ns - self._calm_since < self.hold_ns:
            return PressureChange()
        self._calm_since = now_ns  # for the next one, which waits as long again
        return PressureChange(restored=(self._shed.pop(),))

    def _going(
        self, state: MemoryState, candidates: Sequence[Sheddable], now_ns: int
    ) -> tuple[Sheddable, ...]:
        there = {each.name for each in self._shed}
        left = [each for each in candidates if each.name not in there]
        urgent = self.low(state) and 2 * state.available_bytes < self.least_bytes(state)
        if not left or (now_ns < self._next_ns and not urgent):
            return ()
        going = left if urgent else left[:1]
        self._shed.extend(going)
        self._next_ns = now_ns + (_PACE_LOW_NS if self.low(state) else _PACE_STALLED_NS)
        return tuple(going)

    def _calm(self, state: MemoryState) -> bool:
        """Return whether the one that was shed last would have room."""
        if state.stalled is not None and 2.0 * state.stalled > self.most_stalled:
            return False
        back = self._shed[-1].nbytes
        rooms = [(state.available_bytes, state.total_bytes), *state.others]
        return all(
            not total or 2 * (available - back) >= 3 * int(self.least_free * total)
            for available, total in rooms
        )
