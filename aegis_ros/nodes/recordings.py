"""Recordings as streams of serialised messages: pictures, videos, lidar sweeps, rosbag2 bags."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField

from aegis_ros.demo.assets import read_ply
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.nodes.replay_config import Source

__all__ = ["Recorded", "open_recording"]

_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
_CLOUD_SUFFIXES = {".bin", ".pcd", ".ply"}
_MAX_POINTS = 20_000_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message of a recording.

    Attributes:
        time_s: seconds since the beginning of the recording.
        topic: where it goes.
        kind: message class.
        message: the message; its stamp is set when it is published. ``None`` for ``raw``.
        raw: serialised message, published as it is. ``None`` for ``message``.
    """

    time_s: float
    topic: str
    kind: Any
    message: Any = None
    raw: bytes | None = None


def open_recording(source: Source, path: Path) -> Iterator[Recorded]:
    """Return the messages of one pass over a recording, in order.

    Raises:
        ConfigError: the file is missing, of an unknown kind, or cannot be read. A file that breaks
            in the middle ends the pass with this error.
    """
    if source.kind == "bag":
        return _bag(source, path)
    if source.kind == "video":
        return _video(source, path)
    files = _files(source, path)
    if source.kind == "clouds":
        return (
            Recorded(index / source.rate_hz, source.topic, PointCloud2, _cloud(source, file))
            for index, file in enumerate(files)
        )
    return (
        Recorded(index / source.rate_hz, source.topic, *_picture(source, file))
        for index, file in enumerate(files)
    )


def _files(source: Source, path: Path) -> list[Path]:
    suffixes = _CLOUD_SUFFIXES if source.kind == "clouds" else _IMAGE_SUFFIXES
    if path.is_file():
        files = [path]
    else:
        files = sorted(item for item in path.iterdir() if item.suffix.lower() in suffixes)
    if not files or files[0].suffix.lower() not in suffixes:
        raise ConfigError(
            f"there is nothing to play for {source.topic}",
            where=source.kind,
            value=str(path),
            expected="files ending in " + ", ".join(sorted(suffixes)),
        )
    return files


def _video(source: Source, path: Path) -> Iterator[Recorded]:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ConfigError(
            "the video cannot be opened",
            where="video",
            value=str(path),
            hint="Convert it to H.264 in mp4, or extract its frames and play the folder",
        )
    try:
        own_hz = capture.get(cv2.CAP_PROP_FPS) or 25.0
        step = max(own_hz / source.rate_hz, 1.0) if source.rate_hz else 1.0
        due, played = 0.0, 0
        for index in itertools.count():
            if not capture.grab():
                break
            if index + 1e-6 < due:
                continue
            good, pixels = capture.retrieve()
            if not good:
                break
            time_s = played / source.rate_hz if source.rate_hz else index / own_hz
            yield Recorded(time_s, source.topic, *_image_message(source, pixels))
            played += 1
            due += step
        if not played:
            raise ConfigError("the video has no frame", where="video", value=str(path))
    finally:
        capture.release()


@lru_cache(maxsize=16)  # a picture that is shown again is not decoded again
def _picture(source: Source, path: Path) -> tuple[Any, Any]:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ConfigError(
            "the picture cannot be read",
            where="images",
            value=str(path),
            hint="Remove it from the folder, or save it again",
        )
    return _image_message(source, pixels)


def _image_message(source: Source, pixels: np.ndarray) -> tuple[Any, Any]:
    """Return (class, message) of BGR pixels in the encoding asked for."""
    if source.crop is not None:
        top, left, height, width = source.crop
        pixels = pixels[top : top + height, left : left + width]
        if pixels.shape[:2] != (height, width):
            raise ConfigError(
                "the crop lies outside the picture",
                where=f"{source.topic}: crop",
                value=list(source.crop),
            )
    if source.size is not None:
        pixels = cv2.resize(pixels, (source.size[1], source.size[0]), interpolation=cv2.INTER_AREA)
    if source.encoding in ("jpeg", "png"):
        good, data = cv2.imencode(f".{source.encoding}", pixels)
        assert good
        message = CompressedImage(format=source.encoding)
        message.data = data.tobytes()
        message.header.frame_id = source.frame_id
        return CompressedImage, message
    if source.encoding == "rgb8":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    elif source.encoding == "mono8":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    height, width = pixels.shape[:2]
    message = Image(
        height=height, width=width, encoding=source.encoding, step=pixels.nbytes // height
    )
    message.header.frame_id = source.frame_id
    # bytes are taken over as they are; an ndarray would be converted value by value
    message.data = pixels.tobytes()
    return Image, message


