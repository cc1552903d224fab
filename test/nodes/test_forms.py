"""What is published beside a result, for nodes that know nothing of us."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from aegis_ros.msg import KeypointArray
from std_msgs.msg import Header

from aegis_ros.decoders import (
    Boxes3D,
    Classification,
    CropResults,
    Decoded,
    DepthMap,
    Detections,
    Embedding,
    RawTensors,
    SegmentationMask,
    TextRegions,
)
from aegis_ros.nodes import forms as module
from aegis_ros.nodes.forms import forms
from aegis_ros.security import COMPANIONS
from test.nodes import fake_vision

HEADER = Header(frame_id="camera")
BOXES = np.asarray([[10, 20, 30, 60], [0, 0, 8, 4]], np.float32)
SCORES = np.asarray([0.75, 0.5], np.float32)
FOUND = Detections(BOXES, SCORES, ("car", "dog"))
POINTS = np.asarray([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], np.float32)
POSES = Detections(BOXES, SCORES, ("a", "b"), POINTS, POINTS[..., 0] / 10, ("head", "tail"))
LABELS = np.asarray([[0, 1, 1], [2, 2, 0]], np.uint8)
SOLID = np.asarray([[1, 2, 3, 4, 2, 1.5, math.pi / 2]], np.float32)
CROPS = np.asarray([[100, 200, 120, 240], [0, 0, 9, 9]], np.int32)


@pytest.fixture(params=[False, True], ids=["without vision_msgs", "with vision_msgs"])
def vision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(module, "_vision_messages", lambda: fake_vision if request.param else None)
    return bool(request.param)


def made(decoded: Decoded) -> dict[str, Any]:
    messages = {form.name: (form.kind, form.make()) for form in forms(HEADER, decoded)}
    assert all(isinstance(message, kind) for kind, message in messages.values())
    return {name: message for name, (_, message) in messages.items()}


RESULTS: list[tuple[Decoded, set[str], set[str]]] = [
    (FOUND, set(), {"detections"}),
    (POSES, {"keypoints"}, {"detections"}),
    (Detections(BOXES, SCORES, ("a", "b"), instances=LABELS), {"mask"}, {"detections"}),
    (Boxes3D(SOLID, SCORES[:1], ("car",)), set(), {"detections"}),
    (Classification(("cat",), SCORES[:1]), set(), {"classification"}),
    (SegmentationMask(LABELS, ()), {"mask"}, set()),
    (DepthMap(np.ones((2, 3), np.float32)), {"depth"}, set()),
    (Embedding(SCORES), {"embedding"}, set()),
    (RawTensors({}), set(), set()),
    (TextRegions(np.zeros((0, 4, 2), np.float32), (), SCORES[:0]), set(), set()),
]


@pytest.mark.parametrize(
    ("decoded", "ours", "theirs"), RESULTS, ids=lambda value: type(value).__name__
)
def test_each_result_has_its_topics(
    decoded: Decoded, ours: set[str], theirs: set[str], vision: bool
) -> None:
    assert set(made(decoded)) == ours | (theirs if vision else set())


def test_a_policy_of_sros2_names_every_topic_beside_a_result() -> None:
    assert {name for _, ours, theirs in RESULTS for name in ours | theirs} == set(COMPANIONS)


@pytest.mark.parametrize("vision", [True], indirect=True)
class TestVisionMessages:
    def test_boxes_become_detections(self, vision: bool) -> None:
        (first, _) = made(FOUND)["detections"].detections
        centre = first.bbox.center.position
        assert (centre.x, centre.y, first.bbox.size_x, first.bbox.size_y) == (20, 40, 20, 40)
        (hypothesis,) = first.results
        assert (hypothesis.hypothesis.class_id, hypothesis.hypothesis.score) == ("car", 0.75)
        assert first.header == HEADER and first.id == ""

    def test_the_id_of_a_detection_is_its_value_in_the_mask(self, vision: bool) -> None:
        found = made(Detections(BOXES, SCORES, ("a", "b"), instances=LABELS))
        assert [each.id for each in found["detections"].detections] == ["1", "2"]

    def test_turned_boxes_have_their_angle(self, vision: bool) -> None:
        turned = np.asarray([[30, 40, 50, 10, 0.5]] * 2, np.float32)
        (first, _) = made(Detections(BOXES, SCORES, ("a", "b"), turned=turned))[
            "detections"
        ].detections
        box = first.bbox
        assert (box.center.position.x, box.center.position.y) == (30, 40)
        assert (box.size_x, box.size_y, box.center.theta) == (50, 10, 0.5)

    def test_boxes_in_space_become_detections_in_space(self, vision: bool) -> None:
        (found,) = made(Boxes3D(SOLID, SCORES[:1], ("car",)))["detections"].detections
        centre, size = found.bbox.center, found.bbox.size
        assert (centre.position.x, centre.position.y, centre.position.z) == (1, 2, 3)
        assert (size.x, size.y, size.z) == (4, 2, 1.5)
        half = math.sqrt(0.5)
        assert (centre.orientation.z, centre.orientation.w) == pytest.approx((half, half))
        assert found.results[0].hypothesis.class_id == "car"

    def test_classes_become_hypotheses(self, vision: bool) -> None:
        found = made(Classification(("cat", "dog"), SCORES))["classification"]
        assert [(each.class_id, each.score) for each in found.results] == [
            ("cat", 0.75),
            ("dog", 0.5),
        ]


def test_a_label_image_is_mono8() -> None:
    image = made(SegmentationMask(LABELS, ()))["mask"]
    assert (image.encoding, image.height, image.width, image.step) == ("mono8", 2, 3, 3)
    assert bytes(image.data) == LABELS.tobytes() and image.header == HEADER


def test_depth_is_32fc1_in_metres_with_what_is_not_known() -> None:
    metres = np.asarray([[1.5, np.inf], [-np.inf, np.nan]], np.float32)
    image = made(DepthMap(metres))["depth"]
    assert (image.encoding, image.step, image.is_bigendian) == ("32FC1", 8, 0)
    np.testing.assert_array_equal(np.frombuffer(bytes(image.data), "<f4").reshape(2, 2), metres)


def test_keypoints_have_names_places_and_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_vision_messages", lambda: None)
    message = made(POSES)["keypoints"]
    assert isinstance(message, KeypointArray) and message.names == ["head", "tail"]
    first = message.sets[0]
    assert (first.label, first.score, list(first.box)) == ("a", 0.75, [10, 20, 30, 60])
    assert (list(first.x), list(first.y)) == ([1, 3], [2, 4])
    assert list(first.scores) == pytest.approx([0.1, 0.3])


def test_a_vector_tells_its_length() -> None:
    message = made(Embedding(SCORES))["embedding"]
    assert list(message.data) == [0.75, 0.5]
    assert [(each.label, each.size, each.stride) for each in message.layout.dim] == [
        ("features", 2, 2)
    ]


def test_vectors_of_crops_come_together() -> None:
    found = CropResults(CROPS, ("a", "b"), (Embedding(SCORES), Embedding(SCORES * 2)))
    message = made(found)["embedding"]
    assert list(message.data) == [0.75, 0.5, 1.5, 1.0]
    assert [(each.label, each.size, each.stride) for each in message.layout.dim] == [
        ("crops", 2, 4),
        ("features", 2, 2),
    ]


def test_keypoints_of_crops_lie_in_the_frame() -> None:
    nobody = Detections(
        BOXES[:0], SCORES[:0], (), np.zeros((0, 0, 2), np.float32), np.zeros((0, 0), np.float32)
    )
    pose = Detections(BOXES[:1], SCORES[:1], ("person",), POINTS[:1], POINTS[:1, :, 0] / 10)
    (each,) = made(CropResults(CROPS, ("worker", "dog"), (pose, nobody)))["keypoints"].sets
    assert (each.label, list(each.box)) == ("worker", [110, 220, 130, 260])
    assert (list(each.x), list(each.y)) == ([101, 103], [202, 204])


@pytest.mark.parametrize(
    "results",
    [
        (FOUND, FOUND),
        (Embedding(SCORES), Embedding(SCORES[:1])),
        (Classification(("cat",), SCORES[:1]),) * 2,
    ],
)
def test_crops_with_other_results_have_no_form(results: tuple[Any, ...]) -> None:
    assert made(CropResults(CROPS, ("a", "b"), results)) == {}
