from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.errors import InputError
from aegis_ros.nodes.cdr import HeaderView, LaserScanView, PointCloud2View, PointFieldView
from aegis_ros.nodes.pointclouds import cloud_points, scan_ranges, write_cloud, write_scan
from aegis_ros.spec import Invalid

_HEADER = HeaderView(0, 0, "lidar")
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_F4 = 7


def cloud(
    points: np.ndarray,
    names: list[str],
    types: list[int],
    *,
    height: int = 1,
    gap: int = 0,
    row_padding: int = 0,
    big: bool = False,
) -> PointCloud2View:
    """[N, len(names)] values as a cloud with the fields in this order, ``gap`` bytes between."""
    order = ">" if big else "<"
    fields, offset = [], gap
    for name, kind in zip(names, types, strict=True):
        fields.append(PointFieldView(name, offset, kind, 1))
        offset += np.dtype(_TYPES[kind]).itemsize + gap
    width = points.shape[0] // height
    row_step = width * offset + row_padding
    data = bytearray(b"\xee" * (row_step * height))
    for index, point in enumerate(points):
        row, column = divmod(index, width)
        for field, value in zip(fields, point, strict=True):
            item = np.array(value).astype(order + _TYPES[field.datatype]).tobytes()
            start = row * row_step + column * offset + field.offset
            data[start : start + len(item)] = item
    return PointCloud2View(
        _HEADER, height, width, tuple(fields), big, offset, row_step, memoryview(bytes(data)), True
    )


def write(message: PointCloud2View) -> np.ndarray:
    target = np.full((cloud_points(message), 4), 99.0, np.float32)
    write_cloud(message, target)
    return target


@given(
    st.permutations(["x", "y", "z", "intensity", "ring"]),
    st.lists(st.sampled_from(sorted(_TYPES)), min_size=5, max_size=5),
    st.integers(0, 5),
    st.sampled_from([1, 2, 3]),
    st.integers(0, 7),
    st.booleans(),
)
def test_any_layout_of_a_cloud_gives_the_same_points(
    names: list[str], types: list[int], gap: int, height: int, row_padding: int, big: bool
) -> None:
    values = np.random.default_rng(3).integers(0, 100, (6, 5))
    message = cloud(values, names, types, height=height, gap=gap, row_padding=row_padding, big=big)
    columns = [names.index(name) for name in ("x", "y", "z", "intensity")]
    np.testing.assert_array_equal(write(message), values[:, columns].astype(np.float32))


def test_a_cloud_without_intensity_gets_zeros() -> None:
    out = write(cloud(np.ones((3, 3)), ["x", "y", "z"], [_F4] * 3))
    np.testing.assert_array_equal(out, [[1, 1, 1, 0]] * 3)


def test_points_that_are_not_numbers_stay_so() -> None:
    out = write(cloud(np.full((2, 3), np.nan), ["x", "y", "z"], [_F4] * 3))
    assert np.isnan(out[:, :3]).all()


def test_a_cloud_without_z_is_refused() -> None:
    with pytest.raises(InputError, match="'z'"):
        write(cloud(np.ones((2, 2)), ["x", "y"], [_F4] * 2))


def test_an_empty_cloud_is_refused() -> None:
    message = PointCloud2View(_HEADER, 1, 0, (), False, 16, 0, memoryview(b""), True)
    with pytest.raises(InputError, match="empty"):
        cloud_points(message)


def test_a_cloud_cut_short_is_refused() -> None:
    whole = cloud(np.ones((4, 3)), ["x", "y", "z"], [_F4] * 3)
    short = PointCloud2View(_HEADER, 1, 4, whole.fields, False, 12, 48, whole.data[:-1], True)
    with pytest.raises(InputError, match="cut short"):
        cloud_points(short)


def test_points_that_lie_inside_each_other_are_refused() -> None:
    """A few bytes would be as many points as the message cares to say."""
    data = memoryview(bytes(12))
    with pytest.raises(InputError, match="point_step is zero"):
        cloud_points(PointCloud2View(_HEADER, 1, 2**32 - 1, (), False, 0, 0, data, True))
    with pytest.raises(InputError, match="row_step is smaller"):
        cloud_points(PointCloud2View(_HEADER, 2**32 - 1, 1, (), False, 12, 0, data, True))


def test_a_field_outside_the_point_is_refused() -> None:
    fields = tuple(PointFieldView(name, 10, _F4, 1) for name in "xyz")
    message = PointCloud2View(_HEADER, 1, 1, fields, False, 12, 12, memoryview(bytes(12)), True)
    with pytest.raises(InputError, match="outside the point"):
        write(message)


