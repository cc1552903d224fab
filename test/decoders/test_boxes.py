from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.decoders import Decoder, Detections, FrameInfo, create_decoder
from aegis_ros.errors import AegisError, ConfigError, DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec

FRAME = FrameInfo(200, 400, 100, 100)
EXPECTED = [[40.0, 40.0, 80.0, 80.0]]  # x 10..20 and y 20..40 of the input
SPEC = PreprocessSpec(size=(100, 100))


def decoder(shapes: dict[str, tuple[int, ...]], **options: object) -> Decoder:
    infos = [TensorInfo(name, "float32", shape) for name, shape in shapes.items()]
    return create_decoder("boxes", options, SPEC, infos)


def found(outputs: dict[str, np.ndarray], **options: object) -> Detections:
    made = decoder({name: array.shape for name, array in outputs.items()}, **options)
    result = made.decode(outputs, FRAME)
    assert isinstance(result, Detections)
    return result


def rows(width: int, count: int = 20) -> np.ndarray:
    return np.zeros((1, count, width), np.float32)


def test_reads_yolov8() -> None:
    output = rows(7)
    output[0, 3] = [15, 30, 10, 20, 0.1, 0.2, 0.9]
    result = found({"o": output.transpose(0, 2, 1).copy()}, labels=["a", "b", "c"])
    assert result.boxes.tolist() == EXPECTED
    assert result.labels == ("c",)
    assert result.scores == pytest.approx([0.9])


def test_reads_yolov5_and_multiplies_by_objectness() -> None:
    output = rows(8)
    output[0, 3] = [15, 30, 10, 20, 0.5, 0.1, 0.8, 0.0]
    result = found({"o": output}, format="yolov5")
    assert result.boxes.tolist() == EXPECTED
    assert result.labels == ("class 1",)
    assert result.scores == pytest.approx([0.4])


def test_reads_an_anchor_free_grid() -> None:
    output = rows(6, 4 * 4 + 2 * 2)  # 100 / 25 and 100 / 50
    output[0, 4 * 1 + 0] = [0.6, 0.2, np.log(0.4), np.log(0.8), 1.0, 0.9]  # row 1, column 0
    result = found({"o": output}, format="grid", strides=[25, 50])
    assert result.boxes == pytest.approx(np.asarray(EXPECTED), abs=1e-3)


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ("xyxy", [0.1, 0.2, 0.2, 0.4]),
        ("yxyx", [0.2, 0.1, 0.4, 0.2]),
        ("cxcywh", [0.15, 0.3, 0.1, 0.2]),
    ],
)
def test_reads_ssd_without_its_background(corners: str, box: list[float]) -> None:
    boxes, scores = rows(4), rows(3)
    scores[0, :, 0] = 1.0
    boxes[0, 3], scores[0, 3] = box, [0.99, 0.1, 0.7]
    result = found(
        {"b": boxes, "s": scores}, format="ssd", corners=corners, background=0, normalized=True
    )
    assert result.boxes == pytest.approx(np.asarray(EXPECTED), abs=1e-3)
    assert result.labels == ("class 2",)


def test_reads_ssd_whichever_output_comes_first() -> None:
    boxes, scores = rows(4), rows(3)
    boxes[0, 3], scores[0, 3] = [10, 20, 20, 40], [0.1, 0.1, 0.7]
    assert found({"scores": scores, "boxes": boxes}, format="ssd").boxes.tolist() == EXPECTED


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ("box_score_class", [10, 20, 20, 40, 0.8, 1]),
        ("class_score_box", [1, 0.8, 10, 20, 20, 40]),
        ("batch_box_class_score", [0, 10, 20, 20, 40, 1, 0.8]),
    ],
)
def test_reads_suppressed_rows_in_each_order(columns: str, row: list[float]) -> None:
    output = rows(len(row))
    output[0, 2] = row
    result = found({"o": output}, format="nms", columns=columns)
    assert result.boxes.tolist() == EXPECTED
    assert (result.labels, result.scores) == (("class 1",), pytest.approx([0.8]))


