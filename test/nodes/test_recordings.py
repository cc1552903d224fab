"""Recordings of every kind, whole and damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CompressedImage, Image, LaserScan

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.recordings import Recorded, open_recording
from aegis_ros.nodes.replay_config import Source, load_replay, locate

POINTS = np.array([[1, 2, 3, 0.5], [-4, 5.5, -6, 1.0]], np.float32)


def play(**values: Any) -> list[Recorded]:
    source = Source(topic=values.pop("topic", "/t"), **values)
    return list(open_recording(source, locate(source)))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for at, value in enumerate((30, 60, 90)):
        cv2.imwrite(str(tmp_path / f"{at}.png"), np.full((4, 6, 3), (value, 0, 0), np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_a_folder_of_pictures_is_played_in_the_order_of_names(pictures: Path) -> None:
    played = play(images=str(pictures), rate_hz=4.0)
    assert [each.time_s for each in played] == [0.0, 0.25, 0.5]
    assert [bytes(each.message.data)[0] for each in played] == [30, 60, 90]
    message = played[0].message
    assert (message.height, message.width, message.step, message.encoding) == (4, 6, 18, "bgr8")


@pytest.mark.parametrize(
    ("encoding", "kind", "pixel"),
    [
        ("rgb8", Image, [0, 0, 30]),
        ("mono8", Image, [3]),
        ("png", CompressedImage, None),
        ("jpeg", CompressedImage, None),
    ],
)
def test_pictures_come_in_the_encoding_asked_for(
    pictures: Path, encoding: str, kind: type, pixel: list[int] | None
) -> None:
    first = play(images=str(pictures / "0.png"), rate_hz=1.0, encoding=encoding)[0]
    assert first.kind is kind
    if pixel is not None:
        assert list(bytes(first.message.data)[: len(pixel)]) == pixel
    else:
        decoded = cv2.imdecode(np.frombuffer(first.message.data, np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape == (4, 6, 3)


def test_crop_and_size_are_applied_in_this_order(pictures: Path) -> None:
    first = play(images=str(pictures), rate_hz=1.0, crop=[1, 2, 2, 3], size=[10, 20])[0]
    assert (first.message.height, first.message.width) == (10, 20)
    with pytest.raises(ConfigError, match="crop lies outside"):
        play(images=str(pictures), rate_hz=1.0, crop=[3, 0, 2, 3])


def test_a_video_keeps_its_own_timing_or_is_thinned(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (32, 16))
    for at in range(10):
        writer.write(np.full((16, 32, 3), at * 20, np.uint8))
    writer.release()
    own = play(video=str(path))
    assert [round(each.time_s, 3) for each in own] == [at / 20 for at in range(10)]
    thinned = play(video=str(path), rate_hz=10.0)
    assert [round(each.time_s, 3) for each in thinned] == [at / 10 for at in range(5)]


def _pcd(form: str) -> bytes:
    head = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\n"
        "COUNT 1 1 1 1\nWIDTH 2\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\n"
        f"DATA {form}\n"
    ).encode()
    if form == "binary":
        return head + POINTS.tobytes()
    return head + "\n".join(" ".join(str(value) for value in row) for row in POINTS).encode()


def _ply() -> bytes:
    head = (
        "ply\nformat binary_little_endian 1.0\nelement vertex 2\n"
        "property float x\nproperty float y\nproperty float z\nend_header\n"
    )
    return head.encode() + np.ascontiguousarray(POINTS[:, :3]).tobytes()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("kitti.bin", POINTS.tobytes(), POINTS),
        ("text.pcd", _pcd("ascii"), POINTS),
        ("packed.pcd", _pcd("binary"), POINTS),
        ("scan.ply", _ply(), POINTS * [1, 1, 1, 0]),
    ],
    ids=["bin", "pcd-ascii", "pcd-binary", "ply"],
)
def test_sweeps_of_every_format_give_the_same_points(
    tmp_path: Path, name: str, content: bytes, expected: np.ndarray
) -> None:
    (tmp_path / name).write_bytes(content)
    message = play(clouds=str(tmp_path), rate_hz=10.0)[0].message
    assert (message.width, message.point_step) == (2, 16)
    points = np.frombuffer(bytes(message.data), "<f4").reshape(-1, 4)
    np.testing.assert_allclose(points, expected)


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("images", "bad.png", b"\x89PNG\r\n\x1a\nnothing"),
        ("clouds", "bad.bin", b"12345"),
        ("clouds", "bad.pcd", b"FIELDS x y z\nPOINTS 5\nTYPE F F F\nSIZE 4 4 4\nDATA binary\n"),
        ("clouds", "huge.pcd", b"FIELDS x\nPOINTS 99999999999\nTYPE F\nSIZE 4\nDATA ascii\n1"),
        ("clouds", "bad.ply", b"ply\nformat nonsense"),
        ("video", "bad.mp4", b"nothing at all"),
        ("bag", "bad.db3", b"nothing at all"),
    ],
)
def test_a_damaged_recording_is_named(tmp_path: Path, kind: str, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=name):
        play(**{kind: str(tmp_path / name)}, **({} if kind in ("bag", "video") else {"rate_hz": 1}))


def test_a_bag_is_played_as_it_was_recorded(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    scans = []
    with Writer(tmp_path / "bag", version=9) as writer:
        connection = writer.add_connection("/scan", "sensor_msgs/msg/LaserScan", typestore=store)
        other = writer.add_connection("/other", "std_msgs/msg/Header", typestore=store)
        for at in range(3):
            scan = LaserScan(ranges=[float(at), 2.0])
            scan.header.frame_id = f"laser{at}"
            scans.append(bytes(serialize_message(scan)))
            writer.write(connection, 1_000_000_000 + at * 50_000_000, scans[-1])
        writer.write(other, 1_100_000_000, b"\0\1\0\0" + bytes(16))
    played = play(bag=str(tmp_path / "bag"), topic="/scan")
    assert [each.raw for each in played] == scans
    assert [round(each.time_s, 3) for each in played] == [0.0, 0.05, 0.1]
    raw = played[2].raw
    assert raw is not None
    assert deserialize_message(raw, LaserScan).header.frame_id == "laser2"
    everything = play(bag=str(tmp_path / "bag"), topic="")
    assert {each.topic for each in everything} == {"/scan", "/other"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sources: []", "sources"),
        ("sources: [{images: a, video: b, topic: /t}]", "exactly one"),
        ("sources: [{images: a, rate_hz: 1}]", "topic"),
        ("sources: [{clouds: a, topic: /t}]", "rate_hz"),
        ("sources: [{video: a, topic: /t, speed: 2}]", "speed"),
        ("sources: [{video: a, topic: /t, stamp: original}]", "bags"),
        ("sources: [{bag: a, rate_hz: 5}]", "rate_hz has no effect with bag"),
        ("sources: [{bag: a, size: [4, 4]}]", "size has no effect with bag"),
        ("sources: [{bag: a, crop: [0, 0, 4, 4]}]", "crop has no effect with bag"),
        ("sources: [{bag: a, encoding: jpeg}]", "encoding has no effect with bag"),
        ("sources: [{bag: a, frame_id: eye}]", "frame_id has no effect with bag"),
        ("sources: [{clouds: a, topic: /t, rate_hz: 1, size: [4, 4]}]", "size has no effect"),
        ("{speed: yes, sources: [{video: a, topic: /t}]}", "expected a number"),
        ("sources: [{video: a, topic: /t, rate_hz: yes}]", "expected a number"),
        ("{", "not valid YAML"),
        ("sources: [{video: a, topic: /t, encoding: yuv}]", "'bgr8', 'rgb8', 'mono8'"),
        ("a: &a [1]\nb: *a", "aliases"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused_in_words(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "replay.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_replay(path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    for uri in (str(tmp_path / "absent"), "demo://absent.png", "pypi://no-such/thing.mp4"):
        with pytest.raises(ConfigError, match="images"):
            locate(Source(images=uri, topic="/t", rate_hz=1.0))
