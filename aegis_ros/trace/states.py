"""Arena, device and engine over time: what a run was like between its records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from aegis_ros.trace.balance import Balance
from aegis_ros.trace.history import Trace
from aegis_ros.trace.rows import ArenaRow, DeviceRow, EngineRow, LaneRow, RunStateRow

__all__ = ["RunState", "run_states", "shown_series", "state_sentences"]

_MIB = 1024.0 * 1024.0
_SLOWER = 0.005  # of the speed: less is what a clock trembles by


@dataclass(frozen=True, slots=True)
class RunState:
    """A run at one moment; what is not on record has its default.

    Attributes:
        time_ns: monotonic.
        arena_used_bytes, arena_budget_bytes: of the memory for networks and their buffers.
        clock_factor: speed of the device over the nominal one.
        temperature_c: of its hottest part, ``None`` for unknown.
        throttled: whether the device held itself back.
        device_source: where its state was read.
        engine_pid: 0 while no engine ran.
        restarts: of the engine, since it was configured.
        waiting: jobs that waited, by lane.
        shedding: lanes that ran tasks of high criticality only.
        tasks: state of each task, by name.
        frames: what became of the frames of each task until then, by name.
    """

    time_ns: int
    arena_used_bytes: int = 0
    arena_budget_bytes: int = 0
    clock_factor: float = 1.0
    temperature_c: float | None = None
    throttled: bool = False
    device_source: str = ""
    engine_pid: int = 0
    restarts: int = 0
    waiting: Mapping[str, int] = field(default_factory=dict)
    shedding: tuple[str, ...] = ()
    tasks: Mapping[str, str] = field(default_factory=dict)
    frames: Mapping[str, Balance] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return it as it lies in a file."""
        row = RunStateRow(
            ArenaRow(self.arena_used_bytes, self.arena_budget_bytes),
            DeviceRow(self.clock_factor, self.temperature_c, self.throttled, self.device_source),
            EngineRow(self.engine_pid, self.restarts),
            [
                LaneRow(name, waiting, name in self.shedding)
                for name, waiting in self.waiting.items()
            ],
            dict(self.tasks),
            dict(self.frames),
        )
        plain: dict[str, Any] = msgspec.to_builtins(row)
        return plain


# What viewers draw over time: name, unit, value of a state (``None`` for unknown).
_SHOWN: tuple[tuple[str, str, Callable[[RunState], float | None]], ...] = (
    ("arena used", "MiB", lambda state: state.arena_used_bytes / _MIB),
    ("device speed", "%", lambda state: 100.0 * state.clock_factor),
    ("device temperature", "°C", lambda state: state.temperature_c),
    ("jobs waiting", "", lambda state: float(sum(state.waiting.values()))),
    ("engine restarts", "", lambda state: float(state.restarts)),
)


def run_states(trace: Trace) -> tuple[RunState, ...]:
    """Return the states on record in order of time; parts that cannot be read are left out."""
    return tuple(
        _read(time_ns, state) for time_ns, state in sorted(trace.states, key=lambda item: item[0])
    )


def shown_series(
    states: Iterable[RunState],
) -> tuple[tuple[str, str, list[tuple[int, float]]], ...]:
    """Return name, unit and (time, value) of all that is worth drawing; what is never known is not.

    A count that never was above 0 is left out, too.
    """
    kept = tuple(states)
    found = []
    for name, unit, value_of in _SHOWN:
        points = [(state.time_ns, value_of(state)) for state in kept]
        known = [(time_ns, float(value)) for time_ns, value in points if value is not None]
        if known and (unit or any(value for _, value in known)):
            found.append((name, unit, known))
    return tuple(found)


def state_sentences(trace: Trace) -> tuple[str, ...]:
    """Return what arena, device and engine were like, for people; none without a record."""
    states = run_states(trace)
    if not states:
        return ()
    last = states[-1]
    most = max(state.arena_used_bytes for state in states) / _MIB
    sentences = []
    if last.arena_budget_bytes:
        sentences.append(f"Arena: {most:.1f} MiB of {last.arena_budget_bytes / _MIB:.1f} MiB used")
    slowest = min(state.clock_factor for state in states)
    speed = (
        f"as slow as {slowest:.0%} of its nominal speed"
        if slowest < 1.0 - _SLOWER
        else "at nominal speed"
    )
    warm = [state.temperature_c for state in states if state.temperature_c is not None]
    heat = f", {max(warm):.0f} °C at most" if warm else ""
    held = sum(state.throttled for state in states)
    throttled = f", throttled in {held} of {len(states)} readings" if held else ""
    sentences.append(f"Device: {speed}{heat}{throttled}")
    restarts = last.restarts - states[0].restarts
    if restarts > 0:
        sentences.append(f"The engine was restarted {restarts} time{'s' * (restarts != 1)}")
    sentences += [f"{name}: {balance.sentence}" for name, balance in sorted(last.frames.items())]
    return tuple(sentences)


def _read(time_ns: int, state: Mapping[str, Any]) -> RunState:
    arena, device, engine = (_part(state, name) for name in ("arena", "device", "engine"))
    lanes = [lane for lane in _items(state, "lanes") if isinstance(lane.get("name"), str)]
    temperature, frames = device.get("temperature_c"), _part(state, "frames")
    return RunState(
        time_ns,
        int(_number(arena.get("used_bytes"))),
        int(_number(arena.get("budget_bytes"))),
        _number(device.get("clock_factor"), 1.0),
        None if temperature is None else _number(temperature),
        device.get("throttled") is True,
        str(device.get("source", "")),
        int(_number(engine.get("pid"))),
        int(_number(engine.get("restarts"))),
        {lane["name"]: int(_number(lane.get("waiting"))) for lane in lanes},
        tuple(lane["name"] for lane in lanes if lane.get("shedding") is True),
        {str(name): str(what) for name, what in _part(state, "tasks").items()},
        {name: _balance(_part(frames, name)) for name in frames},
    )


def _balance(values: Mapping[str, Any]) -> Balance:
    return Balance(*(int(_number(values.get(each.name))) for each in fields(Balance)))


def _part(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = state.get(name)
    return part if isinstance(part, Mapping) else {}


def _items(state: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items = state.get(name)
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _number(value: object, default: float = 0.0) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return default
    return value if math.isfinite(value) else default
