"""Detector families, each against tensors worked out by hand: a box of x 10..20 and y 20..40."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aegis_ros.decoders import Decoder, Detections, FrameInfo, create_decoder
from aegis_ros.decoders.labels import COCO_IDS
from aegis_ros.decoders.peaks import peaks
from aegis_ros.errors import AegisError, ConfigError, DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec, ResizeMode

pytestmark = pytest.mark.filterwarnings("error")
FRAME = FrameInfo(200, 400, 100, 100)
EXPECTED = [[40.0, 40.0, 80.0, 80.0]]  # in the source frame
Arrays = dict[str, np.ndarray]


def decoder(name: str, outputs: Arrays, **options: object) -> Decoder:
    infos = [TensorInfo(key, str(value.dtype), value.shape) for key, value in outputs.items()]
    return create_decoder(name, options, PreprocessSpec(size=(100, 100)), infos)


def found(name: str, outputs: Arrays, frame: FrameInfo = FRAME, **options: object) -> Detections:
    result = decoder(name, outputs, **options).decode(outputs, frame)
    assert isinstance(result, Detections)
    return result


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


class TestDetr:
    def test_reads_boxes_and_probabilities_of_one_output(self) -> None:
        rows = zeros(1, 30, 4 + 3)
        rows[0, 5] = [0.15, 0.3, 0.1, 0.2, 0.1, 0.8, 0.2]
        result = found("detr", {"o": rows}, labels=["a", "b", "c"])
        assert result.boxes == pytest.approx(np.asarray(EXPECTED), abs=1e-3)
        assert (result.labels, result.scores) == (("b",), pytest.approx([0.8]))

    @pytest.mark.parametrize("turned", [False, True])
    def test_reads_boxes_and_logits_in_either_order(self, turned: bool) -> None:
        boxes, logits = zeros(1, 30, 4), np.full((1, 30, 3), -9.0, np.float32)
        boxes[0, 5], logits[0, 5, 2] = [0.15, 0.3, 0.1, 0.2], logit(0.75)
        outputs = {"logits": logits, "boxes": boxes} if turned else {"b": boxes, "l": logits}
        result = found("detr", outputs)
        assert result.boxes == pytest.approx(np.asarray(EXPECTED), abs=1e-3)
        assert (result.labels, result.scores) == (("class 2",), pytest.approx([0.75]))

    def test_the_last_class_of_a_softmax_is_no_object(self) -> None:
        boxes, logits = zeros(1, 2, 4), zeros(1, 2, 3)
        boxes[0] = [0.15, 0.3, 0.1, 0.2]
        logits[0, 0], logits[0, 1] = [0.0, np.log(6.0), 0.0], [0.0, 0.0, 5.0]
        result = found("detr", {"b": boxes, "l": logits}, scores="softmax", labels=["a", "b"])
        assert (result.labels, result.scores) == (("b",), pytest.approx([0.75]))

    def test_suppresses_nothing(self) -> None:
        rows = zeros(1, 2, 5)
        rows[0] = [0.15, 0.3, 0.1, 0.2, 0.9]
        assert len(found("detr", {"o": rows}).boxes) == 2


class TestDetections:
    @pytest.mark.parametrize(
        ("names", "dtype"),
        [
            (("boxes", "scores", "labels"), "int64"),
            (("labels", "boxes", "scores"), "int64"),
            (("detection_boxes", "detection_classes", "detection_scores"), "float32"),
            (("out0", "out1_scores", "out2"), "int32"),
        ],
    )
    def test_reads_boxes_scores_and_classes_whatever_their_order(
        self, names: tuple[str, ...], dtype: str
    ) -> None:
        boxes, scores, classes = zeros(1, 9, 4), zeros(1, 9), np.zeros((1, 9), dtype)
        boxes[0, 3], scores[0, 3], classes[0, 3] = [10, 20, 20, 40], 0.9, 2
        what = {"box": boxes, "out0": boxes, "sco": scores, "lab": classes, "cla": classes}
        outputs = {name: next((v for k, v in what.items() if k in name), classes) for name in names}
        result = found("detections", outputs, labels=["a", "b", "c"])
        assert result.boxes.tolist() == EXPECTED
        assert (result.labels, result.scores) == (("c",), pytest.approx([0.9]))

    def test_rows_beyond_the_count_do_not_count(self) -> None:
        boxes = np.tile(np.asarray([10, 20, 20, 40], np.float32), (1, 5, 1))
        outputs = {
            "num_dets": np.asarray([[2]], np.int32),
            "det_boxes": boxes,
            "det_scores": np.full((1, 5), 0.9, np.float32),
            "det_classes": np.zeros((1, 5), np.int32),
        }
        assert len(found("detections", outputs).boxes) == 2
        outputs["num_dets"] = np.asarray([[-7]], np.int32)
        assert len(decoder("detections", outputs).decode(outputs, FRAME).boxes) == 0  # type: ignore[union-attr]

    def test_normalised_corners_of_tensorflow_and_numbers_that_begin_with_one(self) -> None:
        outputs = {
            "detection_boxes": np.asarray([[[0.2, 0.1, 0.4, 0.2]]], np.float32),
            "detection_classes": np.asarray([[3.0]], np.float32),
            "detection_multiclass_scores": zeros(1, 1, 91),
            "detection_scores": np.asarray([[0.9]], np.float32),
            "num_detections": np.asarray([1.0], np.float32),
        }
        options: dict[str, Any] = {"corners": "yxyx", "normalized": True}
        result = found("detections", outputs, **options, labels="coco", first_class=1)
        assert result.boxes == pytest.approx(np.asarray(EXPECTED), abs=1e-3)
        assert result.labels == ("car",)
        assert found("detections", outputs, **options, labels="coco91").labels == ("car",)

    def test_reads_boxes_that_carry_their_score(self) -> None:
        rows = np.asarray([[[10, 20, 20, 40, 0.9]]], np.float32)
        result = found("detections", {"dets": rows, "labels": np.asarray([[1]])})
        assert result.boxes.tolist() == EXPECTED and result.labels == ("class 1",)

    def test_outputs_without_a_batch_are_read(self) -> None:
        outputs = {
            "boxes": np.asarray([[10, 20, 20, 40]], np.float32),
            "labels": np.asarray([1]),
            "scores": np.asarray([0.9], np.float32),
        }
        assert found("detections", outputs).boxes.tolist() == EXPECTED

    def test_outputs_that_cannot_be_told_apart_ask_for_their_names(self) -> None:
        outputs = {"a": zeros(1, 9, 7), "b": zeros(1, 9)}
        with pytest.raises(DecodeError, match="boxes_tensor"):
            decoder("detections", outputs)


class TestNanoDet:
    """A cell of 8 pixels, whose edges are 0.75, 0.5, 0.5 and 2 cells away."""

    FRAME = FrameInfo(64, 128, 64, 64)
    CELLS = 8 * 8 + 4 * 4 + 2 * 2

    def row(self) -> list[float]:
        """Class scores of two classes, and four distributions over 0, 1, 2 and 3 cells."""
        even = np.log(0.5)
        left = [np.log(0.25), np.log(0.75), -30, -30]
        half = [even, even, -30, -30]
        return [0.1, 0.9, *left, *half, *half, -30, -30, 30, -30]

    def expected(self, offset: float) -> np.ndarray:
        x, y = (3 + offset) * 8, (2 + offset) * 8  # column 3, row 2
        return np.asarray([[2 * (x - 6), y - 4, 2 * (x + 4), y + 16]])

    @pytest.mark.parametrize("offset", [0.0, 0.5])
    def test_reads_one_output(self, offset: float) -> None:
        rows = zeros(1, self.CELLS, 2 + 16)
        rows[0, 2 * 8 + 3] = self.row()
        result = found("nanodet", {"o": rows}, self.FRAME, reg_max=3, offset=offset)
        assert result.boxes == pytest.approx(self.expected(offset), abs=1e-3)
        assert (result.labels, result.scores) == (("class 1",), pytest.approx([0.9]))

    def test_reads_scores_and_distances_of_each_level(self) -> None:
        outputs = {}
        for stride, cells in ((32, 4), (8, 64), (16, 16)):
            outputs[f"cls_pred_stride_{stride}"] = zeros(1, cells, 2)
            outputs[f"dis_pred_stride_{stride}"] = zeros(1, cells, 16)
        outputs["cls_pred_stride_8"][0, 19] = self.row()[:2]
        outputs["dis_pred_stride_8"][0, 19] = self.row()[2:]
        result = found("nanodet", outputs, self.FRAME, reg_max=3)
        assert result.boxes == pytest.approx(self.expected(0.0), abs=1e-3)

    def test_four_levels_are_recognised_by_the_number_of_boxes(self) -> None:
        assert not len(
            found("nanodet", {"o": zeros(1, self.CELLS + 1, 18)}, self.FRAME, reg_max=3).boxes
        )

    def test_another_number_of_boxes_names_the_strides(self) -> None:
        with pytest.raises(DecodeError, match="strides"):
            found("nanodet", {"o": zeros(1, 7, 18)}, self.FRAME, reg_max=3)

    @pytest.mark.parametrize(
        ("shapes", "options", "error"),
        [
            ([(1, 84, 32)], {}, DecodeError),
            ([(1, 64, 80), (1, 16, 32)], {}, DecodeError),
            ([(1, 64, 80), (1, 64, 32), (1, 16, 80)], {}, DecodeError),
            ([(1, 84, 112)], {"strides": [0]}, ConfigError),
            ([(1, 84, 112)], {"labels": ["one"]}, ConfigError),
        ],
    )
    def test_other_outputs_are_refused(
        self, shapes: list[tuple[int, ...]], options: dict[str, Any], error: type[AegisError]
    ) -> None:
        with pytest.raises(error):
            decoder(
                "nanodet", {f"o{i}": zeros(*shape) for i, shape in enumerate(shapes)}, **options
            )


class TestFastestDet:
    def test_reads_its_grid(self) -> None:
        grid = zeros(1, 5 + 3, 5, 5)
        # Row 1, column 1: centre (1 + 0.0) / 5 and (1 + tanh(0.5493)) / 5 = 0.3.
        grid[0, :, 1, 1] = [0.9, 0.0, np.arctanh(0.5), logit(0.1), logit(0.2), 0.1, 0.8, 0.1]
        result = found("fastestdet", {"o": grid})
        assert result.boxes == pytest.approx(np.asarray([[60.0, 40.0, 100.0, 80.0]]), abs=1e-3)
        assert result.labels == ("class 1",)
        assert result.scores == pytest.approx([0.9**0.6 * 0.8**0.4])

    def test_needs_classes(self) -> None:
        with pytest.raises(DecodeError, match="no class scores"):
            decoder("fastestdet", {"o": zeros(1, 5, 4, 4)})


class TestCenterNet:
    def outputs(self) -> Arrays:
        heat, size, offset = np.full((1, 3, 25, 25), -9.0, np.float32), zeros(1, 2, 25, 25), None
        offset = zeros(1, 2, 25, 25)
        heat[0, 1, 7, 3] = logit(0.8)
        heat[0, 1, 7, 4] = logit(0.7)  # beside the peak
        size[0, :, 7, 3] = [2.5, 5.0]
        offset[0, :, 7, 3] = [0.75, 0.5]
        return {"hm": heat, "wh": size, "reg": offset}

    def test_reads_peaks_with_size_and_offset(self) -> None:
        result = found("centernet", self.outputs())
        assert result.boxes == pytest.approx(np.asarray(EXPECTED), abs=1e-3)
        assert (result.labels, result.scores) == (("class 1",), pytest.approx([0.8]))

    def test_outputs_are_found_by_name_and_sizes_may_be_pixels(self) -> None:
        outputs = self.outputs()
        turned = {"offset": outputs["reg"], "size": outputs["wh"] * 4, "heatmap": outputs["hm"]}
        result = found("centernet", turned, size="pixels")
        assert result.boxes == pytest.approx(np.asarray(EXPECTED), abs=1e-3)

    def test_without_offsets_the_centre_of_the_cell_counts(self) -> None:
        outputs = self.outputs()
        del outputs["reg"]
        (box,) = found("centernet", outputs).boxes
        assert box == pytest.approx([(14 - 5) * 4, (30 - 10) * 2, (14 + 5) * 4, (30 + 10) * 2])

    def test_peaks_at_the_border_and_on_a_plateau(self) -> None:
        heat = zeros(1, 3, 3)
        heat[0, 0, 0] = heat[0, 2, 2] = heat[0, 2, 1] = 0.5
        _, rows, columns, _ = peaks(heat, 0.4)
        assert list(zip(rows, columns, strict=True)) == [(0, 0), (2, 1), (2, 2)]
        assert not len(peaks(zeros(2, 0, 0), 0.4)[0])


def test_places_in_a_letterbox_are_mapped_back() -> None:
    frame = FrameInfo(50, 100, 100, 100, ResizeMode.LETTERBOX)  # 25 rows above and below
    rows = zeros(1, 1, 5)
    rows[0, 0] = [0.5, 0.5, 0.2, 0.1, 0.9]
    assert found("detr", {"o": rows}, frame).boxes[0] == pytest.approx([40, 20, 60, 30])


def test_the_numbers_of_cocos_annotations_name_the_same_things() -> None:
    assert len(COCO_IDS) == 91
    assert (COCO_IDS[1], COCO_IDS[3], COCO_IDS[13], COCO_IDS[90]) == (
        "person",
        "car",
        "stop sign",
        "toothbrush",
    )