@given(
    st.integers(0, 20) | st.integers(0, 2**32 - 1),
    st.integers(0, 20) | st.integers(0, 2**32 - 1),
    st.integers(0, 40) | st.integers(0, 2**32 - 1),
    st.integers(0, 200) | st.integers(0, 2**32 - 1),
    st.lists(
        st.builds(
            PointFieldView,
            st.sampled_from(["x", "y", "z", "intensity", "rgb"]),
            st.integers(0, 40) | st.integers(0, 2**32 - 1),
            st.integers(0, 255),
            st.integers(0, 2**32 - 1),
        ),
        max_size=6,
    ),
    st.booleans(),
    st.binary(max_size=400),
)
def test_any_cloud_is_written_or_refused(
    height: int,
    width: int,
    point_step: int,
    row_step: int,
    fields: list[PointFieldView],
    big: bool,
    data: bytes,
) -> None:
    message = PointCloud2View(
        _HEADER, height, width, tuple(fields), big, point_step, row_step, memoryview(data), True
    )
    try:
        if cloud_points(message) <= 1000:  # a slot refuses larger ones
            write(message)
    except InputError:
        return


def scan(ranges: list[float], intensities: list[float], big: bool = False) -> LaserScanView:
    order = ">f4" if big else "<f4"
    return LaserScanView(
        _HEADER,
        0.0,
        math.pi / 2,
        0.5,
        10.0,
        memoryview(np.array(ranges, order).tobytes()),
        memoryview(np.array(intensities, order).tobytes()),
        big,
    )


@pytest.mark.parametrize("big", [False, True])
def test_a_scan_becomes_points(big: bool) -> None:
    target = np.empty((4, 4), np.float32)
    write_scan(scan([1.0, 2.0, 3.0, 4.0], [5, 6, 7, 8], big), target)
    expected = [[1, 0, 0, 5], [0, 2, 0, 6], [-3, 0, 0, 7], [0, -4, 0, 8]]
    np.testing.assert_allclose(target, expected, atol=1e-5)


def test_what_a_scan_did_not_measure_is_no_point_and_the_farthest_range() -> None:
    message = scan([0.1, math.inf, math.nan, 2.0], [])
    assert scan_ranges(message) == 4
    points = np.empty((4, 4), np.float32)
    write_scan(message, points)
    assert np.isnan(points[:3, :2]).all() and np.isfinite(points[3]).all()
    assert (points[:, 3] == 0).all()
    ranges = np.empty(4, np.float32)
    assert write_scan(message, ranges) == 3
    np.testing.assert_array_equal(ranges, [10, 10, 10, 2])
    assert write_scan(message, ranges, Invalid.ZERO) == 3
    np.testing.assert_array_equal(ranges, [0, 0, 0, 2])
    assert write_scan(message, ranges, Invalid.KEEP) == 3
    np.testing.assert_array_equal(ranges, np.array([0.1, np.inf, np.nan, 2.0], np.float32))


def test_an_endless_range_stands_for_nothing() -> None:
    endless = replace(scan([1.0, math.inf], []), range_max=math.inf)
    ranges = np.empty(2, np.float32)
    with pytest.raises(InputError, match=r"1 of 2 ranges are no measurement.*invalid: zero"):
        write_scan(endless, ranges)
    assert write_scan(endless, ranges, Invalid.ZERO) == 1
    np.testing.assert_array_equal(ranges, [1, 0])
    whole = replace(scan([1.0, 2.0], []), range_max=math.inf)
    assert write_scan(whole, ranges) == 0


def test_an_empty_scan_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        scan_ranges(scan([], []))


@given(
    st.floats(width=32),
    st.floats(width=32),
    st.floats(width=32),
    st.floats(width=32),
    st.lists(st.floats(width=32), min_size=1, max_size=20),
    st.lists(st.floats(width=32), max_size=20),
)
@pytest.mark.filterwarnings("error")
def test_any_scan_is_written_without_a_word(
    start: float,
    step: float,
    low: float,
    high: float,
    ranges: list[float],
    intensities: list[float],
) -> None:
    message = LaserScanView(
        _HEADER,
        start,
        step,
        low,
        high,
        memoryview(np.array(ranges, "<f4").tobytes()),
        memoryview(np.array(intensities, "<f4").tobytes()),
        False,
    )
    write_scan(message, np.empty((len(ranges), 4), np.float32))
    for invalid in Invalid:
        write_scan(message, np.empty(len(ranges), np.float32), invalid)
