"""A picture that takes long to decode delays its own topic only, and every frame is accounted for.

Over DDS; what decodes is held by an event, so that nothing depends on how long it takes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from aegis_ros.msg import Rationale
from aegis_ros.srv import RegisterModel, UnregisterModel
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from aegis_ros.nodes import intake
from test.nodes.system import WAIT_SECONDS, Asked, System, running
from test.orchestrator.house import House

LARGEST = (1080, 1920)


class Held:
    """The decoder's boundary: holds those that decode until they are let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.threads: set[str] = set()

    def at(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def held(*arguments: Any) -> Any:
            self.threads.add(threading.current_thread().name)
            self.begun.set()
            assert self.go.wait(WAIT_SECONDS)
            return function(*arguments)

        return held


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held()
    monkeypatch.setattr(intake, "decode_compressed", held.at(intake.decode_compressed))
    yield held
    held.go.set()


@pytest.fixture(scope="module")
def picture() -> bytes:
    """The largest that the task takes, progressive: what takes longest to decode."""
    ramp = np.add.outer(np.arange(LARGEST[0]), np.arange(LARGEST[1])).astype(np.uint8)
    pixels = np.dstack([ramp, ramp[::-1], ramp[:, ::-1]])
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


def _sent(system: System, picture: bytes) -> CompressedImage:
    message = CompressedImage(format="jpeg")
    message.header.stamp = system.robot.get_clock().now().to_msg()
    message.data = picture
    return message


def _watched(system: System) -> Any:
    """Register a task on compressed pictures; return what publishes them."""
    task = system.task(
        "slow", input__type="sensor_msgs/msg/CompressedImage", input__max_size=list(LARGEST)
    )
    assert system.call(RegisterModel, task=task).admitted
    system.listen("slow")
    return system.camera("slow", CompressedImage)


def _of_kind(system: System, kind: str) -> list[Rationale]:
    return [each for each in system.rationales if each.kind == kind]


def _change(system: System, verb: int) -> Asked:
    return system.ask_node(ChangeState, "change_state", transition=Transition(id=verb))


def _frames(system: System) -> dict[str, int]:
    """Return the newest balance in the diagnostics."""
    for message in reversed(system.diagnostics):
        for status in message.status:
            if status.name.endswith(": frames"):
                return {each.key: int(each.value) for each in status.values}
    return {}


def _stamps(system: System, name: str) -> list[tuple[int, int]]:
    return [(each.header.stamp.sec, each.header.stamp.nanosec) for each in system.results_of(name)]


def test_frames_of_other_topics_are_handled_while_a_picture_is_decoded(
    tmp_path: Path, decoding: Held, picture: bytes
) -> None:
    with running(tmp_path) as system:
        slow = _watched(system)
        assert system.call(RegisterModel, task=system.task("fast")).admitted
        system.listen("fast")
        fast = system.camera("fast")
        system.until(decoding.begun.is_set, lambda: slow.publish(_sent(system, picture)))
        system.until(
            lambda: len(system.results_of("fast")) >= 3, lambda: fast.publish(system.image())
        )
        assert not system.results_of("slow")
        decoding.go.set()
        system.until(lambda: system.results_of("slow"))
    assert decoding.threads == {"unpack"}


def test_of_the_pictures_that_wait_the_newest_is_decoded_and_the_others_are_told(
    tmp_path: Path, decoding: Held, picture: bytes
) -> None:
    with running(tmp_path) as system:
        slow = _watched(system)
        system.until(
            lambda: _of_kind(system, "frame_outpaced"),
            lambda: slow.publish(_sent(system, picture)),
        )
        (told,) = _of_kind(system, "frame_outpaced")
        assert (told.task, told.decision, told.rule) == ("slow", "skipped", "newer_frame")
        decoding.go.set()
        system.until(lambda: len(system.results_of("slow")) >= 2)
        stamps = _stamps(system, "slow")
        assert stamps == sorted(stamps)
        frames = system.until(
            lambda: (
                (found := _frames(system)).get("results", 0) >= 2
                and found["in_flight"] == 0
                and found
            )
        )
        assert frames["received"] == frames["results"] + frames["skipped"]


@pytest.mark.parametrize("large", [True, False])
def test_a_small_frame_does_not_overtake_a_large_one_of_its_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """An uncompressed one is held up where it is large, and then what follows it waits."""
    held = Held()
    plain, blocked = intake.write_frame, held.at(intake.write_frame)
    monkeypatch.setattr(intake, "_LARGE_BYTES", 1_000)
    monkeypatch.setattr(
        intake,
        "write_frame",
        lambda stream, *rest: (
            blocked(stream, *rest)
            if stream.topic == "/eye/image" and not held.begun.is_set()
            else plain(stream, *rest)
        ),
    )
    with running(tmp_path) as system:
        assert system.call(RegisterModel, task=system.task("eye")).admitted
        system.listen("eye")
        camera = system.camera("eye")
        first = system.image()
        if large:
            first = Image(height=24, width=32, encoding="rgb8", step=96, data=bytes(96 * 24))
            first.header.stamp = system.robot.get_clock().now().to_msg()
        if not large:
            held.go.set()  # what is small is written by the thread that takes it in
        system.until(held.begun.is_set, lambda: camera.publish(first))
        if large:
            system.until(
                lambda: _of_kind(system, "frame_outpaced"),
                lambda: camera.publish(system.image()),
            )
            assert not system.results_of("eye")
            held.go.set()
        system.until(
            lambda: len(system.results_of("eye")) >= 2, lambda: camera.publish(system.image())
        )
        stamps = _stamps(system, "eye")
        assert stamps[0] == (first.header.stamp.sec, first.header.stamp.nanosec)
        assert stamps == sorted(stamps)
    assert ("unpack" in held.threads) is large


@pytest.mark.parametrize(
    "ends", [Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVE_SHUTDOWN]
)
def test_pictures_that_are_not_decoded_when_the_node_stops_are_told(
    tmp_path: Path, decoding: Held, picture: bytes, ends: int
) -> None:
    with running(tmp_path) as system:
        slow = _watched(system)
        system.until(
            lambda: _of_kind(system, "frame_outpaced"),  # one is decoded, and one waits
            lambda: slow.publish(_sent(system, picture)),
        )
        asked = _change(system, ends)
        # Told before the decoder is through: nobody waits for it to know what became of them.
        system.until(lambda: _of_kind(system, "frame_withdrawn"))
        if ends == Transition.TRANSITION_DEACTIVATE:
            assert asked.result_in_time().success
            frames = system.until(
                lambda: (
                    (found := _frames(system)).get("in_flight") == 0
                    and found["received"] > 2
                    and found
                )
            )
            assert frames["received"] == frames["skipped"]
        decoding.go.set()
        assert asked.result_in_time().success
        if ends == Transition.TRANSITION_DEACTIVATE:
            assert _change(system, Transition.TRANSITION_ACTIVATE).result_in_time().success
            before = system.robot.get_clock().now().to_msg()
            system.until(
                lambda: len(system.results_of("slow")) >= 5,  # more than there are slots
                lambda: slow.publish(_sent(system, picture)),
            )
            assert min(_stamps(system, "slow")) > (before.sec, before.nanosec)


def test_a_task_that_is_removed_while_its_picture_is_decoded_leaves_nothing_unaccounted_for(
    tmp_path: Path, decoding: Held, picture: bytes
) -> None:
    with running(tmp_path) as system:
        slow = _watched(system)
        system.until(
            lambda: _of_kind(system, "frame_outpaced"),
            lambda: slow.publish(_sent(system, picture)),
        )
        assert system.call(UnregisterModel, name="slow").success
        decoding.go.set()
        frames = system.until(
            lambda: (
                (found := _frames(system)).get("received", 0) > 2
                and found["in_flight"] == 0
                and found
            )
        )
        assert frames["received"] == frames["skipped"]
        assert not system.results_of("slow")


@pytest.mark.parametrize("damaged", [False, True])
def test_what_is_ready_after_its_stream_has_ended_gives_its_slot_back_and_is_told_once(
    tmp_path: Path, damaged: bool
) -> None:
    house = House(tmp_path)
    orchestrator = house.start()
    orchestrator.register(house.task())
    clock = SimpleNamespace(ros_time_is_active=False)
    node: Any = SimpleNamespace(get_clock=lambda: clock)
    sensors = intake.SensorIntake(node, orchestrator, lambda tasks: False, str)
    (stream,) = orchestrator.intake.streams()
    raw = serialize_message(Image(height=16, width=24, encoding="rgb8", step=72, data=bytes(1152)))
    now = time.monotonic_ns()
    for number in range(50):  # more than there are slots
        wanted = orchestrator.intake.want(stream.key, now + number * 100_000_000)
        assert wanted is not None
        message = intake._Message(wanted, raw[:-1] if damaged else raw)
        end = sensors._unpack(stream, None, message)
        orchestrator.intake.withdraw(wanted)
        end(False)
    (task,) = orchestrator.status().tasks
    assert (task.received, task.skipped, task.in_flight) == (50, 50, 0)
    assert not house.engine.submitted
    orchestrator.cleanup()


def test_a_node_that_ends_waits_for_a_while_for_what_is_being_decoded(tmp_path: Path) -> None:
    waited: list[float] = []
    house = House(tmp_path)
    node: Any = SimpleNamespace(get_clock=lambda: None)
    sensors = intake.SensorIntake(node, house.start(), lambda tasks: False, str)
    leaving: Any = SimpleNamespace(join=waited.append)
    sensors._leaving = [leaving]
    sensors.close()
    assert len(waited) == 1 and 0.0 < waited[0] <= intake._END_SECONDS
    house.orchestrator.cleanup()
