"""Topics that two tasks cannot share, and topics that are remapped, over real DDS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aegis_ros.srv import EvaluateModel, RegisterModel
from rclpy.node import Node
from sensor_msgs.msg import Image

from aegis_ros.decoders import SegmentationMask
from aegis_ros.decoders.raw import RawDecoder
from test.nodes.system import SIZE, running


def test_a_topic_that_a_task_takes_as_another_type_is_refused_at_admission(tmp_path: Path) -> None:
    with running(tmp_path) as system:
        first = system.task("camera", input__topic="/front/data")
        assert system.call(RegisterModel, task=first).admitted
        other = system.task("lidar", input__topic="front/data", input__max_size=[])
        other.input.type = "sensor_msgs/msg/PointCloud2"
        other.preprocess = type(other.preprocess)(layout="points")
        answer = system.call(RegisterModel, task=other)
        assert not answer.admitted and answer.rationale.rule == "topic_type"
        assert (
            "input.topic: the topic is in use with type sensor_msgs/msg/Image by task camera "
            "(got /front/data); expected a topic of type sensor_msgs/msg/PointCloud2"
        ) in answer.rationale.sentence
        # In its place it could have the topic: what is refused then is the network.
        alone = system.call(EvaluateModel, task=other, without=["camera"])
        assert alone.rationale.rule == "model_valid"
        loop = system.task("loop", output__topic="/front/data")
        answer = system.call(RegisterModel, task=loop)
        assert "in use with type sensor_msgs/msg/Image by task camera" in answer.rationale.sentence
        itself = system.task("itself", input__topic="~/status")
        answer = system.call(RegisterModel, task=itself)
        assert not answer.admitted and answer.rationale.rule == "topic_type"
        assert "in use with type aegis_ros/msg/OrchestratorStatus" in answer.rationale.sentence
        own = system.task("own", input__topic="/own/data", output__topic="/own/data")
        answer = system.call(RegisterModel, task=own)
        assert "by output.topic" in answer.rationale.sentence


def test_a_remapped_result_takes_its_companions_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.ones(SIZE, np.uint8)
    monkeypatch.setattr(RawDecoder, "decode", lambda *_: SegmentationMask(mask, ()))
    rules = [
        "/moved/image:=/camera/front",
        "/moved/result:=/perception/moved",
        "/single/result/mask:=/masks/single",
    ]
    with running(tmp_path, remap=rules) as system:
        for name in ("moved", "single"):
            task = system.task(name, output__annotate=True)
            task.input.topic = "/moved/image"
            answer = system.call(RegisterModel, task=task)
            assert answer.admitted, answer.rationale.sentence
        camera = system.robot.create_publisher(Image, "/camera/front", 1)
        masks: list[Any] = []
        pictures: list[Any] = []
        for topic in ("/perception/moved/mask", "/masks/single"):
            system.robot.create_subscription(Image, topic, masks.append, 1)
        for topic in ("/perception/moved/annotated", "/single/result/annotated"):
            system.robot.create_subscription(Image, topic, pictures.append, 1)
        system.until(
            lambda: len(masks) >= 4 and len(pictures) >= 4, lambda: camera.publish(system.image())
        )
        names = {name for name, _ in system.robot.get_topic_names_and_types()}
        assert {"/perception/moved", "/single/result"} < names
        assert not names & {"/moved/image", "/moved/result", "/moved/result/mask"}


def test_sensor_topics_are_found_at_the_intake_node(tmp_path: Path) -> None:
    rules = ["orchestrator:/near/image:=/only/for/the/orchestrator"]
    with running(tmp_path, remap=rules) as system:
        assert system.call(RegisterModel, task=system.task("near")).admitted
        robot: Node = system.robot

        def found() -> list[str] | None:
            topics = robot.get_subscriber_names_and_types_by_node("orchestrator_intake", "/")
            return dict(topics).get("/only/for/the/orchestrator")

        assert system.until(found) == ["sensor_msgs/msg/Image"]