def test_reads_networks_that_suppress_themselves() -> None:
    output = rows(6)
    output[0, 0] = [10, 20, 20, 40, 0.8, 1]
    output[0, 1] = [11, 20, 21, 40, 0.9, 1]  # overlaps, and stays
    result = found({"o": output}, format="nms")
    assert result.scores == pytest.approx([0.9, 0.8])


def test_turns_logits_into_scores() -> None:
    output = rows(6)
    output[0, :, 4:] = -10.0
    output[0, 3] = [15, 30, 10, 20, 2.0, 0.0]
    result = found({"o": output.transpose(0, 2, 1).copy()}, sigmoid=True)
    assert result.scores == pytest.approx([1 / (1 + np.exp(-2.0))])


@pytest.mark.parametrize("across", [False, True])
def test_suppresses_across_classes_only_when_asked(across: bool) -> None:
    output = rows(6)
    output[0, 0] = [15, 30, 10, 20, 0.9, 0.0]
    output[0, 1] = [15, 30, 10, 20, 0.0, 0.8]
    result = found({"o": output.transpose(0, 2, 1).copy()}, across_classes=across)
    assert len(result.boxes) == (1 if across else 2)


def test_boxes_that_are_no_boxes_are_left_out() -> None:
    output = rows(5)
    output[0, 0] = [np.inf, 30, 10, 20, 0.9]
    output[0, 1] = [15, 30, 0, 20, 0.9]
    output[0, 2] = [15, 30, -10, 20, 0.9]
    output[0, 3] = [500, 500, 10, 20, 0.9]
    assert not len(found({"o": output.transpose(0, 2, 1).copy()}).boxes)


def test_coco_names_come_by_the_word() -> None:
    output = np.zeros((1, 84, 100), np.float32)
    output[0, :4, 0], output[0, 4 + 2, 0] = [15, 30, 10, 20], 0.9
    assert found({"o": output}, labels="coco").labels == ("car",)


@pytest.mark.parametrize(
    ("shape", "options", "error", "says"),
    [
        ((1, 8400, 85), {}, DecodeError, "rows"),
        ((1, 84, 2100), {"format": "yolov5"}, DecodeError, "Use format: yolov8"),
        ((1, 84, 2100), {"format": "yolov5", "labels": "coco"}, DecodeError, "Use format: yolov8"),
        ((1, 84, 2100), {"format": "grid"}, DecodeError, "Use format: yolov8"),
        ((1, 4, 100), {}, DecodeError, "more than 4"),
        ((1, 100, 7), {"format": "nms"}, DecodeError, "exactly 6"),
        ((1, 3, 20, 85), {}, DecodeError, "rank"),
        ((1, 84, 100), {"labels": ["one"]}, ConfigError, "84|80"),
        ((1, 84, 100), {"labels": "voc"}, ConfigError, "coco"),
        ((1, 84, 100), {"treshold": 0.5}, ConfigError, "threshold"),
        ((1, 84, 100), {"threshold": 2}, ConfigError, "threshold"),
        ((1, 84, 100), {"format": "yolo"}, ConfigError, "yolov8"),
        ((1, 84, 100), {"boxes_tensor": "absent"}, ConfigError, "absent"),
        ((1, 100, 85), {"format": "grid", "strides": [0]}, ConfigError, "stride"),
        ((1, 100, 4), {"format": "ssd"}, DecodeError, "output number 1"),
    ],
)
def test_registration_refuses_what_cannot_work(
    shape: tuple[int, ...], options: dict[str, object], error: type[AegisError], says: str
) -> None:
    with pytest.raises(error, match=says):
        decoder({"o": shape}, **options)


def test_a_wrong_number_of_grid_cells_names_the_strides() -> None:
    with pytest.raises(DecodeError, match="strides"):
        found({"o": rows(6, 7)}, format="grid")
