"""Subscribes to sensor topics and turns each frame that is wanted into jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, LaserScan, PointCloud2
from std_msgs.msg import Float32MultiArray

from aegis_ros.engine import KeptFrame
from aegis_ros.errors import AegisError, InputError
from aegis_ros.nodes import cdr
from aegis_ros.nodes.callback_groups import forget_destroyed
from aegis_ros.nodes.compressed import decode_compressed, write_decoded
from aegis_ros.nodes.images import (
    color_shape,
    depth_shape,
    write_color,
    write_depth,
)
from aegis_ros.nodes.invalid import Cleaner
from aegis_ros.nodes.loggable import loggable, text_of
from aegis_ros.nodes.numbers import numbers_shape
from aegis_ros.nodes.overtaken import Overtaken
from aegis_ros.nodes.pointclouds import cloud_points, scan_ranges, write_cloud, write_scan
from aegis_ros.nodes.publishers import Heard, look
from aegis_ros.nodes.topics import why_refused
from aegis_ros.nodes.unpacking import Unpacker
from aegis_ros.orchestrator import Crops, FrameTimes, Orchestrator, Stream, Taken, Wanted
from aegis_ros.rationale.frames import CannotSubscribe, FramesLost, FramesOvertaken
from aegis_ros.spec import FrameFormat

__all__ = ["FrameOrigin", "SensorIntake", "join_origins", "read_header", "write_frame"]

# A simulator that publishes /clock at 10 Hz lets a frame be stamped that far ahead of it.
_SIMULATED_STEP_NS = 100_000_000

# Copying and converting so many bytes takes 2 ms: a 4K image, a cloud of half a million points.
_LARGE_BYTES = 8_000_000
_END_SECONDS = 5.0  # for pictures that are being decoded when the node ends

_TYPES = {
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CompressedImage": CompressedImage,
    "sensor_msgs/msg/PointCloud2": PointCloud2,
    "sensor_msgs/msg/LaserScan": LaserScan,
    "std_msgs/msg/Float32MultiArray": Float32MultiArray,
}


@dataclass(frozen=True, slots=True)
class FrameOrigin:
    """Where a job's frame came from; travels with the job and comes back with its result.

    Attributes:
        header: header of the message.
        shape: shape of the frame in its slot.
        times: when it was stamped, came, and was ready.
        frame: the frame itself, kept only for annotation.
        kept: keeps the frame in its slot, where another task is to get crops of it.
        crops: parts of the frame that the job's inputs were cut from; ``None`` for whole frames.
    """

    header: cdr.HeaderView
    shape: tuple[int, ...]
    times: FrameTimes
    frame: np.ndarray | None
    kept: KeptFrame | None = None
    crops: Crops | None = None


def join_origins(origins: Sequence[object], times: FrameTimes) -> FrameOrigin:
    """Return the origin of a job: that of its first input's frame, with the job's own times."""
    first = next((each for each in origins if isinstance(each, FrameOrigin)), None)
    if first is not None:
        return replace(first, times=times)
    sec, nanosec = divmod(times.received_ns + times.wall_offset_ns, 1_000_000_000)
    return FrameOrigin(cdr.HeaderView(sec, nanosec, ""), (), times, None)


def read_header(stream: Stream, reader: cdr.Reader) -> cdr.HeaderView:
    """Return the header of a message; of a type without one, an empty one that has no stamp."""
    if stream.type.endswith("MultiArray"):
        return cdr.HeaderView(0, 0, "")
    return cdr.read_header(reader)


def write_frame(
    stream: Stream,
    reader: cdr.Reader,
    header: cdr.HeaderView,
    place: Callable[[tuple[int, ...]], np.ndarray],
) -> tuple[np.ndarray, int]:
    """Parse the rest of a message and write it into the array ``place(shape)`` gives.

    Returns:
        The array, and how many ranges of a scan that is written as ranges are no measurement.

    Raises:
        InputError: the message cannot be used.
    """
    if stream.type.endswith("/CompressedImage"):
        if stream.format is not FrameFormat.RGB8:
            raise InputError("compressed depth cannot be used", where="type", value=stream.type)
        pixels = decode_compressed(
            cdr.read_compressed_image(reader, header), (stream.max_shape[0], stream.max_shape[1])
        )
        target = place(pixels.shape)
        write_decoded(pixels, target)
        return target, 0
    if stream.type.endswith("/Image"):
        image = cdr.read_image(reader, header)
        if stream.format is FrameFormat.DEPTH32F:
            target = place(depth_shape(image))
            write_depth(image, target)
        else:
            target = place(color_shape(image))
            write_color(image, target)
        return target, 0
    if stream.type.endswith("/PointCloud2"):
        cloud = cdr.read_point_cloud2(reader, header)
        if stream.format is not FrameFormat.POINTS4F:
            raise InputError("a cloud has no ranges", where="preprocess.layout", expected="points")
        target = place((cloud_points(cloud), 4))
        write_cloud(cloud, target)
        return target, 0
    if stream.type.endswith("/Float32MultiArray"):
        values, extents = cdr.read_float32_multi_array(reader)
        target = place(numbers_shape(extents, values.size, stream.max_shape))
        target[...] = values.reshape(target.shape)
        return target, 0
    scan = cdr.read_laser_scan(reader, header)
    count = scan_ranges(scan)
    target = place((count, 4) if stream.format is FrameFormat.POINTS4F else (count,))
    return target, write_scan(scan, target, stream.invalid)


def takes_long(stream: Stream, raw: bytes) -> bool:
    """Return whether a message may hold up those of other topics, were it unpacked on their thread.

    Handing it to another thread takes 20 to 100 us, decoding 0.1 ms (120 x 160 pixels) to 60.
    """
    return stream.type.endswith("/CompressedImage") or len(raw) >= _LARGE_BYTES


@dataclass(frozen=True, slots=True)
class _Subscribed:
    """A subscription, and what it was made from."""

    stream: Stream
    topic: str  # resolved
    qos: QoSProfile
    handle: Any
    overtaken: Overtaken
    unpacker: Unpacker[_Message]


@dataclass(frozen=True, slots=True)
class _Message:
    """A message that is to become a frame of its stream."""

    wanted: Wanted
    raw: bytes


class SensorIntake:
    """Raw subscriptions to all streams; runs on the intake executor's one thread.

    Messages that take long become frames on a thread of their topic's own, all others at once.

    Args:
        node: node to subscribe with; stamps are held against its clock.
        orchestrator: where frames go.
        keeps_frames: whether a task's frames are kept for annotation.
        resolve: returns the full name of a declared topic.
    """

    def __init__(
        self,
        node: Node,
        orchestrator: Orchestrator,
        keeps_frames: Callable[[tuple[int, ...]], bool],
        resolve: Callable[[str], str],
    ) -> None:
        """Subscribe to nothing yet."""
        self._node = node
        self._clock = node.get_clock()
        self._orchestrator = orchestrator
        self._keeps_frames = keeps_frames
        self._resolve = resolve
        self._subscriptions: dict[str, _Subscribed] = {}
        self._leaving: list[Unpacker[_Message]] = []
        self._lock = threading.Lock()

    def follow(self, streams: tuple[Stream, ...]) -> None:
        """Subscribe to exactly these streams."""
        wanted = {stream.key: stream for stream in streams}
        with self._lock:
            for key in [key for key in self._subscriptions if key not in wanted]:
                gone = self._subscriptions.pop(key)
                self._node.destroy_subscription(gone.handle)
                forget_destroyed(self._node)
                gone.unpacker.close()
                self._leaving = [each for each in self._leaving if not each.join(0.0)]
                self._leaving.append(gone.unpacker)
            for key, stream in wanted.items():
                if key in self._subscriptions:
                    continue
                try:
                    self._subscriptions[key] = self._subscribe(stream)
                except Exception as error:  # the others must get their frames
                    topic = self._resolve(stream.topic)
                    problem = why_refused(self._node, topic, stream.type, error)
                    for name in self._orchestrator.intake.fed_by(key):
                        self._orchestrator.fail(
                            name, CannotSubscribe(name, stream.topic, stream.type, problem)
                        )

    def close(self) -> None:
        """Unsubscribe from everything, and wait for what is being decoded."""
        self.follow(())
        end = time.monotonic() + _END_SECONDS
        for unpacker in self._leaving:
            unpacker.join(max(0.0, end - time.monotonic()))

    def heard(self) -> dict[str, Heard]:
        """Return what the graph knows of the topic of each stream, by the key of the stream.

        Reports messages that newer ones replaced, too: for that, the publishers must be known.
        """
        with self._lock:
            subscribed = dict(self._subscriptions)
        found = {
            key: look(self._node, each.topic, each.stream.type, each.qos)
            for key, each in subscribed.items()
        }
        for key, each in subscribed.items():
            self._report_overtaken(each, found[key].publishers)
        return found

    def _report_overtaken(self, subscribed: _Subscribed, publishers: int) -> None:
        count = subscribed.overtaken.take(publishers)
        if not count:
            return
        stream, total = subscribed.stream, subscribed.overtaken.total
        for name in self._orchestrator.intake.fed_by(stream.key):
            self._orchestrator.log.report_often(
                FramesOvertaken(name, stream.topic, total), count=count
            )

    def _subscribe(self, stream: Stream) -> _Subscribed:
        reliable = stream.qos == "reliable"
        # Not to be overridden by parameters: those are declared once and for all, and the next
        # task on this topic would get what the first one asked for.
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        overtaken = Overtaken()
        intake = self._orchestrator.intake
        cleaner = None
        if stream.format is not FrameFormat.RANGES1F and stream.invalid is not None:
            cleaner = Cleaner(stream)
        unpacker: Unpacker[_Message] = Unpacker(
            lambda message: self._unpack(stream, cleaner, message),
            merged=lambda before, newer: _Message(
                intake.outpaced(before.wanted, newer.wanted), newer.raw
            ),
            dropped=lambda message: intake.withdraw(message.wanted),
            failed=self._failed,
        )

        def take(raw: bytes, info: Mapping[str, object]) -> None:
            overtaken.note(info)
            self._receive(stream, unpacker, raw)

        lost = SubscriptionEventCallbacks(
            message_lost=lambda info: self._lost(stream, overtaken, info),
            use_default_callbacks=False,  # what it does not match is reported from the graph
        )
        try:
            handle = self._create(stream, qos, lost, take)
        except UnsupportedEventTypeError:  # this middleware does not know what it loses
            handle = self._create(
                stream, qos, SubscriptionEventCallbacks(use_default_callbacks=False), take
            )
        return _Subscribed(stream, str(handle.topic_name), qos, handle, overtaken, unpacker)

    def _lost(self, stream: Stream, overtaken: Overtaken, info: Any) -> None:
        """Report messages that were sent and never came; as the middleware counts them."""
        overtaken.lose(info.total_count_change)
        for name in self._orchestrator.intake.fed_by(stream.key):
            self._orchestrator.log.report_often(
                FramesLost(name, stream.topic, info.total_count),
                count=max(1, info.total_count_change),
            )

    def _create(
        self,
        stream: Stream,
        qos: QoSProfile,
        events: SubscriptionEventCallbacks,
        take: Callable[[bytes, Mapping[str, object]], None],
    ) -> Any:
        return self._node.create_subscription(
            _TYPES[stream.type],
            self._resolve(stream.topic),
            take,
            qos,
            raw=True,
            event_callbacks=events,
        )

    def _receive(self, stream: Stream, unpacker: Unpacker[_Message], raw: bytes) -> None:
        """Take one serialised message; what may take long, or follows it, is unpacked beside."""
        wanted = self._orchestrator.intake.want(stream.key, time.monotonic_ns())
        if wanted is None:
            return
        message = _Message(wanted, raw)
        if takes_long(stream, raw) or not unpacker.idle:
            unpacker.put(message)
        else:
            unpacker.do(message)

    def _unpack(
        self, stream: Stream, cleaner: Cleaner | None, message: _Message
    ) -> Callable[[bool], None]:
        """Write a message into a slot; whatever it holds, only a rationale can come of it.

        Returns:
            What hands the frame over; with false, what gives its slot back.
        """
        started_ns = time.monotonic_ns()
        intake = self._orchestrator.intake
        taken = intake.place(message.wanted)
        if taken is None:
            return partial(self._without_slot, message.wanted)
        try:
            reader = cdr.Reader(message.raw)
            header = read_header(stream, reader)
            frame, invalid = write_frame(stream, reader, header, taken.array)
            if cleaner is not None:
                frame, invalid = cleaner.clean(frame)
            times = self._times(stream.key, header.stamp_ns, message.wanted.received_ns)
            copy = frame.copy() if self._keeps_frames(taken.task_ids) else None
            origin = FrameOrigin(header, frame.shape, times, copy, taken.keep(frame.shape))
        except AegisError as error:
            return partial(self._refuse, taken, error)
        except Exception as error:  # one message must never end the thread all topics share
            text = " ".join(str(error).split()) or type(error).__name__
            return partial(
                self._refuse, taken, InputError(f"the message cannot be used ({text[:200]})")
            )

        def end(wanted: bool) -> None:
            if wanted:
                intake.commit(
                    taken,
                    frame.shape,
                    times,
                    origin,
                    invalid=invalid,
                    unpacking_ns=times.ready_ns - started_ns,
                )
            else:
                intake.discard(taken)

        return end

    def _without_slot(self, place: Wanted, wanted: bool) -> None:
        if wanted:
            self._orchestrator.intake.without_slot(place)

    def _refuse(self, taken: Taken, error: AegisError, wanted: bool) -> None:
        if wanted:
            self._orchestrator.intake.refuse(taken, error)
        else:
            self._orchestrator.intake.discard(taken)

    def _failed(self, error: Exception) -> None:
        self._node.get_logger().error(loggable(f"a frame failed: {text_of(error)}"))

    def _times(self, key: str, stamp_ns: int, received_ns: int) -> FrameTimes:
        """Return the times of a frame that is ready now."""
        ready_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        simulated = self._clock.ros_time_is_active
        return FrameTimes(
            stamp_ns,
            received_ns,
            ready_ns,
            wall_ns,
            self._clock.now().nanoseconds if simulated else -1,
            _SIMULATED_STEP_NS if simulated else 0,
            self._orchestrator.intake.stamps.believed(key),
        )
