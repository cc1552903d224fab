"""The streams that feed tasks, and the slots that their frames lie in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aegis_ros.engine import ChannelSpec
from aegis_ros.memory import Footprint, Holding
from aegis_ros.network import Feed
from aegis_ros.planning.feeds import feeds
from aegis_ros.spec import FrameFormat, InputSpec, Invalid, TaskSpec

__all__ = [
    "LEAST_SPARE_SLOTS",
    "Stream",
    "channels_of",
    "crops_key",
    "footprint_of",
    "frames_of",
    "slots_of",
    "streams_of",
]

LEAST_SPARE_SLOTS = 2
"""Slots of a channel that are being written, or on the way back."""

_SPARE_SLOTS = 6  # beyond what the tasks of the file can hold
_USUAL_INVALID = {
    FrameFormat.POINTS4F: Invalid.DROP,
    FrameFormat.DEPTH32F: Invalid.ZERO,
    FrameFormat.TENSOR32F: Invalid.KEEP,
}


@dataclass(frozen=True, slots=True)
class Stream:
    """A topic to subscribe to, and the frames it must be turned into.

    Attributes:
        key: unique name.
        topic, type: as in :class:`~aegis_ros.spec.InputSpec`.
        qos: ``reliable`` or ``best_effort``.
        format: canonical format.
        max_shape: largest frame.
        invalid: what becomes of numbers that are none. ``None``: colors are always numbers, and a
            range without a measurement is ``range_max``.
    """

    key: str
    topic: str
    type: str
    qos: str
    format: FrameFormat
    max_shape: tuple[int, ...]
    invalid: Invalid | None = None


def streams_of(spec: TaskSpec) -> tuple[Stream, ...]:
    """Return the streams that feed a task; none for one that runs on results of another."""
    if not spec.sources:
        return ()
    return tuple(
        _stream(source, feed)
        for (_, source, _), feed in zip(spec.sources, feeds(spec), strict=True)
    )


def slots_of(spec: TaskSpec) -> int:
    """Return how many slots of each of its streams a task may need at once."""
    waiting = 0 if spec.sync is None else spec.sync.queue + 1
    return spec.queue + 1 + waiting + (2 if spec.timed else 0)


def crops_key(spec: TaskSpec) -> str:
    """Return the key of the channel that a task's crops lie in."""
    return f"crops|{spec.name}"


def channels_of(
    spec: TaskSpec, streams: Iterable[Stream], in_file: Iterable[TaskSpec]
) -> list[ChannelSpec]:
    """Return the slots that a task's frames need.

    Args:
        spec: the task.
        streams: its own, under the keys that they will have.
        in_file: the tasks of the configuration, which get their slots together.
    """
    known = tuple(in_file)
    found = []
    for stream in streams:
        sharing = {
            task.name: task
            for task in known
            if any(each.key == stream.key for each in streams_of(task))
        } | {spec.name: spec}
        slots = sum(slots_of(task) for task in sharing.values()) + _SPARE_SLOTS
        found.append(ChannelSpec(stream.key, stream.format, stream.max_shape, slots))
    if spec.follows:
        (feed,) = feeds(spec)
        slots = spec.queue + 1 + LEAST_SPARE_SLOTS
        found.append(ChannelSpec(crops_key(spec), feed.format, feed.max_shape, slots))
    return found


def footprint_of(channel: ChannelSpec) -> Footprint:
    """Return what the slots of a channel take."""
    return Footprint(staging=channel.slot_bytes * channel.slots)


def frames_of(tasks: Sequence[TaskSpec], in_file: Sequence[TaskSpec]) -> list[Holding]:
    """Return what the slots of tasks' frames take where nothing else was there before.

    Args:
        tasks: that are loaded.
        in_file: all of the configuration.
    """
    users: dict[str, list[str]] = {}
    channels: dict[str, ChannelSpec] = {}
    for task in tasks:
        for channel in channels_of(task, streams_of(task), in_file):
            channels.setdefault(channel.key, channel)
            users.setdefault(channel.key, []).append(task.name)
    return [
        Holding(tuple(dict.fromkeys(users[key])), footprint_of(each))
        for key, each in channels.items()
    ]


def _stream(source: InputSpec, feed: Feed) -> Stream:
    size = "x".join(str(extent) for extent in feed.max_shape)
    # What asks for the same shares a subscription; a stronger wish is a subscription of its own.
    qos = "reliable" if source.qos == "reliable" else "best_effort"
    invalid = source.invalid or _USUAL_INVALID.get(feed.format)
    return Stream(
        "|".join(filter(None, (source.topic, source.type, qos, feed.format, size, invalid))),
        source.topic,
        source.type,
        qos,
        feed.format,
        feed.max_shape,
        invalid,
    )
