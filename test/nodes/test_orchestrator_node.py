from __future__ import annotations

import itertools
import os
import signal
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from aegis_ros.action import ProfileModel
from aegis_ros.msg import KeypointArray
from aegis_ros.srv import (
    EvaluateModel,
    ListModels,
    RegisterModel,
    SetTaskEnabled,
    UnregisterModel,
)
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32MultiArray

from aegis_ros.decoders import Decoded, DepthMap, Detections, Embedding, SegmentationMask
from aegis_ros.decoders.raw import RawDecoder
from test.nodes.system import SIZE, System, running

_numbers = itertools.count()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot")) as each:
        yield each


@pytest.fixture
def admitted(system: System) -> Iterator[tuple[str, Any]]:
    """A task of its own for each test, with a camera that it hears."""
    name = f"t{next(_numbers)}"
    answer = system.call(RegisterModel, task=system.task(name))
    assert answer.admitted, answer.rationale.sentence
    system.listen(name)
    camera = system.camera(name)
    system.until(lambda: camera.get_subscription_count() > 0)
    yield name, camera
    system.call(UnregisterModel, name=name)
    system.robot.destroy_publisher(camera)


def test_a_frame_becomes_a_result_with_its_header_and_timing(
    system: System, admitted: tuple[str, Any]
) -> None:
    name, camera = admitted
    frame = system.image(value=42)
    system.until(lambda: system.results_of(name), lambda: camera.publish(frame))
    result = system.results_of(name)[0]
    assert result.header == frame.header
    (tensor,) = result.tensors
    assert (tensor.name, tensor.dtype, list(tensor.shape)) == ("output", "float32", [1, 3, *SIZE])
    np.testing.assert_array_equal(np.frombuffer(bytes(tensor.data), "<f4"), 42.0)
    timing = result.timing
    moments = [
        each.sec * 10**9 + each.nanosec
        for each in (
            timing.stamped,
            timing.received,
            timing.released,
            timing.started,
            timing.finished,
            timing.published,
        )
    ]
    assert moments == sorted(moments)
    assert timing.deadline.sec * 10**9 + timing.deadline.nanosec == moments[0] + 50_000_000
    assert len(result.model_sha256) == 64


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "Bad Name"}, "name"),
        ({"period_ms": 0.0}, "period_ms"),
        ({"period_ms": -5.0}, "period_ms"),
        ({"period_ms": float("nan")}, "period_ms"),
        ({"input__type": "sensor_msgs/msg/Imagee"}, "did you mean"),
        ({"output__decoder": "centrface"}, "centerface"),
        ({"output__options": "[1, 2"}, "options"),
        ({"model": "/etc/passwd"}, "roots"),
        ({"sha256": "0" * 64}, "digest"),
        ({"wcet_ms": 49.5}, "more than its deadline"),
        ({"input__topic": "/double__underscore"}, "topic"),
        ({"output__topic": "/diagnostics"}, "/diagnostics"),
    ],
)
def test_a_task_that_is_wrong_is_rejected_with_a_reason(
    system: System, changes: dict[str, Any], says: str
) -> None:
    before = len(system.call(ListModels).tasks)
    task = system.task("wrong", **changes)
    answer = system.call(RegisterModel, task=task)
    assert not answer.admitted
    assert answer.result != RegisterModel.Request.RESULT_ADMITTED
    assert says.lower() in answer.rationale.sentence.lower(), answer.rationale.sentence
    assert answer.rationale.decision == "rejected"
    assert len(system.call(ListModels).tasks) == before


def test_what_if_answers_as_register_would_and_changes_nothing(system: System) -> None:
    before = len(system.call(ListModels).tasks)
    task = system.task("maybe", period_ms=20.0, wcet_ms=2.0)
    answer = system.call(EvaluateModel, task=task)
    assert answer.admitted and answer.utilization_after > answer.utilization_before
    assert len(system.call(ListModels).tasks) == before
    greedy = system.task("greedy", period_ms=10.0, wcet_ms=9.5)
    refused = system.call(EvaluateModel, task=greedy)
    assert not refused.admitted
    really = system.call(RegisterModel, task=greedy)
    assert (really.admitted, really.result) == (refused.admitted, refused.result)


def test_a_registered_task_is_listed_as_it_was_sent(
    system: System, admitted: tuple[str, Any]
) -> None:
    name, _ = admitted
    (listed,) = [each for each in system.call(ListModels).tasks if each.spec.name == name]
    assert listed.spec.input.topic == f"/{name}/image"
    assert list(listed.spec.preprocess.size) == list(SIZE)
    assert listed.spec.period_ms == 50.0
    assert listed.wcet_source == "declared"
    assert system.call(EvaluateModel, task=listed.spec, without=[name]).admitted


