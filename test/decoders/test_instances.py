"""Instance masks against tensors worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.decoders import Detections, FrameInfo, create_decoder
from aegis_ros.errors import ConfigError, DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec, ResizeMode

pytestmark = pytest.mark.filterwarnings("error")
FRAME = FrameInfo(80, 80, 40, 40)  # prototypes are 20 x 20: a cell is 4 pixels of the frame
Arrays = dict[str, np.ndarray]


def found(outputs: Arrays, frame: FrameInfo = FRAME, **options: object) -> Detections:
    infos = [TensorInfo(key, str(value.dtype), value.shape) for key, value in outputs.items()]
    result = create_decoder("instances", options, PreprocessSpec(), infos).decode(outputs, frame)
    assert isinstance(result, Detections) and result.instances is not None
    assert result.instances.shape == (frame.height, frame.width)
    return result


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def protos() -> np.ndarray:
    """The first prototype marks the left half of the picture, the second all of it."""
    made = zeros(1, 2, 20, 20)
    made[0, 0] = -10.0
    made[0, 0, :, :10] = 10.0
    made[0, 1] = 10.0
    return made


ROWS = {
    "yolov8": [20, 20, 20, 20, 0.9, 0.1],
    "yolov5": [20, 20, 20, 20, 1.0, 0.9, 0.1],
    "end2end": [10, 10, 30, 30, 0.9, 0.0],
}


@pytest.mark.parametrize("kind", ROWS)
def test_a_mask_is_the_sum_of_prototypes_inside_its_box(kind: str) -> None:
    rows = np.asarray([[ROWS[kind] + [1.0, 0.0]]], np.float32)
    outputs = {"rows": rows.transpose(0, 2, 1).copy() if kind == "yolov8" else rows}
    result = found({**outputs, "protos": protos()}, format=kind)
    assert result.boxes.tolist() == [[20.0, 20.0, 60.0, 60.0]]
    expected = np.zeros((80, 80), np.uint8)
    expected[20:60, 20:40] = 1
    assert np.array_equal(result.instances, expected)


def test_the_better_of_two_lies_on_top_and_comes_first() -> None:
    rows = np.asarray([[[10, 10, 30, 30, 0.6, 0, 0, 1], [0, 10, 20, 30, 0.9, 1, 0, 1]]], np.float32)
    result = found({"r": rows, "p": protos()}, format="end2end")
    assert result.scores == pytest.approx([0.9, 0.6]) and result.labels == ("class 1", "class 0")
    assert result.instances is not None
    assert set(np.unique(result.instances[20:60, :40])) == {1}
    assert set(np.unique(result.instances[20:60, 40:60])) == {2}
    assert result.instances[:20].max() == 0 and result.instances[:, 60:].max() == 0


def test_masks_of_a_letterbox_are_mapped_back() -> None:
    frame = FrameInfo(20, 40, 40, 40, ResizeMode.LETTERBOX)  # 10 rows above and below
    rows = np.asarray([[[0, 10, 40, 30, 0.9, 0, 1.0, 0.0]]], np.float32)
    result = found({"r": rows, "p": protos()}, frame, format="end2end")
    assert result.instances is not None
    assert result.instances[:, :20].min() == 1 and result.instances[:, 20:].max() == 0


@pytest.mark.parametrize("turned", [False, True])
def test_reads_masks_over_their_boxes(turned: bool) -> None:
    masks = zeros(2, 1, 28, 28)
    masks[1, 0, :, 14:] = 1.0
    outputs = {
        "boxes": np.asarray([[0, 0, 4, 4], [10, 10, 30, 30]], np.float32),
        "labels": np.asarray([1, 2]),
        "scores": np.asarray([0.1, 0.9], np.float32),
        "masks": masks.swapaxes(0, 1).copy() if turned else masks,
    }
    result = found(outputs, format="masks", labels=["a", "b"], first_class=1)
    assert result.labels == ("b",) and result.instances is not None
    expected = np.zeros((80, 80), np.uint8)
    expected[20:60, 40:60] = 1
    assert np.array_equal(result.instances, expected)


def test_reads_masks_over_the_whole_frame() -> None:
    masks = zeros(1, 1, 40, 40)
    masks[0, 0, 15:25, 15:25] = 0.9
    outputs = {
        "boxes": np.asarray([[10, 10, 30, 30]], np.float32),
        "labels": np.asarray([0]),
        "scores": np.asarray([0.9], np.float32),
        "masks": masks,
    }
    result = found(outputs, format="masks", masks_cover="frame")
    assert result.instances is not None
    expected = np.zeros((80, 80), np.uint8)
    expected[30:50, 30:50] = 1
    assert np.array_equal(result.instances, expected)


@pytest.mark.parametrize("shape", [(0, 28), (28, 0)])
def test_masks_without_cells_are_refused(shape: tuple[int, int]) -> None:
    outputs = {
        "boxes": np.asarray([[10, 10, 30, 30]], np.float32),
        "labels": np.asarray([0]),
        "scores": np.asarray([0.9], np.float32),
        "masks": zeros(1, 1, 28, 28),
    }
    infos = [TensorInfo(key, str(value.dtype), value.shape) for key, value in outputs.items()]
    decoder = create_decoder("instances", {"format": "masks"}, PreprocessSpec(), infos)
    with pytest.raises(DecodeError, match="the masks have no cells"):
        decoder.decode({**outputs, "masks": zeros(1, 1, *shape)}, FRAME)


def test_a_frame_without_things_has_an_empty_map() -> None:
    result = found({"r": zeros(1, 9, 8), "p": protos()}, format="end2end")
    assert len(result.boxes) == 0 and result.instances is not None and not result.instances.any()


def test_infinite_coefficients_and_prototypes_are_no_trouble() -> None:
    rows = np.asarray([[[10, 10, 30, 30, 0.9, 0, np.inf, -np.inf]]], np.float32)
    found({"r": rows, "p": np.full((1, 2, 20, 20), np.inf, np.float32)}, format="end2end")


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        ((1, 6, 100), {}, "numbers a box"),
        ((1, 100, 9), {"format": "end2end"}, "expected 8 numbers"),
        ((1, 8, 100), {"labels": ["one"]}, "1 labels"),
        ((1, 8), {}, "rank 3"),
        ((1, 8, 100), {"max_boxes": 256}, "255"),
    ],
)
def test_other_outputs_are_refused(
    rows: tuple[int, ...], options: dict[str, object], says: str
) -> None:
    with pytest.raises((DecodeError, ConfigError), match=says):
        found({"r": zeros(*rows), "p": protos()}, **options)


def test_less_masks_than_boxes_are_refused() -> None:
    outputs = {
        "boxes": np.asarray([[0, 0, 4, 4], [10, 10, 30, 30]], np.float32),
        "labels": np.asarray([1, 2]),
        "scores": np.asarray([0.8, 0.9], np.float32),
        "masks": zeros(1, 1, 28, 28),
    }
    with pytest.raises(DecodeError, match="one mask a box"):
        found(outputs, format="masks")
