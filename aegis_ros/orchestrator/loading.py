"""Loads admitted networks into the engine, and gives their streams slots."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from aegis_ros.engine import Channel, ChannelSpec, Engine, LoadSpec
from aegis_ros.errors import AegisError
from aegis_ros.memory import Footprint, Holding
from aegis_ros.orchestrator.admitted import Entry
from aegis_ros.orchestrator.intake import StreamTable
from aegis_ros.orchestrator.types import Stream
from aegis_ros.planning.admission import max_shape
from aegis_ros.spec import OrchestratorSpec, TaskSpec

__all__ = ["Loader"]

_SPARE_SLOTS = 6  # beyond what the tasks of the file can hold
_LEAST_SPARE_SLOTS = 2  # being written, or on the way back


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

    def stream_for(self, spec: TaskSpec, admitted: Iterable[Entry]) -> Stream:
        """Return the stream a new task shares: one that has slots for its waiting frames, too.

        Where all are full, a second subscription with slots of its own; running tasks keep theirs.
        """
        stream = _stream(spec)
        key = stream.key
        others = tuple(admitted)
        for number in itertools.count(2):
            channel = self._channels.get(key)
            if channel is None:
                break
            held = sum(each.spec.queue + 1 for each in others if each.stream.key == key)
            if held + spec.queue + 1 + _LEAST_SPARE_SLOTS <= channel.spec.slots:
                break
            key = f"{stream.key}|{number}"
        return replace(stream, key=key)

    def load(self, entry: Entry) -> str:
        """Open the stream's channel where it is not open, and load the network.

        Returns:
            What the backend chose meanwhile, for people; may be empty.

        Raises:
            AegisError, OSError, MemoryError: it does not work; nothing has changed.
        """
        key = entry.stream.key
        opened = key not in self._channels
        if opened:
            self._channels[key] = self._engine.open_channel(self._channel_spec(key, entry.spec))
        lanes = [lane.name for lane in self._spec.device.lanes]
        try:
            return self._engine.load(
                LoadSpec(
                    entry.task_id,
                    entry.spec.name,
                    entry.candidate.compiled,
                    lanes.index(entry.lane),
                    key,
                    entry.spec.queue,
                    entry.candidate.plan,
                    entry.spec.criticality,
                    entry.spec.on_overrun,
                    early_exit=entry.spec.early_exit,
                )
            )
        except (AegisError, OSError, MemoryError):
            if opened:
                del self._channels[key]
                with suppress(AegisError):
                    self._engine.close_channel(key)
            raise

    def frames_for(self, spec: TaskSpec, admitted: Iterable[Entry]) -> Footprint:
        """Return what the slots of a new task's stream would take; nothing where they are there."""
        stream = self.stream_for(spec, admitted)
        if stream.key in self._channels:
            return Footprint()
        return _slots(self._channel_spec(stream.key, spec))

    def holdings(self, entries: Iterable[Entry]) -> list[Holding]:
        """Return what the streams of these tasks take."""
        users: dict[str, list[str]] = {}
        for entry in entries:
            users.setdefault(entry.stream.key, []).append(entry.spec.name)
        return [
            Holding(tuple(names), _slots(channel.spec))
            for key, names in users.items()
            if (channel := self._channels.get(key)) is not None
        ]

    def _channel_spec(self, key: str, spec: TaskSpec) -> ChannelSpec:
        sharing = {task.name: task for task in self._spec.tasks if _stream(task).key == key}
        slots = sum(task.queue + 1 for task in (sharing | {spec.name: spec}).values())
        return ChannelSpec(key, spec.preprocess.frame_format, max_shape(spec), slots + _SPARE_SLOTS)

    def unload(self, entry: Entry, others: Iterable[Entry]) -> None:
        """Take the network out of the engine, and the channel where no other task needs it.

        Raises:
            AegisError: the engine does not answer.
        """
        self._engine.unload(entry.task_id)
        key = entry.stream.key
        used = any(other.stream.key == key for other in others)
        if not used and self._channels.pop(key, None) is not None:
            self._engine.close_channel(key)

    def tables(self, admitted: Iterable[Entry]) -> dict[str, StreamTable]:
        """Return which stream feeds which tasks."""
        tables: dict[str, StreamTable] = {}
        for entry in admitted:
            stream = entry.stream
            before = tables.get(stream.key)
            tasks = (*before.tasks, entry.fed) if before else (entry.fed,)
            tables[stream.key] = StreamTable(stream, self._channels[stream.key], tasks)
        return tables

    def clear(self) -> None:
        """Forget the channels of an engine that has ended."""
        self._channels.clear()


def _slots(spec: ChannelSpec) -> Footprint:
    return Footprint(staging=spec.slot_bytes * spec.slots)


def _stream(spec: TaskSpec) -> Stream:
    layout, shape = spec.preprocess.frame_format, max_shape(spec)
    size = "x".join(str(extent) for extent in shape)
    return Stream(
        f"{spec.input.topic}|{spec.input.type}|{spec.input.qos}|{layout}|{size}",
        spec.input.topic,
        spec.input.type,
        spec.input.qos,
        layout,
        shape,
    )
