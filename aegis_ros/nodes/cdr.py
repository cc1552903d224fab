"""Reads sensor messages in place from their serialised bytes, before anything is copied.

XCDR1 as rmw_fastrtps and rmw_cyclonedds write it (OMG DDS-XTypes 1.3, 7.4.3). Every length is
checked against the bytes that are there: a truncated or lying message raises
:class:`~aegis_ros.errors.InputError` and nothing else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import InputError

__all__ = [
    "CompressedImageView",
    "HeaderView",
    "ImageView",
    "LaserScanView",
    "PointCloud2View",
    "PointFieldView",
    "Reader",
    "read_compressed_image",
    "read_float32_multi_array",
    "read_header",
    "read_image",
    "read_laser_scan",
    "read_point_cloud2",
]

_MAX_STRING = 4096
_MAX_FIELDS = 256


@dataclass(frozen=True, slots=True)
class HeaderView:
    """std_msgs/Header."""

    sec: int
    nanosec: int
    frame_id: str

    @property
    def stamp_ns(self) -> int:
        """Stamp as nanoseconds since 1970."""
        return self.sec * 1_000_000_000 + self.nanosec


@dataclass(frozen=True, slots=True)
class ImageView:
    """sensor_msgs/Image; ``data`` is a view of the message."""

    header: HeaderView
    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class CompressedImageView:
    """sensor_msgs/CompressedImage; ``data`` is a view of the message."""

    header: HeaderView
    format: str
    data: memoryview


@dataclass(frozen=True, slots=True)
class PointFieldView:
    """sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int
    count: int


@dataclass(frozen=True, slots=True)
class PointCloud2View:
    """sensor_msgs/PointCloud2; ``data`` is a view of the message."""

    header: HeaderView
    height: int
    width: int
    fields: tuple[PointFieldView, ...]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: memoryview
    is_dense: bool


@dataclass(frozen=True, slots=True)
class LaserScanView:
    """sensor_msgs/LaserScan; angles in radians, ranges in metres, as views of float32."""

    header: HeaderView
    angle_min: float
    angle_increment: float
    range_min: float
    range_max: float
    ranges: memoryview
    intensities: memoryview
    bigendian: bool


class Reader:
    """A cursor over one serialised message.

    Args:
        raw: the message, with its four bytes of encapsulation.
    """

    __slots__ = ("_data", "_order", "_position", "bigendian")

    def __init__(self, raw: bytes | memoryview) -> None:
        """Read the encapsulation.

        Raises:
            InputError: it is not plain CDR.
        """
        data = memoryview(raw)
        if len(data) < 4 or data[0] != 0 or data[1] not in (0, 1):
            raise InputError(
                "the message is not plain CDR",
                where="message",
                value=bytes(data[:4]).hex(),
                expected="encapsulation 0000 or 0001",
                hint="Use an RMW that serialises as CDR",
            )
        self.bigendian = data[1] == 0
        self._order = ">" if self.bigendian else "<"
        self._data = data[4:]
        self._position = 0

    def _take(self, size: int, alignment: int, what: str) -> int:
        start = -(-self._position // alignment) * alignment
        if size < 0 or start + size > len(self._data):
            raise InputError(
                f"the message is cut short: {what} needs {size} bytes at {start}",
                where="message",
                value=f"{len(self._data)} bytes",
                expected=f"at least {start + size}",
                hint="Check the driver: the sizes it reports are wrong",
            )
        self._position = start + size
        return start

    def uint8(self, what: str) -> int:
        """Read one byte."""
        return self._data[self._take(1, 1, what)]

    def uint32(self, what: str) -> int:
        """Read four bytes."""
        value: int = struct.unpack_from(self._order + "I", self._data, self._take(4, 4, what))[0]
        return value

    def int32(self, what: str) -> int:
        """Read four bytes, signed."""
        value: int = struct.unpack_from(self._order + "i", self._data, self._take(4, 4, what))[0]
        return value

    def float32(self, what: str) -> float:
        """Read four bytes as a number."""
        value: float = struct.unpack_from(self._order + "f", self._data, self._take(4, 4, what))[0]
        return value

    def string(self, what: str) -> str:
        """Read a string; its length counts the closing zero."""
        size = self.uint32(f"the length of {what}")
        if size > _MAX_STRING:
            raise InputError(
                f"{what} is too long",
                where="message",
                value=f"{size} bytes",
                expected=f"at most {_MAX_STRING}",
            )
        start = self._take(size, 1, what)
        return bytes(self._data[start : start + max(size - 1, 0)]).decode(errors="replace")

    def text(self, what: str, where: str, most: int) -> str:
        """Read a string of up to ``most`` bytes that is to be text: UTF-8, and no zero in it."""
        length = self.uint32(f"the length of {what}")
        size = max(length - 1, 0)
        if size > most:
            raise InputError(
                f"{what} is too long",
                where=where,
                value=f"{size:,} bytes",
                expected=f"at most {most:,} bytes",
            )
        start = self._take(length, 1, what)
        raw = bytes(self._data[start : start + size])
        zero = raw.find(0)
        if zero >= 0:
            raise InputError(
                f"{what} is no text", where=where, value=f"a zero at byte {zero}", expected="text"
            )
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{what} is not valid UTF-8",
                where=where,
                value=f"0x{raw[error.start]:02x} at byte {error.start}",
                expected="text in UTF-8",
            ) from None

    def bytes(self, what: str, item: int = 1) -> memoryview:
        """Read a sequence of ``item``-byte values as a view of bytes."""
        count = self.uint32(f"the length of {what}")
        if count == 0:
            return self._data[:0]
        start = self._take(count * item, item, what)
        return self._data[start : start + count * item]