@lru_cache(maxsize=16)
def _cloud(source: Source, path: Path) -> PointCloud2:
    try:
        points = _read_points(path)
    except (AegisError, OSError, ValueError, KeyError, IndexError) as error:
        raise ConfigError(
            f"the sweep cannot be read ({error})",
            where="clouds",
            value=str(path),
            expected=".bin (KITTI), .pcd or .ply with x, y, z",
        ) from error
    message = PointCloud2(
        height=1,
        width=points.shape[0],
        fields=[
            PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
            for index, name in enumerate(("x", "y", "z", "intensity"))
        ],
        point_step=16,
        row_step=16 * points.shape[0],
        is_dense=bool(np.isfinite(points).all()),
    )
    message.header.frame_id = source.frame_id
    message.data = points.astype("<f4").tobytes()
    return message


def _read_points(path: Path) -> np.ndarray:
    """Return float32 [N, 4]: x, y, z in metres, intensity (0 where the file has none)."""
    if path.suffix.lower() == ".bin":
        values = np.fromfile(path, "<f4")
        if values.size == 0 or values.size % 4:
            raise ValueError(f"{values.size} numbers are not rows of x, y, z, intensity")
        return values.reshape(-1, 4)
    if path.suffix.lower() == ".ply":
        return read_ply(path.read_bytes())
    return _read_pcd(path.read_bytes())


def _read_pcd(content: bytes) -> np.ndarray:
    """Read an ASCII or binary PCD file (PCL file format 0.7)."""
    header: dict[str, list[str]] = {}
    position = 0
    while "DATA" not in header:
        end = content.index(b"\n", position)
        line = content[position:end].decode("ascii").strip()
        position = end + 1
        if line and not line.startswith("#"):
            key, *values = line.split()
            header[key.upper()] = values
    names = [name.lower() for name in header["FIELDS"]]
    count = int(header["POINTS"][0])
    if not 0 < count <= _MAX_POINTS:
        raise ValueError(f"POINTS is {count}")
    kinds = [
        f"<{kind.lower()}{size}" for kind, size in zip(header["TYPE"], header["SIZE"], strict=True)
    ]
    form = header["DATA"][0].lower()
    if form == "ascii":
        table = np.loadtxt(content[position:].decode("ascii").splitlines(), ndmin=2, max_rows=count)
        columns = {name: table[:, index] for index, name in enumerate(names)}
    elif form == "binary":
        layout = np.dtype([(name, kind) for name, kind in zip(names, kinds, strict=True)])
        rows = np.frombuffer(content, layout, count, position)
        columns = {name: rows[name] for name in names}
    else:
        raise ValueError(f"DATA {form} is not supported; save it as binary")
    points = np.zeros((count, 4), np.float32)
    for index, name in enumerate(("x", "y", "z")):
        points[:, index] = columns[name]
    if "intensity" in columns:
        points[:, 3] = columns["intensity"]
    return points


def _bag(source: Source, path: Path) -> Iterator[Recorded]:
    """Return the bag's messages as they were recorded, bytes and all."""
    try:
        from rosbags.rosbag2 import Reader, ReaderError
    except ImportError as error:
        raise ConfigError(
            "playing bags needs the Python package rosbags",
            where="bag",
            hint="Install it: pip install rosbags",
        ) from error
    try:
        with Reader(path) as reader:
            begin = reader.start_time
            wanted = [
                each
                for each in reader.connections
                if not source.topic or each.topic == source.topic
            ]
            for connection, stamp, raw in reader.messages(wanted):
                yield Recorded(
                    (stamp - begin) / 1e9,
                    connection.topic,
                    _message_class(connection.msgtype),
                    raw=bytes(raw),
                )
    except ReaderError as error:
        raise ConfigError(
            f"the bag cannot be read ({error})",
            where="bag",
            value=str(path),
            expected="a rosbag2 folder with metadata.yaml",
        ) from error


def _message_class(name: str) -> Any:
    """Return the class of ``package/msg/Name``."""
    package, _, kind = name.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the bag holds messages of type {name}, which is not installed",
            where="bag",
            hint=f"Install or source the ROS package {package}, or name a topic to play",
        ) from error
