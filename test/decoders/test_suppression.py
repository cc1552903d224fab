from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aegis_ros.decoders.suppression import suppress

BOXES = np.asarray([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]], np.float32)
SCORES = np.asarray([0.6, 0.9, 0.5], np.float32)


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union, as it is defined."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1, dtype=np.float64)
    areas = [np.prod(each[..., 2:] - each[..., :2], axis=-1) for each in (box, others)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)


def test_overlap_is_intersection_over_union() -> None:
    for threshold, kept in ((81 / 119 - 0.001, [1, 2]), (81 / 119 + 0.001, [1, 0, 2])):
        assert suppress(BOXES, SCORES, None, threshold, limit=10).tolist() == kept


def test_the_better_of_two_overlapping_boxes_stays() -> None:
    assert suppress(BOXES, SCORES, None, 0.5, limit=10).tolist() == [1, 2]


def test_boxes_of_other_classes_stay() -> None:
    assert suppress(BOXES, SCORES, np.asarray([0, 1, 0]), 0.5, limit=10).tolist() == [1, 0, 2]


def test_keeps_no_more_than_the_limit() -> None:
    assert suppress(BOXES, SCORES, None, 0.9, limit=1).tolist() == [1]


def test_nothing_in_nothing_out() -> None:
    empty = np.zeros((0, 4), np.float32)
    assert suppress(empty, np.zeros(0, np.float32), np.zeros(0, np.int64), 0.5, limit=10).size == 0


@given(
    arrays.arrays(np.float32, (12, 4), elements=st.floats(-100, 100, width=32)),
    arrays.arrays(np.float32, 12, elements=st.floats(0, 1, width=32)),
)
def test_no_two_kept_boxes_overlap_more_than_allowed(
    corners: np.ndarray, scores: np.ndarray
) -> None:
    boxes = np.concatenate([corners[:, :2], corners[:, :2] + np.abs(corners[:, 2:])], axis=1)
    kept = suppress(boxes, scores, None, 0.4, limit=100)
    assert np.all(np.diff(scores[kept]) <= 0)
    for place, index in enumerate(kept):
        assert np.all(iou(boxes[index], boxes[kept[place + 1 :]]) <= 0.4 + 1e-6)