def read_header(reader: Reader) -> HeaderView:
    """Read the header every sensor message begins with."""
    return HeaderView(
        reader.int32("stamp.sec"), reader.uint32("stamp.nanosec"), reader.string("frame_id")
    )


def read_image(reader: Reader, header: HeaderView) -> ImageView:
    """Read the rest of a sensor_msgs/Image."""
    return ImageView(
        header,
        reader.uint32("height"),
        reader.uint32("width"),
        reader.string("encoding"),
        reader.uint8("is_bigendian") != 0,
        reader.uint32("step"),
        reader.bytes("data"),
    )


def read_compressed_image(reader: Reader, header: HeaderView) -> CompressedImageView:
    """Read the rest of a sensor_msgs/CompressedImage."""
    return CompressedImageView(header, reader.string("format"), reader.bytes("data"))


def read_point_cloud2(reader: Reader, header: HeaderView) -> PointCloud2View:
    """Read the rest of a sensor_msgs/PointCloud2."""
    height, width = reader.uint32("height"), reader.uint32("width")
    count = reader.uint32("the number of fields")
    if count > _MAX_FIELDS:
        raise InputError(
            "the cloud has too many fields",
            where="fields",
            value=count,
            expected=f"at most {_MAX_FIELDS}",
        )
    fields = tuple(
        PointFieldView(
            reader.string("the name of a field"),
            reader.uint32("the offset of a field"),
            reader.uint8("the type of a field"),
            reader.uint32("the count of a field"),
        )
        for _ in range(count)
    )
    return PointCloud2View(
        header,
        height,
        width,
        fields,
        reader.uint8("is_bigendian") != 0,
        reader.uint32("point_step"),
        reader.uint32("row_step"),
        reader.bytes("data"),
        reader.uint8("is_dense") != 0,
    )


def read_laser_scan(reader: Reader, header: HeaderView) -> LaserScanView:
    """Read the rest of a sensor_msgs/LaserScan."""
    angle_min = reader.float32("angle_min")
    reader.float32("angle_max")
    angle_increment = reader.float32("angle_increment")
    reader.float32("time_increment")
    reader.float32("scan_time")
    return LaserScanView(
        header,
        angle_min,
        angle_increment,
        reader.float32("range_min"),
        reader.float32("range_max"),
        reader.bytes("ranges", 4),
        reader.bytes("intensities", 4),
        reader.bigendian,
    )


def read_float32_multi_array(
    reader: Reader,
) -> tuple[npt.NDArray[np.float32], tuple[int, ...]]:
    """Read a std_msgs/Float32MultiArray: its numbers, float32 [N], and the extents it declares."""
    count = reader.uint32("the number of dimensions")
    if count > _MAX_FIELDS:
        raise InputError(
            "the array has too many dimensions",
            where="layout.dim",
            value=count,
            expected=f"at most {_MAX_FIELDS}",
        )
    extents = []
    for _ in range(count):
        reader.string("the label of a dimension")
        extents.append(reader.uint32("the size of a dimension"))
        reader.uint32("the stride of a dimension")
    offset = reader.uint32("data_offset")
    order = ">" if reader.bigendian else "<"
    values = np.frombuffer(reader.bytes("data", 4), order + "f4")
    return values[offset:].astype(np.float32, copy=False), tuple(extents)