def test_a_disabled_task_gets_no_frames_until_it_is_enabled(
    system: System, admitted: tuple[str, Any]
) -> None:
    name, camera = admitted
    frame = system.image()
    paused = system.call(SetTaskEnabled, name=name, enabled=False)
    assert paused.success and paused.result == RegisterModel.Request.RESULT_DONE

    def state() -> Any:
        return next(each for each in system.call(ListModels).tasks if each.spec.name == name)

    assert state().state == "disabled"
    for _ in range(5):
        camera.publish(frame)
    assert system.call(SetTaskEnabled, name=name, enabled=True).success
    system.until(lambda: system.results_of(name), lambda: camera.publish(frame))
    assert state().state == "running"


def test_unknown_names_are_answered(system: System) -> None:
    for kind, more in ((UnregisterModel, {}), (SetTaskEnabled, {"enabled": True})):
        answer = system.call(kind, name="nobody", **more)
        assert not answer.success
        assert answer.result == RegisterModel.Request.RESULT_INVALID_SPEC
        assert answer.rationale.rule == "unknown_task"


def _truncated(system: System) -> bytes:
    return bytes(serialize_message(system.image()))[:-200]


def _lying(system: System) -> bytes:
    raw = bytearray(serialize_message(system.image()))
    at = len(raw) - SIZE[0] * SIZE[1] * 3 - 4  # how many bytes of pixels follow
    raw[at : at + 4] = struct.pack("<I", 2**31)
    return bytes(raw)


def _wrong_encoding(system: System) -> bytes:
    return bytes(serialize_message(system.image(encoding="h264")))


def _zero_size(system: System) -> bytes:
    message = system.image()
    message.height = 0
    return bytes(serialize_message(message))


def _oversize(system: System) -> bytes:
    message = system.image()
    message.height, message.width, message.step = 65, 64, 192
    message.data = bytes(65 * 192)
    return bytes(serialize_message(message))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (_truncated, "cut short"),
        (_lying, "cut short"),
        (_wrong_encoding, "encoding"),
        (_zero_size, "impossible size"),
        (_oversize, "max_size"),
    ],
)
def test_a_bad_frame_is_reported_and_the_next_one_runs(
    system: System, admitted: tuple[str, Any], bad: Any, says: str
) -> None:
    name, camera = admitted
    raw = bad(system)
    system.until(
        lambda: any(each.rule == "bad_frame" and each.task == name for each in system.rationales),
        lambda: camera.publish(raw),
    )
    assert says in system.rationale("bad_frame", name).sentence
    system.until(lambda: system.results_of(name), lambda: camera.publish(system.image()))


@pytest.mark.parametrize("sec", [0, -5, 2**31 - 1, 1])
def test_an_absurd_stamp_is_kept_in_the_header_and_not_believed(
    system: System, admitted: tuple[str, Any], sec: int
) -> None:
    name, camera = admitted
    frame = system.image()
    frame.header.stamp.sec = sec
    system.until(lambda: system.results_of(name), lambda: camera.publish(frame))
    result = system.results_of(name)[0]
    assert result.header.stamp.sec == sec
    assert 0.0 <= result.timing.response_ms < 10_000.0
    if sec:
        assert "clock" in system.rationale("time_jump", name).sentence


def test_stamps_that_jump_back_are_reported(system: System, admitted: tuple[str, Any]) -> None:
    name, camera = admitted
    system.until(lambda: system.results_of(name), lambda: camera.publish(system.image()))
    old = system.image()
    old.header.stamp.sec -= 5
    system.until(
        lambda: any(each.rule == "time_jump" and each.task == name for each in system.rationales),
        lambda: camera.publish(old),
    )
    assert "back" in system.rationale("time_jump", name).sentence


def test_a_message_of_another_type_stops_nothing(system: System, admitted: tuple[str, Any]) -> None:
    name, camera = admitted
    stranger = system.robot.create_publisher(PointCloud2, f"/{name}/points", 1)
    stranger.publish(PointCloud2())
    system.until(lambda: system.results_of(name), lambda: camera.publish(system.image()))
    system.robot.destroy_publisher(stranger)


def test_a_decoder_that_raises_is_reported_and_the_tensors_come(
    system: System, admitted: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the decoder is broken")

    name, camera = admitted
    monkeypatch.setattr(RawDecoder, "decode", broken)
    system.until(lambda: system.results_of(name), lambda: camera.publish(system.image()))
    assert "the decoder is broken" in system.rationale("decoder_failed", name).sentence
    assert system.results_of(name)[0].tensors


MASK = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE)
METRES = MASK.astype(np.float32) / 10
POSE = Detections(
    np.asarray([[1, 2, 3, 4]], np.float32),
    np.ones(1, np.float32),
    ("person",),
    np.zeros((1, 17, 2), np.float32),
)


