"""From frames of several inputs, from a timer and from results to jobs; without an engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from aegis_ros.decoders import Classification, Detections
from aegis_ros.engine import JobSkip, KeptFrame, SlotFrame
from aegis_ros.errors import InputError
from aegis_ros.orchestrator import FrameTimes, Wanted
from aegis_ros.orchestrator.intake import Intake
from aegis_ros.rationale import Rule
from aegis_ros.spec import TaskSpec
from test.orchestrator.house import MS, House
from test.waiting import until

S = 1_000_000_000


@pytest.fixture
def house(tmp_path: Path) -> House:
    return chained(tmp_path)


def chained(folder: Path, *, lanes: int = 1) -> House:
    """A house with a network of two inputs and one that runs on any number of crops."""
    folder.mkdir(exist_ok=True)
    made = House(folder, lanes=lanes)
    shape = [1, 3, 8, 8]
    graph = helper.make_graph(
        [helper.make_node("Add", ["left", "right"], ["output"])],
        "pair",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in _SIDES],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(folder / "pair.onnx"))
    batch = ["n", 3, 8, 8]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["input"], ["output"])],
        "crops",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, batch)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, batch)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(folder / "crops.onnx"))
    made.start()
    return made


_SIDES = ("left", "right")


def pair(house: House, **changes: Any) -> TaskSpec:
    inputs = {
        name: {"topic": f"/{name}", "max_size": [16, 24], "preprocess": {"size": [8, 8]}}
        for name in _SIDES
    }
    fields: dict[str, Any] = {
        "model": str(house.folder / "pair.onnx"),
        "input": None,
        "preprocess": {},
        "inputs": inputs,
        "sync": {"tolerance_ms": 20, "queue": 2},
    }
    values = fields | changes
    return house.task(values.pop("name", "stereo"), **values)


def feed(house: House, topic: str, stamp_ns: int, value: int = 1) -> None:
    """Bring one frame, stamped this long after a moment that is trusted."""
    intake = house.orchestrator.intake
    key = next(each.key for each in intake.streams() if each.topic == topic)
    taken = intake.take(key, time.monotonic_ns())
    if taken is None:
        return
    taken.array((16, 24, 3))[...] = value
    now, wall = time.monotonic_ns(), time.time_ns()
    intake.commit(taken, (16, 24, 3), FrameTimes(wall + stamp_ns, now, now, wall), value)


def free(house: House) -> list[bool]:
    """Whether all slots of every channel are free."""
    return [len(channel._free) == channel.spec.slots for channel in house.engine.channels.values()]


def reported(house: House, rule: Rule) -> list[str]:
    house.orchestrator.status()
    return [each.sentence for each in house.reported if each.rule is rule]


def test_the_tolerance_counts_as_jitter_in_the_proof(house: House) -> None:
    plain = house.orchestrator.evaluate(house.task("plain"))
    answer = house.orchestrator.register(pair(house))
    assert answer.accepted, answer.rationale.sentence
    assert answer.response_bound_ns == plain.response_bound_ns + 20 * MS
    too_tight = pair(house, sync={"tolerance_ms": 88}, name="tight")
    refused = house.orchestrator.register(too_tight)
    assert not refused.accepted


def test_the_job_is_released_with_the_last_frame_and_all_slots_come_back(house: House) -> None:
    assert house.orchestrator.register(pair(house)).accepted
    feed(house, "/left", 0)
    assert house.engine.submitted == []
    feed(house, "/right", 5 * MS)
    assert len(house.engine.submitted) == 1
    feed(house, "/right", 300 * MS)
    assert len(house.engine.submitted) == 1
    assert free(house) == [True, False]
    assert house.orchestrator.unregister("stereo").accepted
    house.orchestrator.settle()
    assert free(house) == []


def test_what_finds_no_partner_is_reported_and_its_slot_freed(house: House) -> None:
    assert house.orchestrator.register(pair(house)).accepted
    for number in range(4):
        feed(house, "/left", number * 100 * MS)
    said = reported(house, Rule.SYNC)
    assert any("on /left was skipped: /right had no frames" in each for each in said)
    feed(house, "/right", 300 * MS)
    assert len(house.engine.submitted) == 1
    assert all(free(house))


def test_a_camera_that_feeds_two_tasks_shares_its_slots(house: House) -> None:
    assert house.orchestrator.register(pair(house)).accepted
    single = house.task("single", input={"topic": "/left", "max_size": [16, 24]})
    assert house.orchestrator.register(single).accepted
    assert len(house.engine.channels) == 2
    feed(house, "/left", 0)
    feed(house, "/right", 0)
    assert [len(jobs) for jobs in house.engine.submitted] == [1, 1]
    assert all(free(house))


@pytest.mark.parametrize("timer", [False, True])
def test_a_frame_on_its_way_to_a_task_that_is_removed_frees_its_slot(
    house: House, timer: bool
) -> None:
    changes: dict[str, Any] = {"sync": None, "trigger": {"timer": {"period_ms": 100}}}
    spec = pair(house, **changes) if timer else pair(house)
    assert house.orchestrator.register(spec).accepted
    other = house.task("other", input={"topic": "/left", "max_size": [16, 24]})
    assert house.orchestrator.register(other).accepted
    intake = house.orchestrator.intake
    key = next(each.key for each in intake.streams() if each.topic == "/left")
    now, wall = time.monotonic_ns(), time.time_ns()
    taken = intake.take(key, now)
    assert taken is not None and taken.wanted.joints
    assert house.orchestrator.unregister("stereo").accepted
    intake.commit(taken, (16, 24, 3), FrameTimes(wall, now, now, wall))
    assert len(house.engine.submitted) == 1
    assert all(free(house))


def test_a_timer_reads_the_newest_frame_of_each_input_again_and_again(house: House) -> None:
    task = pair(house, sync=None, trigger={"timer": {"period_ms": 20}}, period_ms=None)
    assert house.orchestrator.register(task).accepted
    until(lambda: reported(house, Rule.SYNC))
    feed(house, "/left", 0)
    feed(house, "/right", 3 * S)
    until(lambda: len(house.engine.submitted) >= 5)
    arrivals = [jobs[0][2] for jobs in house.engine.submitted]
    assert all((b - a) % (20 * MS) == 0 and b > a for a, b in pairwise(arrivals))
    house.orchestrator.deactivate()
    house.orchestrator.cleanup()


def detector(house: House, decoder: str = "text_regions") -> TaskSpec:
    return house.task(output={"topic": "/detector/result", "decoder": decoder})


def classifier(house: House, **changes: Any) -> TaskSpec:
    fields: dict[str, Any] = {
        "model": str(house.folder / "crops.onnx"),
        "input": None,
        "trigger": {"task": "detector", "crops": {"max_crops": 3}},
        "output": {"topic": "/classifier/result"},
    }
    values = fields | changes
    return house.task(values.pop("name", "classifier"), **values)


def boxes(count: int) -> Detections:
    corners = np.asarray([[n, n, n + 4, n + 4] for n in range(count)], np.float32)
    return Detections(
        corners.reshape(-1, 4), np.linspace(0.9, 0.5, count, dtype=np.float32), ("x",) * count
    )


def kept(house: House) -> KeptFrame:
    channel = next(iter(house.engine.channels.values()))
    slot = channel.acquire()
    assert slot is not None
    frame = KeptFrame(SlotFrame(channel, slot, (16, 24, 3)))
    channel.drop(slot)
    return frame


def test_a_result_releases_a_job_on_as_many_crops_as_are_wanted(house: House) -> None:
    orchestrator = house.orchestrator
    assert orchestrator.register(detector(house)).accepted
    assert orchestrator.register(classifier(house)).accepted
    crops: list[int] = []
    frame = kept(house)
    now = time.monotonic_ns()
    times = FrameTimes(0, now, now, time.time_ns())
    for count in (5, 1, 0):
        orchestrator.chains.follow(
            "detector",
            boxes(count),
            frame,
            times,
            arrival_ns=now,
            origin_of=lambda found: crops.append(len(found)),
        )
    assert crops == [3, 1]
    assert [jobs[0][2:] for jobs in house.engine.submitted] == [(now, now + 98 * MS)] * 2
    label = Classification(("cat",), np.ones(1, np.float32))
    orchestrator.chains.follow(
        "detector", label, frame, times, arrival_ns=now, origin_of=lambda found: None
    )
    assert any("hold no boxes" in each for each in reported(house, Rule.CHAIN))
    crooked = replace(boxes(3), labels=("x",))
    orchestrator.chains.follow(
        "detector", crooked, frame, times, arrival_ns=now, origin_of=lambda found: None
    )
    assert any("IndexError" in each for each in reported(house, Rule.BAD_FRAME))
    del frame
    assert all(free(house))


def test_what_the_first_stage_skips_is_reported_for_the_second(house: House) -> None:
    orchestrator = house.orchestrator
    first = orchestrator.register(detector(house))
    assert orchestrator.register(classifier(house)).accepted
    house.engine.on_skip(JobSkip(first.task_id, 7, Rule.NEWER_FRAME))
    (said,) = reported(house, Rule.CHAIN)
    assert "job 7 of detector" in said
    summaries = {task.spec.name: task for task in orchestrator.status().tasks}
    assert summaries["classifier"].skipped == summaries["detector"].skipped == 1


def test_a_frame_that_the_first_stage_does_not_take_is_skipped_for_the_second(house: House) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(detector(house))
    assert orchestrator.register(classifier(house)).accepted
    (key,) = [stream.key for stream in orchestrator.intake.streams()]
    now = time.monotonic_ns()
    taken = orchestrator.intake.take(key, now)
    assert taken is not None
    assert orchestrator.intake.take(key, now) is None  # sooner than declared
    orchestrator.intake.refuse(taken, InputError("an encoding of its own"))
    skipped = {task.spec.name: task.skipped for task in orchestrator.status().tasks}
    assert skipped == {"detector": 2, "classifier": 2}
    assert "job 0 of detector" in reported(house, Rule.CHAIN)[0]


def test_a_second_stage_that_is_paused_counts_nothing(house: House) -> None:
    orchestrator = house.orchestrator
    first = orchestrator.register(detector(house))
    assert orchestrator.register(classifier(house)).accepted
    orchestrator.set_enabled("classifier", False)
    house.engine.on_skip(JobSkip(first.task_id, 7, Rule.NEWER_FRAME))
    assert not reported(house, Rule.CHAIN)


def test_the_response_of_the_first_stage_is_jitter_of_the_second(house: House) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(detector(house))
    alone = orchestrator.evaluate(
        house.task("other", wcet_ms=10, deadline_ms=100)
    ).response_bound_ns
    answer = orchestrator.register(classifier(house))
    assert answer.accepted, answer.rationale.sentence
    (chain,) = answer.rationale.reason.chains
    assert chain.chain == "detector → classifier"
    assert chain.bound_ns > alone
    assert chain.deadline_ns == 98 * MS


def test_a_follower_is_tried_on_every_lane_before_its_chain_is_called_late(tmp_path: Path) -> None:
    for lanes, lane in ((1, ""), (2, "lane1")):
        house = chained(tmp_path / str(lanes), lanes=lanes)
        first = replace(detector(house), deadline_ns=62 * MS, lane="lane0")
        assert house.orchestrator.register(first).accepted
        other = house.task("other", wcet_ms=30, deadline_ms=102, lane="lane0")
        assert house.orchestrator.register(other).accepted
        answer = house.orchestrator.register(classifier(house, deadline_ms=88))
        assert answer.accepted == bool(lane), answer.rationale.sentence
        if lane:
            placed = {task.spec.name: task.lane for task in house.orchestrator.status().tasks}
            assert placed["classifier"] == lane
        else:
            assert answer.rationale.rule is Rule.CHAIN


def test_a_task_behind_one_without_boxes_is_rejected(house: House) -> None:
    house.orchestrator.register(detector(house, "raw"))
    for answer in (
        house.orchestrator.evaluate(classifier(house)),
        house.orchestrator.register(classifier(house)),
    ):
        assert (answer.accepted, answer.rationale.rule) == (False, Rule.DECODER)
        assert "results of detector hold no boxes" in answer.rationale.sentence


def test_a_task_with_followers_stays_and_followers_need_their_first(house: House) -> None:
    orchestrator = house.orchestrator
    refused = orchestrator.register(classifier(house))
    assert refused.rationale.rule is Rule.UNKNOWN_TASK
    orchestrator.register(detector(house))
    assert orchestrator.register(classifier(house)).accepted
    assert not orchestrator.unregister("detector").accepted
    slow = classifier(house, name="slow", period_ms=200, output={"topic": "/slow"})
    refused = orchestrator.register(slow)
    assert "declares fewer jobs than detector triggers" in refused.rationale.sentence
    assert "(got a period of 200 ms); expected at most" in refused.rationale.sentence
    assert orchestrator.unregister("classifier").accepted
    assert orchestrator.unregister("detector").accepted


def test_after_a_restart_followers_are_registered_behind_their_first(house: House) -> None:
    tasks = (classifier(house), detector(house))
    house.restart(*tasks)
    assert house.names() == ["detector", "classifier"]


@pytest.mark.parametrize("end", [Intake.without_slot, Intake.withdraw])
def test_a_frame_that_is_never_ready_is_received_and_skipped(
    house: House, end: Callable[[Intake, Wanted], None]
) -> None:
    assert house.orchestrator.register(pair(house)).accepted
    intake = house.orchestrator.intake
    key = next(each.key for each in intake.streams() if each.topic == "/left")
    wanted = intake.want(key, time.monotonic_ns())
    assert wanted is not None
    end(intake, wanted)
    frames = house.orchestrator.status().frames
    assert (frames.received, frames.skipped, frames.in_flight) == (1, 1, 0)


def test_a_set_arrives_with_the_last_of_its_messages_whichever_is_ready_last(
    house: House,
) -> None:
    """A picture may be decoded for long, while frames of the other topics come and are ready."""
    assert house.orchestrator.register(pair(house, jitter_ms=0)).accepted
    intake, now = house.orchestrator.intake, time.monotonic_ns()
    wall = time.time_ns()
    for topic, received_ns, ready_ns in (("/right", 18 * MS, 19 * MS), ("/left", 0, 80 * MS)):
        key = next(each.key for each in intake.streams() if each.topic == topic)
        taken = intake.take(key, now + received_ns)
        assert taken is not None
        intake.commit(
            taken, (16, 24, 3), FrameTimes(wall, now + received_ns, now + ready_ns, wall + ready_ns)
        )
    ((job,),) = house.engine.submitted
    assert job[2] == now + 18 * MS
