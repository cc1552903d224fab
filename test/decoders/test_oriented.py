"""Turned boxes, against their published definition written out one box at a time."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from aegis_ros.decoders import Detections, FrameInfo, create_decoder, to_json
from aegis_ros.decoders.drawing import draw
from aegis_ros.errors import DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec, ResizeMode

pytestmark = pytest.mark.filterwarnings("error")
SQUARE = FrameInfo(200, 200, 200, 200)


def decoded(values: np.ndarray, frame: FrameInfo = SQUARE, **options: object) -> Detections:
    infos = [TensorInfo("output0", "float32", values.shape)]
    found = create_decoder("oriented", options, PreprocessSpec(), infos).decode(
        {"output0": values}, frame
    )
    assert isinstance(found, Detections) and found.turned is not None
    return found


def columns(*boxes: tuple[float, ...]) -> np.ndarray:
    """[1, 4 + C + 1, N] of rows (x, y, w, h, score of each class, angle)."""
    return np.asarray(boxes, np.float32).T[np.newaxis]


def probiou(one: np.ndarray, other: np.ndarray) -> float:
    """1 less the Hellinger distance of two boxes as Gaussians, by their covariance matrices."""

    def gaussian(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y, w, h, angle = (float(each) for each in box)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return np.array([x, y]), turn @ np.diag([w * w / 12, h * h / 12]) @ turn.T

    (mean, spread), (other_mean, other_spread) = gaussian(one), gaussian(other)
    middle = (spread + other_spread) / 2
    off = mean - other_mean
    distance = off @ np.linalg.inv(middle) @ off / 8 + 0.5 * math.log(
        np.linalg.det(middle) / math.sqrt(np.linalg.det(spread) * np.linalg.det(other_spread))
    )
    return 1 - math.sqrt(max(0.0, 1 - math.exp(-distance)))


def reference(values: np.ndarray, threshold: float, iou: float) -> list[tuple[int, int, float]]:
    """Row, class and score of what stays: best first, none that a better one of its class hides."""
    candidates = []
    for row in range(values.shape[2]):
        scores = values[0, 4:-1, row]
        best = int(scores.argmax())
        if scores[best] >= threshold:
            candidates.append((row, best, float(scores[best])))
    candidates.sort(key=lambda each: -each[2])
    kept: list[tuple[int, int, float]] = []
    boxes = values[0, [0, 1, 2, 3, -1]].T
    for row, best, score in candidates:
        if all(best != other or probiou(boxes[row], boxes[at]) <= iou for at, other, _ in kept):
            kept.append((row, best, score))
    return kept


def test_what_stays_is_what_the_definition_keeps() -> None:
    generator = np.random.default_rng(3)
    count, classes = 400, 3
    values = np.concatenate(
        [
            generator.uniform(30, 170, (2, count)),
            generator.uniform(8, 40, (2, count)),
            generator.uniform(0, 1, (classes, count)) ** 3,
            generator.uniform(-math.pi / 4, 3 * math.pi / 4, (1, count)),
        ]
    ).astype(np.float32)[np.newaxis]
    wanted = reference(values, 0.25, 0.45)
    found = decoded(values)
    assert 20 < len(wanted) < 200  # both some and not all are hidden
    assert found.labels == tuple(f"class {best}" for _, best, _ in wanted)
    assert found.scores == pytest.approx([score for *_, score in wanted])
    assert found.turned is not None
    rows = [row for row, *_ in wanted]
    assert found.turned[:, :4] == pytest.approx(values[0, :4].T[rows], abs=1e-3)
    turns = (found.turned[:, 4] - values[0, -1, rows]) / math.pi
    assert turns == pytest.approx(np.round(turns), abs=1e-5)  # half a turn is the same box


def test_boxes_enclose_the_corners() -> None:
    angle = math.radians(30)
    found = decoded(columns((100, 80, 60, 20, 0.9, angle)))
    corners = [
        (
            100 + x * math.cos(angle) - y * math.sin(angle),
            80 + x * math.sin(angle) + y * math.cos(angle),
        )
        for x in (-30, 30)
        for y in (-10, 10)
    ]
    xs, ys = zip(*corners, strict=True)
    assert found.boxes[0] == pytest.approx([min(xs), min(ys), max(xs), max(ys)], abs=1e-3)


@pytest.mark.parametrize("resize", [ResizeMode.LETTERBOX, ResizeMode.STRETCH])
def test_a_box_lies_on_the_same_corners_in_the_source_frame(resize: ResizeMode) -> None:
    frame = FrameInfo(300, 800, 200, 200, resize)
    angle = (
        0.4 if resize is ResizeMode.LETTERBOX else 0.0
    )  # stretching makes no rectangle of others
    found = decoded(columns((100, 100, 60, 20, 0.9, angle)), frame)
    assert found.turned is not None
    top, left, height, width = frame.inner
    ahead = np.array([30 * math.cos(angle), 30 * math.sin(angle)])
    middle = np.array([100, 100])
    ends = np.array([middle - ahead, middle + ahead])
    ends = (ends - [left, top]) * [800 / width, 300 / height]
    x, y, wide, high, turned = (float(each) for each in found.turned[0])
    assert (x, y) == pytest.approx(ends.mean(axis=0))
    assert wide == pytest.approx(float(np.hypot(*(ends[1] - ends[0]))))
    assert turned == pytest.approx(math.atan2(*(ends[1] - ends[0])[::-1]), abs=1e-5)
    assert high == pytest.approx(20 * (300 / height))


def test_reads_rows_that_are_suppressed() -> None:
    row = [100.0, 80.0, 60.0, 20.0, 0.9, 1.0, 0.3]
    twice = np.asarray([[row, row, [0.0] * 7]], np.float32)
    found = decoded(twice, format="end2end", labels=["plane", "ship"])
    assert found.labels == ("ship", "ship")  # nothing is suppressed again
    assert found.turned is not None and found.turned[0] == pytest.approx([100, 80, 60, 20, 0.3])


def test_classes_hide_each_other_where_asked() -> None:
    values = columns((100, 80, 60, 20, 0.9, 0.0, 0.3), (101, 80, 60, 20, 0.0, 0.8, 0.3))
    assert len(decoded(values).labels) == 2
    assert decoded(values, across_classes=True).labels == ("class 0",)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30, -5.0])
def test_what_is_no_box_is_left_out_or_refused(bad: float) -> None:
    values = columns((100, 80, bad, 20, 0.9, 0.3), (50, 50, 20, 10, 0.8, 0.1))
    if math.isnan(bad):
        with pytest.raises(DecodeError):
            decoded(values)
    else:
        assert decoded(values).scores == pytest.approx([0.8])


def test_json_and_picture_have_the_angle() -> None:
    found = decoded(columns((100, 80, 60, 20, 0.9, 0.3)), labels=["ship"])
    (item,) = json.loads(to_json(found))["items"]
    assert (item["center"], item["size"], item["angle"]) == ([100, 80], [60, 20], 0.3)
    picture: Any = draw(found, np.zeros((200, 200, 3), np.uint8))
    assert picture.any()


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((1, 5, 100), {}, "[1, 4 + classes + 1, boxes]"),
        ((1, 300, 7), {}, "one of"),
        ((1, 300, 6), {"format": "end2end"}, "[1, boxes, 7]"),
    ],
)
def test_outputs_of_other_networks_are_refused(
    shape: tuple[int, ...], options: dict[str, object], expected: str
) -> None:
    infos = [TensorInfo("output0", "float32", shape)]
    if shape == (1, 300, 7):  # as many numbers as a network of 295 classes: rows, plainly
        expected = "format: end2end"
    with pytest.raises(DecodeError) as refused:
        create_decoder("oriented", options, PreprocessSpec(), infos)
    assert expected in str(refused.value)