@pytest.mark.parametrize(
    ("decoded", "topic", "kind", "content"),
    [
        (SegmentationMask(MASK, ()), "mask", Image, ("mono8", MASK.tobytes())),
        (DepthMap(METRES), "depth", Image, ("32FC1", METRES.tobytes())),
        (Embedding(METRES[0]), "embedding", Float32MultiArray, METRES[0].tolist()),
        (POSE, "keypoints", KeypointArray, ["person"]),
    ],
    ids=["mask", "depth", "embedding", "keypoints"],
)
def test_what_other_nodes_read_is_published_beside_the_result(
    system: System,
    admitted: tuple[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    decoded: Decoded,
    topic: str,
    kind: type,
    content: Any,
) -> None:
    name, camera = admitted
    monkeypatch.setattr(RawDecoder, "decode", lambda *_: decoded)
    heard: list[Any] = []
    system.robot.create_subscription(kind, f"/{name}/result/{topic}", heard.append, 1)
    frame = system.image()
    system.until(lambda: heard, lambda: camera.publish(frame))
    message = heard[0]
    if kind is Image:
        assert (message.encoding, bytes(message.data)) == content
        assert (message.height, message.width) == SIZE and message.header == frame.header
    elif kind is KeypointArray:
        assert [each.label for each in message.sets] == content
    else:
        assert list(message.data) == content


def test_a_subscriber_that_vanishes_changes_nothing(
    system: System, admitted: tuple[str, Any]
) -> None:
    name, camera = admitted
    passing = system.robot.create_subscription(
        type(system.task(name)), f"/{name}/other", lambda _: None, 1
    )
    system.robot.destroy_subscription(passing)
    system.until(lambda: system.results_of(name), lambda: camera.publish(system.image()))


def test_a_silent_topic_is_reported_in_diagnostics(
    system: System, admitted: tuple[str, Any]
) -> None:
    name, _ = admitted

    def reported() -> Any:
        for array in reversed(system.diagnostics):
            for each in array.status:
                if name in each.name and each.level != b"\0":
                    return each
        return None

    assert f"/{name}/image" in system.until(reported).message


def test_services_answer_while_a_network_is_measured(system: System) -> None:
    assert system.profiler.wait_for_server(10.0)
    task = system.task("measured", wcet_ms=0.0)
    steps: list[Any] = []
    goal = system.wait_for(
        system.profiler.send_goal_async(
            ProfileModel.Goal(task=task, runs=100_000),
            feedback_callback=lambda news: steps.append(news.feedback),
        )
    )
    assert goal.accepted
    result = goal.get_result_async()
    system.until(lambda: steps)
    seen = len(system.diagnostics)
    system.call(ListModels)
    system.until(lambda: len(system.diagnostics) > seen + 1)
    assert not result.done()
    goal.cancel_goal_async()
    assert system.wait_for(result).status in (4, 5, 6)


def test_a_measured_profile_admits_its_task(system: System) -> None:
    # Budgets that are measured beside other tests fit, too.
    task = system.task("profiled", wcet_ms=0.0, period_ms=2000.0)
    goal = system.wait_for(system.profiler.send_goal_async(ProfileModel.Goal(task=task, runs=60)))
    outcome = system.wait_for(goal.get_result_async()).result
    assert outcome.success, outcome.rationale.sentence
    assert outcome.runs == 60 and 0.0 < outcome.p50_ms <= outcome.max_ms
    answer = system.call(RegisterModel, task=task)
    assert answer.admitted, answer.rationale.sentence
    assert system.call(UnregisterModel, name="profiled").success


def test_results_resume_after_the_engine_is_killed_and_the_loss_is_reported(
    system: System, admitted: tuple[str, Any]
) -> None:
    name, camera = admitted
    system.until(lambda: system.results_of(name), lambda: camera.publish(system.image()))
    status = system.until(lambda: next((s for s in system.statuses if s.engine_pid), None))
    pid, before = status.engine_pid, system.last_id()
    camera.publish(system.image())
    os.kill(pid, signal.SIGKILL)
    reported = system.rationale("engine_restart", after=before)
    assert reported.sentence
    count = len(system.results_of(name))
    system.until(
        lambda: len(system.results_of(name)) > count + 2, lambda: camera.publish(system.image())
    )
    latest = system.until(
        lambda: next((s for s in system.statuses[::-1] if s.engine_pid not in (0, pid)), None)
    )
    assert latest.engine_restarts >= 1
