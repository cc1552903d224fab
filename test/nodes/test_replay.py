"""The replay node over DDS."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.replay import ReplayNode, main

WAIT_SECONDS = 100.0


def played(config: Path, count: int) -> tuple[list[Image], bool]:
    """Run a replay node until ``count`` images were heard, or it is at its end."""
    context = Context()
    rclpy.init(context=context)
    heard: list[Image] = []
    listener = Node("listener", context=context)
    listener.create_subscription(Image, "/camera", heard.append, 50)
    executor = NodeExecutor(context=context)
    executor.add_node(listener)
    node = ReplayNode(context=context, parameter_overrides=[Parameter("config", value=str(config))])
    executor.add_node(node)

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            return

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    end = time.monotonic() + WAIT_SECONDS
    while len(heard) < count and not node.finished.is_set():
        assert time.monotonic() < end, f"only {len(heard)} images came"
        time.sleep(0.01)
    node.close()
    executor.shutdown()
    thread.join(timeout=100.0)
    for each in (listener, node):
        each.destroy_node()  # others of these names may follow in this process
    rclpy.try_shutdown(context=context)
    return heard, node.failed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for at in range(3):
        cv2.imwrite(str(tmp_path / f"{at}.png"), np.full((4, 6, 3), at, np.uint8))
    return tmp_path


def test_a_loop_begins_again_with_fresh_stamps(folder: Path) -> None:
    config = folder / "replay.yaml"
    config.write_text(
        f"sources: [{{images: '{folder}', topic: /camera, rate_hz: 50, qos: reliable}}]"
    )
    heard, failed = played(config, 7)
    assert not failed
    values = [bytes(each.data)[0] for each in heard]
    # Where the listener joined is chance, the order is not.
    assert values == [(values[0] + at) % 3 for at in range(len(values))]
    stamps = [each.header.stamp.sec * 10**9 + each.header.stamp.nanosec for each in heard]
    assert stamps == sorted(set(stamps))
    assert abs(stamps[0] / 1e9 - time.time()) < WAIT_SECONDS


def test_it_ends_with_its_last_recording_and_says_what_broke(folder: Path) -> None:
    (folder / "1.png").write_bytes(b"damaged")
    config = folder / "replay.yaml"
    config.write_text(
        f"sources: [{{images: '{folder}', topic: /camera, rate_hz: 50, loop: false}}]"
    )
    heard, failed = played(config, 1000)
    assert failed
    assert all(bytes(each.data)[0] == 0 for each in heard)


def test_a_topic_that_is_refused_is_reported_and_ends_the_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = folder / "replay.yaml"
    config.write_text(f"sources: [{{images: '{folder}', topic: /camera, rate_hz: 50}}]")

    make = ReplayNode.create_publisher

    def refuse(
        self: ReplayNode, kind: object, topic: str, *more: object, **named: object
    ) -> object:
        if topic == "/camera":
            raise RuntimeError("could not create publisher: not allowed")
        return make(self, kind, topic, *more, **named)

    monkeypatch.setattr(ReplayNode, "create_publisher", refuse)
    assert main(["--ros-args", "-p", f"config:={config}"]) == 1
    gc.collect()  # until then, other tests of this process would find its node in the graph
    said = capfd.readouterr().err
    assert "/camera cannot be published: RuntimeError: could not create publisher" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sources: [{video: /nowhere.mp4, topic: /camera}]", "/nowhere.mp4"),
        ("sources: !!int ''", "'' is no int"),
        ("sources: 2020-99-99", "'2020-99-99' is no timestamp"),
    ],
)
def test_the_program_names_what_it_cannot_play(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, named: str
) -> None:
    config = tmp_path / "replay.yaml"
    config.write_text(text)
    assert main(["--ros-args", "-p", f"config:={config}"]) == 2
    gc.collect()
    assert named in capsys.readouterr().err
