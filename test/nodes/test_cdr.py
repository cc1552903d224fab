from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, LaserScan, PointCloud2, PointField
from std_msgs.msg import Float32MultiArray, Header, MultiArrayDimension

from aegis_ros.errors import InputError
from aegis_ros.nodes import cdr
from aegis_ros.nodes.numbers import numbers_shape

_TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=0x24F), max_size=20)
_UINT32 = st.integers(0, 2**32 - 1)
_FLOAT = st.floats(width=32, allow_nan=False)
_READERS: list[Callable[[cdr.Reader, cdr.HeaderView], Any]] = [
    cdr.read_image,
    cdr.read_compressed_image,
    cdr.read_point_cloud2,
    cdr.read_laser_scan,
]


@st.composite
def headers(draw: st.DrawFn) -> Header:
    stamp = Time(
        sec=draw(st.integers(-(2**31), 2**31 - 1)), nanosec=draw(st.integers(0, 2**32 - 1))
    )
    return Header(stamp=stamp, frame_id=draw(_TEXT))


def read(raw: bytes, parse: Callable[[cdr.Reader, cdr.HeaderView], Any]) -> Any:
    reader = cdr.Reader(raw)
    return parse(reader, cdr.read_header(reader))


def same_header(view: cdr.HeaderView, header: Header) -> bool:
    return (view.sec, view.nanosec, view.frame_id) == (
        header.stamp.sec,
        header.stamp.nanosec,
        header.frame_id,
    )


@given(headers(), _UINT32, _UINT32, _TEXT, st.integers(0, 1), _UINT32, st.binary(max_size=64))
def test_reads_an_image_as_rclpy_writes_it(
    header: Header, height: int, width: int, encoding: str, big: int, step: int, data: bytes
) -> None:
    message = Image(
        header=header, height=height, width=width, encoding=encoding, is_bigendian=big, step=step
    )
    message.data = data
    view = read(serialize_message(message), cdr.read_image)
    assert same_header(view.header, header)
    assert (view.height, view.width, view.encoding, view.step) == (height, width, encoding, step)
    assert view.is_bigendian == bool(big)
    assert bytes(view.data) == data


@given(headers(), _TEXT, st.binary(max_size=64))
def test_reads_a_compressed_image_as_rclpy_writes_it(
    header: Header, form: str, data: bytes
) -> None:
    message = CompressedImage(header=header, format=form)
    message.data = data
    view = read(serialize_message(message), cdr.read_compressed_image)
    assert same_header(view.header, header)
    assert (view.format, bytes(view.data)) == (form, data)


@given(
    headers(),
    st.lists(st.tuples(_TEXT, _UINT32, st.integers(0, 255), _UINT32), max_size=6),
    st.booleans(),
    st.binary(max_size=64),
)
def test_reads_a_cloud_as_rclpy_writes_it(
    header: Header, fields: list[tuple[str, int, int, int]], flag: bool, data: bytes
) -> None:
    message = PointCloud2(
        header=header,
        height=3,
        width=5,
        fields=[PointField(name=n, offset=o, datatype=t, count=c) for n, o, t, c in fields],
        is_bigendian=flag,
        point_step=7,
        row_step=35,
        is_dense=not flag,
    )
    message.data = data
    view = read(serialize_message(message), cdr.read_point_cloud2)
    assert same_header(view.header, header)
    assert [(f.name, f.offset, f.datatype, f.count) for f in view.fields] == fields
    assert (view.height, view.width, view.point_step, view.row_step) == (3, 5, 7, 35)
    assert (view.is_bigendian, view.is_dense, bytes(view.data)) == (flag, not flag, data)


@given(headers(), st.lists(_FLOAT, max_size=20), st.lists(_FLOAT, max_size=20), _FLOAT, _FLOAT)
def test_reads_a_scan_as_rclpy_writes_it(
    header: Header, ranges: list[float], intensities: list[float], low: float, high: float
) -> None:
    message = LaserScan(
        header=header,
        angle_min=low,
        angle_increment=high,
        range_min=low,
        range_max=high,
        ranges=ranges,
        intensities=intensities,
    )
    view = read(serialize_message(message), cdr.read_laser_scan)
    assert same_header(view.header, header)
    assert (view.angle_min, view.angle_increment) == (low, high)
    assert (view.range_min, view.range_max) == (low, high)
    assert np.frombuffer(view.ranges, "<f4").tolist() == ranges
    assert np.frombuffer(view.intensities, "<f4").tolist() == intensities


