"""Turns point clouds and laser scans into rows of x, y, z, intensity, straight into a slot."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import InputError
from aegis_ros.nodes.cdr import LaserScanView, PointCloud2View, PointFieldView
from aegis_ros.spec import Invalid

__all__ = ["cloud_points", "scan_ranges", "write_cloud", "write_scan"]

_Array = npt.NDArray[np.generic]
_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_LONGEST = float(np.finfo(np.float32).max)
_INTENSITY_NAMES = ("intensity", "intensities", "i", "reflectivity")


def cloud_points(cloud: PointCloud2View) -> int:
    """Return the number of points.

    Raises:
        InputError: there are none, or sizes and data do not fit together.
    """
    points = cloud.height * cloud.width
    if points == 0:
        raise InputError(
            "the cloud is empty",
            where="height, width",
            value=[cloud.height, cloud.width],
            expected="at least one point",
        )
    if cloud.point_step == 0:
        raise InputError(
            "point_step is zero", where="point_step", value=0, expected="the bytes of one point"
        )
    if cloud.row_step < cloud.width * cloud.point_step:
        raise InputError(
            "row_step is smaller than a row of points",
            where="row_step",
            value=cloud.row_step,
            expected=f"at least {cloud.width * cloud.point_step}",
        )
    need = cloud.row_step * (cloud.height - 1) + cloud.width * cloud.point_step
    if len(cloud.data) < need:
        raise InputError(
            "the cloud is cut short",
            where="data",
            value=f"{len(cloud.data)} bytes",
            expected=f"at least {need}",
        )
    return points


def write_cloud(cloud: PointCloud2View, target: _Array) -> None:
    """Write x, y, z, intensity of every point; a cloud without intensity gets zeros.

    Args:
        cloud: any field order, type, step and endianness, organised or not.
        target: float32 [points, 4], points as :func:`cloud_points` says. NaN stays NaN.

    Raises:
        InputError: x, y or z is missing or lies outside the point.
    """
    by_name = {field.name: field for field in cloud.fields}
    for column, name in enumerate(("x", "y", "z")):
        field = by_name.get(name)
        if field is None:
            raise InputError(
                f"the cloud has no field {name!r}",
                where="fields",
                value=", ".join(by_name) or "none",
                expected="x, y and z",
            )
        _copy_field(cloud, field, target, column)
    intensity = next((by_name[name] for name in _INTENSITY_NAMES if name in by_name), None)
    if intensity is None:
        target[:, 3] = 0.0
    else:
        _copy_field(cloud, intensity, target, 3)


def scan_ranges(scan: LaserScanView) -> int:
    """Return the number of ranges.

    Raises:
        InputError: there are none.
    """
    count = len(scan.ranges) // 4
    if count == 0:
        raise InputError(
            "the scan is empty", where="ranges", value=0, expected="at least one range"
        )
    return count


def write_scan(scan: LaserScanView, target: _Array, invalid: Invalid | None = None) -> int:
    """Write a scan, as points or as ranges.

    Args:
        scan: ranges outside [range_min, range_max] are no measurement (REP 117).
        target: float32 [ranges, 4] for points (NaN where there is no measurement) or float32
            [ranges] for ranges.
        invalid: of ranges, what stands where there is no measurement: ``range_max``, or 0, or
            what the message says.

    Returns:
        Of ranges, how many are no measurement.

    Raises:
        InputError: ``range_max`` would stand for some, and is no number.
    """
    order = ">" if scan.bigendian else "<"
    ranges = np.frombuffer(scan.ranges, order + "f4")
    longest = min(scan.range_max, _LONGEST)
    with np.errstate(invalid="ignore"):
        measured = (ranges >= scan.range_min) & (ranges <= longest)
    if target.ndim == 1:
        return _write_ranges(scan, ranges, measured, target, invalid=invalid)
    valid = np.where(measured, ranges, np.float32(np.nan))
    with np.errstate(invalid="ignore", over="ignore"):  # absurd angles give NaN
        angles = scan.angle_min + scan.angle_increment * np.arange(ranges.size)
        target[:, 0] = valid * np.cos(angles)
        target[:, 1] = valid * np.sin(angles)
    target[:, 2] = 0.0
    intensities = np.frombuffer(scan.intensities, order + "f4")
    target[:, 3] = intensities if intensities.size == ranges.size else 0.0
    return 0


def _write_ranges(
    scan: LaserScanView,
    ranges: _Array,
    measured: npt.NDArray[np.bool_],
    target: _Array,
    *,
    invalid: Invalid | None,
) -> int:
    absent = ranges.size - int(np.count_nonzero(measured))
    if not absent or invalid is Invalid.KEEP:
        target[:] = ranges
        return absent
    if invalid is None and not math.isfinite(scan.range_max):
        raise InputError(
            f"{absent} of {ranges.size} ranges are no measurement, and range_max is to stand for "
            "them",
            where="range_max",
            value=scan.range_max,
            expected="a finite number",
            hint="Have the driver fill in range_max, or declare invalid: zero",
        )
    stand_in = np.float32(0.0 if invalid is Invalid.ZERO else scan.range_max)
    target[:] = np.where(measured, ranges, stand_in)
    return absent


def _copy_field(cloud: PointCloud2View, field: PointFieldView, target: _Array, column: int) -> None:
    kind = _DATATYPES.get(field.datatype)
    if kind is None:
        raise InputError(
            f"field {field.name!r} has an unknown type",
            where="fields",
            value=field.datatype,
            expected="1 to 8 (sensor_msgs/PointField)",
        )
    element = np.dtype((">" if cloud.is_bigendian else "<") + kind)
    if field.offset + element.itemsize > cloud.point_step:
        raise InputError(
            f"field {field.name!r} lies outside the point",
            where="fields",
            value=f"offset {field.offset}",
            expected=f"within point_step {cloud.point_step}",
        )
    values = np.ndarray(
        (cloud.height, cloud.width),
        element,
        buffer=cloud.data,
        offset=field.offset,
        strides=(cloud.row_step, cloud.point_step),
    )
    grid = target.reshape(cloud.height, cloud.width, 4)  # a view: the slot is contiguous
    with np.errstate(invalid="ignore", over="ignore"):  # what float32 cannot hold becomes inf
        grid[:, :, column] = values
