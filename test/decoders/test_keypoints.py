"""Poses against tensors worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.decoders import Detections, FrameInfo, create_decoder
from aegis_ros.decoders.coco_person import BONES, KEYPOINTS
from aegis_ros.errors import ConfigError, DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec, ResizeMode

pytestmark = pytest.mark.filterwarnings("error")
FRAME = FrameInfo(200, 400, 100, 100)
EXPECTED = [[40.0, 40.0, 80.0, 80.0]]
Arrays = dict[str, np.ndarray]


def found(
    name: str,
    outputs: Arrays,
    frame: FrameInfo = FRAME,
    metadata: dict[str, str] | None = None,
    **options: object,
) -> Detections:
    infos = [TensorInfo(key, str(value.dtype), value.shape) for key, value in outputs.items()]
    decoder = create_decoder(name, options, PreprocessSpec(), infos, metadata=metadata or {})
    result = decoder.decode(outputs, frame)
    assert isinstance(result, Detections)
    return result


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_reads_yolo_with_the_number_of_keypoints_that_the_file_names() -> None:
    rows = zeros(1, 20, 4 + 1 + 2 * 3)
    rows[0, 3] = [15, 30, 10, 20, 0.9, 12, 25, 0.8, 18, 35, 0.1]
    rows[0, 4] = [16, 30, 10, 20, 0.8, 0, 0, 0, 0, 0, 0]  # overlaps
    outputs = {"o": rows.transpose(0, 2, 1).copy()}
    result = found("keypoints", outputs, metadata={"kpt_shape": "[2, 3]", "names": '["cow"]'})
    assert result.boxes.tolist() == EXPECTED
    assert result.labels == ("cow",)
    assert result.landmarks is not None and result.landmark_scores is not None
    assert result.landmarks.tolist() == [[[48.0, 50.0], [72.0, 70.0]]]
    assert result.landmark_scores == pytest.approx(np.asarray([[0.8, 0.1]]))
    assert result.landmark_names == ()


def test_keypoints_of_two_numbers_have_no_score() -> None:
    rows = zeros(1, 5, 4 + 1 + 4)
    rows[0, 3] = [15, 30, 10, 20, 0.9, 12, 25, 18, 35]
    outputs = {"o": rows.transpose(0, 2, 1).copy()}
    result = found("keypoints", outputs, keypoints=2, dims=2, names=["head", "tail"])
    assert result.landmark_scores is None and result.landmark_names == ("head", "tail")


def test_reads_end_to_end_rows_without_suppressing_them() -> None:
    rows = zeros(1, 9, 6 + 17 * 3)
    rows[0, :2, :6] = [10, 20, 20, 40, 0.9, 0]
    rows[0, 0, 6:9] = [15, 30, 0.7]
    result = found("keypoints", {"o": rows}, format="end2end")
    assert result.boxes.tolist() == EXPECTED * 2
    assert result.landmark_names == KEYPOINTS
    assert result.landmarks is not None and result.landmarks[0, 0].tolist() == [60.0, 60.0]


def test_reads_movenet_for_several_people() -> None:
    rows = zeros(1, 6, 56)
    rows[0, 2, :3] = [0.3, 0.15, 0.7]  # y, x, score
    rows[0, 2, 51:] = [0.2, 0.1, 0.4, 0.2, 0.9]
    result = found("keypoints", {"o": rows}, format="movenet")
    assert result.boxes == pytest.approx(np.asarray(EXPECTED), abs=1e-3)
    assert result.labels == ("person",)
    assert result.landmarks is not None
    assert result.landmarks[0, 0] == pytest.approx([60.0, 60.0], abs=1e-3)


@pytest.mark.parametrize(
    ("shape", "options", "says"),
    [
        ((1, 20, 100), {}, "keypoints"),
        ((1, 100, 20), {"format": "end2end"}, r"\[1, boxes, 57\]"),
        ((1, 6, 50), {"format": "movenet"}, r"\[1, boxes, 56\]"),
        ((1, 56, 100), {"names": ["one"]}, "1 names for 17"),
        ((1, 56, 100), {"dims": 1}, "2 or 3"),
    ],
)
def test_other_outputs_are_refused(
    shape: tuple[int, ...], options: dict[str, object], says: str
) -> None:
    with pytest.raises((DecodeError, ConfigError), match=says):
        found("keypoints", {"o": zeros(*shape)}, **options)


@pytest.mark.parametrize("said", ["[17", "[1e999, 3]", "'" * 3, "{}", "[[], 3]", "[9e15, 3]"])
def test_what_a_file_says_of_its_keypoints_is_not_trusted(said: str) -> None:
    try:
        found("keypoints", {"o": zeros(1, 56, 9)}, metadata={"kpt_shape": said})
    except DecodeError as error:
        assert "keypoints" in str(error)  # of another number than the output has


def heatmaps() -> np.ndarray:
    heat = zeros(1, 2, 25, 20)
    heat[0, 0, 5, 4], heat[0, 0, 5, 5] = 0.9, 0.5  # a quarter to the right
    heat[0, 1, 24, 19], heat[0, 1, 23, 19] = 0.7, 0.2  # at the border: not moved
    return heat


def test_reads_heat_maps_to_a_quarter_of_a_cell() -> None:
    result = found("single_pose", {"o": heatmaps()}, names=["a", "b"])
    assert result.landmarks is not None and result.landmark_scores is not None
    assert result.landmarks[0] == pytest.approx(np.asarray([[4.25 * 20, 5 * 8], [19 * 20, 24 * 8]]))
    assert result.landmark_scores == pytest.approx(np.asarray([[0.9, 0.7]]))
    assert result.boxes == pytest.approx(np.asarray([[85.0, 40.0, 380.0, 192.0]]))
    assert (result.scores, result.labels) == (pytest.approx([0.8]), ("person",))


def test_reads_simcc() -> None:
    along_x, along_y = zeros(1, 2, 200), zeros(1, 2, 200)
    along_x[0, 0, 30], along_y[0, 0, 60] = 0.8, 0.6
    along_x[0, 1, 40], along_y[0, 1, 80] = 0.5, 0.5
    result = found("single_pose", {"simcc_x": along_x, "simcc_y": along_y}, format="simcc")
    assert result.landmarks is not None and result.landmark_scores is not None
    assert result.landmarks[0] == pytest.approx(np.asarray([[60.0, 60.0], [80.0, 80.0]]))
    assert result.landmark_scores[0] == pytest.approx([0.6, 0.5])  # the lesser counts


def test_reads_movenet() -> None:
    rows = zeros(1, 1, 17, 3)
    rows[0, 0, 0] = [0.3, 0.15, 0.9]
    result = found("single_pose", {"o": rows}, format="movenet", threshold=0.0)
    assert result.landmarks is not None
    assert result.landmarks[0, 0] == pytest.approx([60.0, 60.0])
    assert result.boxes == pytest.approx(np.asarray([[60.0, 60.0, 60.0, 60.0]]))


def test_a_pose_nobody_is_sure_of_is_none() -> None:
    result = found("single_pose", {"o": heatmaps()}, threshold=0.85)
    assert len(result.boxes) == 0 and result.landmarks is not None and not result.landmarks.size


def test_keypoints_in_a_letterbox_are_mapped_back() -> None:
    frame = FrameInfo(50, 100, 100, 100, ResizeMode.LETTERBOX)  # 25 rows above and below
    rows = zeros(1, 1, 9)
    rows[0, 0] = [10, 40, 20, 60, 0.9, 0, 50, 25, 0.9]
    result = found("keypoints", {"o": rows}, frame, format="end2end", keypoints=1)
    assert result.landmarks is not None and result.landmarks[0, 0].tolist() == [50.0, 0.0]


def test_bones_join_keypoints_of_a_person() -> None:
    assert (KEYPOINTS.index("left_knee"), KEYPOINTS.index("left_hip")) in BONES
    assert all(0 <= end < 17 for bone in BONES for end in bone)