def test_reads_a_big_endian_message() -> None:
    name = b"cam\0"
    raw = b"\0\0\0\0" + struct.pack(">iII4s", -5, 7, 4, name)
    raw += struct.pack(">III6sBxII3s", 2, 3, 6, b"mono8\0", 1, 3, 3, b"abc")
    view = read(raw, cdr.read_image)
    assert (view.header.sec, view.header.nanosec, view.header.frame_id) == (-5, 7, "cam")
    assert (view.height, view.width, view.encoding, view.is_bigendian) == (2, 3, "mono8", True)
    assert (view.step, bytes(view.data)) == (3, b"abc")


def test_data_is_a_view_and_not_a_copy() -> None:
    message = Image(encoding="mono8")
    message.data = b"abcdef"
    raw = serialize_message(message)
    view = read(raw, cdr.read_image)
    assert view.data.obj is raw


def _examples() -> list[bytes]:
    image = Image(height=2, width=2, encoding="rgb8", step=6)
    image.data = bytes(12)
    compressed = CompressedImage(format="png")
    compressed.data = bytes(9)
    cloud = PointCloud2(
        height=1, width=2, fields=[PointField(name="x", datatype=7, count=1)], point_step=12
    )
    cloud.data = bytes(24)
    scan = LaserScan(ranges=[1.0, 2.0], intensities=[3.0])
    return [serialize_message(each) for each in (image, compressed, cloud, scan)]


@pytest.mark.parametrize(
    ("raw", "parse"),
    list(zip(_examples(), _READERS, strict=True)),
    ids=[each.__name__ for each in _READERS],  # the bytes differ in their padding, run by run
)
def test_a_message_cut_anywhere_is_refused(raw: bytes, parse: Callable[..., Any]) -> None:
    # The very last bytes may be padding: everything up to the last value must be missed.
    for size in range(len(raw) - 4):
        with pytest.raises(InputError):
            read(raw[:size], parse)


@given(st.binary(max_size=200), st.sampled_from(_READERS))
def test_random_bytes_are_read_or_refused(raw: bytes, parse: Callable[..., Any]) -> None:
    for start in (raw, b"\0\1\0\0" + raw):
        with suppress(InputError):
            read(start, parse)


@given(
    st.sampled_from(list(zip(_examples(), _READERS, strict=True))),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_lying_message_is_read_or_refused(
    example: tuple[bytes, Callable[..., Any]], changes: list[tuple[int, int]]
) -> None:
    raw = bytearray(example[0])
    for position, value in changes:
        raw[position % len(raw)] = value
    with suppress(InputError):
        read(bytes(raw), example[1])


def test_a_length_of_four_gigabytes_is_refused_without_allocating() -> None:
    raw = _examples()[3]
    for position in (12, 48):  # frame_id, ranges
        lying = raw[:position] + b"\xff\xff\xff\xff" + raw[position + 4 :]
        with pytest.raises(InputError, match=r"too long|cut short"):
            read(lying, cdr.read_laser_scan)


@pytest.mark.parametrize("extents", [(0,), (0, 4)])
def test_numbers_of_no_extent_are_no_frame(extents: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="brings 0 numbers"):
        numbers_shape(extents, 0, (4,) * len(extents))
    with pytest.raises(InputError, match="brings 0 numbers"):
        numbers_shape((), 0, (4,))


@pytest.mark.parametrize(
    ("extents", "count", "largest"),
    [((5,), 5, (4,)), ((), 5, (4,)), ((2, 3), 5, (4, 4)), ((4,), 4, (4, 4)), ((2, 9), 18, (9, 8))],
)
def test_numbers_fit_into_the_shape_that_is_declared(
    extents: tuple[int, ...], count: int, largest: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match=rf"brings {count} numbers"):
        numbers_shape(extents, count, largest)


def test_a_name_of_many_letters_is_refused() -> None:
    message = Image()
    message.header.frame_id = "x" * 5000
    with pytest.raises(InputError, match=r"frame_id is too long .*5001 bytes.*at most 4096"):
        read(serialize_message(message), cdr.read_image)


def test_parts_beyond_number_are_refused_before_they_are_read() -> None:
    cloud = PointCloud2(fields=[PointField() for _ in range(257)])
    with pytest.raises(InputError, match=r"too many fields \(got 257\); expected at most 256"):
        read(serialize_message(cloud), cdr.read_point_cloud2)
    numbers = Float32MultiArray()
    numbers.layout.dim = [MultiArrayDimension() for _ in range(257)]
    with pytest.raises(InputError, match=r"too many dimensions \(got 257\); expected at most 256"):
        cdr.read_float32_multi_array(cdr.Reader(serialize_message(numbers)))


@pytest.mark.parametrize("beginning", [b"", b"\0\1\0", b"\0\2\0\0", b"\1\1\0\0"])
def test_what_is_serialised_in_another_way_is_refused(beginning: bytes) -> None:
    with pytest.raises(InputError, match="not plain CDR"):
        cdr.Reader(beginning + (bytes(20) if len(beginning) == 4 else b""))
