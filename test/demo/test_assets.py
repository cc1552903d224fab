from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from aegis_ros.demo import assets
from aegis_ros.errors import AegisError

HEADER = (
    "ply\nformat {format} 1.0\nelement vertex {count}\nproperty float x\nproperty float y\n"
    "property float z\nproperty float {last}\nend_header\n"
)


def ply(
    points: np.ndarray,
    *,
    layout: str = "binary_little_endian",
    last: str = "scalar_intensity",
    count: int | None = None,
) -> bytes:
    header = HEADER.format(format=layout, count=len(points) if count is None else count, last=last)
    return header.encode() + points.astype("<f4").tobytes()


POINTS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize("clip", [assets.bikes_video, assets.carphone_video])
def test_clips_can_be_read(clip) -> None:  # type: ignore[no-untyped-def]
    read, frame = cv2.VideoCapture(str(clip())).read()
    assert read and frame.size


def test_a_photograph_that_is_not_there_names_the_package() -> None:
    assert assets.photograph().is_file()
    with pytest.raises(AegisError, match="scikit-image"):
        assets.photograph("nobody.png")


def test_points_are_read_from_ply() -> None:
    assert np.array_equal(assets.read_ply(ply(POINTS)), POINTS)
    without = assets.read_ply(ply(POINTS, last="time"))
    assert np.array_equal(without, POINTS * [1, 1, 1, 0])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ply\n",
        ply(POINTS, layout="ascii"),
        ply(POINTS, count=4),
        ply(POINTS)[:-1],
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(AegisError, match="point cloud"):
        assets.read_ply(data)


def test_scans_come_from_the_cache_once_they_are_there(tmp_path: Path) -> None:
    with pytest.raises(AegisError, match="not in the cache"):
        assets.lidar_scans(tmp_path, fetch=False)
    (tmp_path / "scans").mkdir()
    for name in ("source.bin", "target.bin"):
        POINTS.tofile(tmp_path / "scans" / name)
    found = assets.lidar_scans(tmp_path, fetch=False)
    assert np.array_equal(np.fromfile(found[0], np.float32).reshape(-1, 4), POINTS)
