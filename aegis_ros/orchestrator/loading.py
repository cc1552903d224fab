"""Loads admitted networks into the engine, and gives their streams slots."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from aegis_ros.engine import Channel, Engine, LoadSpec
from aegis_ros.errors import AegisError
from aegis_ros.memory import Holding
from aegis_ros.orchestrator.admitted import Entry
from aegis_ros.orchestrator.intake import StreamTable
from aegis_ros.planning.streams import (
    LEAST_SPARE_SLOTS,
    Stream,
    channels_of,
    crops_key,
    footprint_of,
    slots_of,
    streams_of,
)
from aegis_ros.scheduling import SegmentPlan
from aegis_ros.spec import OrchestratorSpec, TaskSpec

__all__ = ["Loader"]


class Loader:
    """Owns the channels of the engine, one a stream.

    Args:
        engine: to load into.
        spec: lanes, and the tasks of the file, which get their slots together.
    """

    def __init__(self, engine: Engine, spec: OrchestratorSpec) -> None:
        """Begin without channels."""
        self._engine = engine
        self._spec = spec
        self._channels: dict[str, Channel] = {}

    def streams_for(self, spec: TaskSpec, admitted: Iterable[Entry]) -> tuple[Stream, ...]:
        """Return the streams a new task shares: ones that have slots for its frames, too.

        Where all are full, a second subscription with slots of its own; running tasks keep theirs.
        """
        others = tuple(admitted)
        return tuple(self._with_room(stream, spec, others) for stream in streams_of(spec))

    def _with_room(self, stream: Stream, spec: TaskSpec, others: tuple[Entry, ...]) -> Stream:
        key = stream.key
        for number in itertools.count(2):
            channel = self._channels.get(key)
            if channel is None:
                break
            held = sum(
                slots_of(each.spec)
                for each in others
                if any(used.key == key for used in each.streams)
            )
            if held + slots_of(spec) + LEAST_SPARE_SLOTS <= channel.spec.slots:
                break
            key = f"{stream.key}|{number}"
        return replace(stream, key=key)

    def load(self, entry: Entry) -> str:
        """Open the channels of its streams where they are not open, and load the network.

        Returns:
            What the backend chose meanwhile, for people; may be empty.

        Raises:
            AegisError, OSError, MemoryError: it does not work; nothing has changed.
        """
        lanes = [lane.name for lane in self._spec.device.lanes]
        opened: list[str] = []
        try:
            for spec in channels_of(entry.spec, entry.streams, self._spec.tasks):
                if spec.key not in self._channels:
                    self._channels[spec.key] = self._engine.open_channel(spec)
                    opened.append(spec.key)
            began_ns = time.monotonic_ns()
            note = self._engine.load(
                LoadSpec(
                    entry.task_id,
                    entry.spec.name,
                    replace(entry.candidate.compiled, block_bytes=entry.candidate.block_bytes),
                    lanes.index(entry.lane),
                    ", ".join(_keys(entry)),
                    entry.spec.queue,
                    entry.candidate.plan,
                    entry.spec.criticality,
                    entry.spec.on_overrun,
                    early_exit=entry.spec.early_exit,
                    deadline_ns=entry.spec.deadline_ns,
                )
            )
            entry.statistics.load_ns = time.monotonic_ns() - began_ns
            return note
        except (AegisError, OSError, MemoryError):
            for key in opened:
                del self._channels[key]
                with suppress(AegisError):
                    self._engine.close_channel(key)
            raise

    def change_budgets(self, entry: Entry, plan: SegmentPlan) -> None:
        """Hold a loaded task to other budgets.

        Raises:
            AegisError: the engine does not answer.
        """
        self._engine.change_budgets(entry.task_id, plan)

    def holdings(self, entries: Iterable[Entry], new: TaskSpec | None = None) -> list[Holding]:
        """Return what the slots of these tasks' frames take.

        Args:
            entries: the tasks.
            new: one that is to be loaded beside them; its streams are shared, or opened for it.
        """
        users: dict[str, list[str]] = {}
        known = tuple(entries)
        for entry in known:
            for key in _keys(entry):
                users.setdefault(key, []).append(entry.spec.name)
        specs = {key: channel.spec for key, channel in self._channels.items()}
        if new is not None:
            for wanted in channels_of(new, self.streams_for(new, known), self._spec.tasks):
                specs.setdefault(wanted.key, wanted)
                users.setdefault(wanted.key, []).append(new.name)
        return [
            Holding(tuple(dict.fromkeys(names)), footprint_of(spec))
            for key, names in users.items()
            if (spec := specs.get(key)) is not None
        ]

    def channel(self, key: str) -> Channel | None:
        """Return the slots of a stream, ``None`` where they are not open."""
        return self._channels.get(key)

    def unload(self, entry: Entry, others: Iterable[Entry]) -> None:
        """Take the network out of the engine, and the channels that no other task needs.

        Raises:
            AegisError: the engine does not answer.
        """
        self._engine.unload(entry.task_id)
        used = {key for other in others for key in _keys(other)}
        for key in _keys(entry):
            if key not in used and self._channels.pop(key, None) is not None:
                self._engine.close_channel(key)

    def tables(self, admitted: Iterable[Entry]) -> dict[str, StreamTable]:
        """Return which stream feeds which tasks."""
        tables: dict[str, StreamTable] = {}
        for entry in admitted:
            for index, stream in enumerate(entry.streams):
                table = tables.setdefault(
                    stream.key, StreamTable(stream, self._channels[stream.key])
                )
                tables[stream.key] = (
                    replace(table, joints=(*table.joints, (entry.joint, index)))
                    if entry.joined
                    else replace(table, tasks=(*table.tasks, entry.fed))
                )
        return tables

    def clear(self) -> None:
        """Forget the channels of an engine that has ended."""
        self._channels.clear()


def _keys(entry: Entry) -> tuple[str, ...]:
    own = (crops_key(entry.spec),) if entry.spec.follows else ()
    return (*(stream.key for stream in entry.streams), *own)
