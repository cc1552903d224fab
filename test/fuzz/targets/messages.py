"""Raw images, clouds, scans and numbers: the bytes of a message, as the middleware hands them over.

The first byte of an input chooses the stream that the message comes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, LaserScan, PointCloud2, PointField
from std_msgs.msg import Float32MultiArray, MultiArrayDimension, MultiArrayLayout

from aegis_ros.engine import Channel, ChannelSpec
from aegis_ros.errors import InputError
from aegis_ros.nodes import cdr
from aegis_ros.nodes.images import ENCODINGS
from aegis_ros.nodes.intake import read_header, write_frame
from aegis_ros.nodes.invalid import Cleaner
from aegis_ros.orchestrator import Stream
from aegis_ros.spec import FrameFormat, Invalid
from test.fuzz.mutation import Mutator
from test.fuzz.target import MIB, Limits, Target, Try, answered

__all__ = ["TARGET"]

_LARGEST_BYTES = 720 * 1280 * 3
_WORDS = (
    *(name.encode() + b"\0" for name in ENCODINGS),
    *(f"{name}\0".encode() for name in ("x", "y", "z", "intensity", "ring")),
    b"\0\1\0\0",
    b"\0\0\0\0",
    *(np.float32(value).tobytes() for value in (np.nan, np.inf, -np.inf, 1e38, 1e-40)),
)


def _stream(
    kind: str, form: FrameFormat, shape: tuple[int, ...], invalid: Invalid | None
) -> Stream:
    return Stream(f"{kind} {form} {invalid}", "/topic", kind, "best_effort", form, shape, invalid)


_STREAMS = (
    _stream("sensor_msgs/msg/Image", FrameFormat.RGB8, (720, 1280, 3), None),
    _stream("sensor_msgs/msg/Image", FrameFormat.DEPTH32F, (480, 640), Invalid.ZERO),
    _stream("sensor_msgs/msg/CompressedImage", FrameFormat.RGB8, (720, 1280, 3), None),
    _stream("sensor_msgs/msg/PointCloud2", FrameFormat.POINTS4F, (50_000, 4), Invalid.DROP),
    _stream("sensor_msgs/msg/PointCloud2", FrameFormat.POINTS4F, (50_000, 4), Invalid.ZERO),
    _stream("sensor_msgs/msg/LaserScan", FrameFormat.RANGES1F, (2_000,), None),
    _stream("sensor_msgs/msg/LaserScan", FrameFormat.POINTS4F, (2_000, 4), Invalid.KEEP),
    _stream("std_msgs/msg/Float32MultiArray", FrameFormat.TENSOR32F, (8, 16, 16), Invalid.ZERO),
    _stream("std_msgs/msg/Float32MultiArray", FrameFormat.TENSOR32F, (4_000,), Invalid.KEEP),
)


def _seeds() -> Sequence[bytes]:
    rng = np.random.default_rng(0)
    messages = [
        *((0, _image(name)) for name in ENCODINGS),
        (0, _image("rgb8", height=240, width=320, padding=64)),
        *((1, _image(name)) for name in ("16UC1", "32FC1", "mono16")),
        (1, _image("32FC1", height=120, width=160)),
        (2, CompressedImage(format="jpeg")),
        *((stream, _cloud(count)) for stream in (3, 4) for count in (4, 500)),
        *((stream, _scan(rng, count)) for stream in (5, 6) for count in (8, 720)),
        (7, _numbers(rng, (2, 4, 4))),
        (7, _numbers(rng, (8, 16, 16))),
        (8, _numbers(rng, (100,))),
    ]
    return [bytes([stream]) + serialize_message(message) for stream, message in messages]


def _image(encoding: str, height: int = 8, width: int = 8, padding: int = 0) -> Image:
    step = width * 8 + padding  # room for every encoding
    message = Image(height=height, width=width, encoding=encoding, step=step)
    message.data = bytes(range(256)) * (step * height * 3 // 2 // 256 + 1)
    return message


def _cloud(count: int) -> PointCloud2:
    names = ("x", "y", "z", "intensity", "ring")
    message = PointCloud2(
        height=1,
        width=count,
        fields=[PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate(names)],
        point_step=20,
        row_step=20 * count,
    )
    points = np.linspace(-50, 50, count * 5, dtype=np.float32)
    points[::7] = np.nan
    message.data = points.tobytes()
    return message


def _scan(rng: np.random.Generator, count: int) -> LaserScan:
    ranges = rng.uniform(0, 40, count).astype(np.float32)
    ranges[::5] = np.inf
    return LaserScan(
        angle_min=-1.5,
        angle_max=1.5,
        angle_increment=3.0 / count,
        range_min=0.1,
        range_max=30.0,
        ranges=ranges.tolist(),
        intensities=ranges.tolist(),
    )


def _numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Float32MultiArray:
    layout = MultiArrayLayout(dim=[MultiArrayDimension(label="d", size=n, stride=1) for n in shape])
    return Float32MultiArray(layout=layout, data=rng.random(shape, np.float32).reshape(-1).tolist())


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    with ExitStack() as stack:
        channels, cleaners = [], []
        for index, stream in enumerate(_STREAMS):
            channel = Channel(index, ChannelSpec(stream.key, stream.format, stream.max_shape, 1))
            stack.callback(channel.close)
            channels.append(channel)
            cleaners.append(None if stream.invalid is None else Cleaner(stream))

        def work(data: bytes) -> bool:
            at = data[0] % len(_STREAMS) if data else 0
            stream, cleaner = _STREAMS[at], cleaners[at]

            def take() -> None:
                reader = cdr.Reader(data[1:])
                header = read_header(stream, reader)
                place = partial(channels[at].array, 0)
                frame, _ = write_frame(stream, reader, header, place)
                if cleaner is not None and stream.format is not FrameFormat.RANGES1F:
                    frame, _ = cleaner.clean(frame)
                assert frame.size, "an empty frame was taken"

            return answered(take, InputError)

        yield work


TARGET = Target(
    name="messages",
    title="images, clouds, scans, numbers",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=1 * MIB),
    opened=_opened,
    limits=Limits(seconds=0.05, memory_bytes=2 * _LARGEST_BYTES),
    weight=36.0,
    brief=1_000,
)
