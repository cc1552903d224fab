"""Which parts of a frame a result chooses, and what is cut out of it."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.decoders import Classification, Detections, TextRegions
from aegis_ros.orchestrator.crops import choose, cut
from aegis_ros.spec import CropsSpec, PreprocessSpec, ResizeMode

FRAME = (40, 60, 3)


def found(*rows: tuple[float, ...], labels: tuple[str, ...] = ()) -> Detections:
    values = np.asarray(rows, np.float32).reshape(-1, 5)
    return Detections(values[:, :4], values[:, 4], labels or ("thing",) * len(values))


def test_the_best_boxes_come_first_and_no_more_than_are_wanted():
    result = found((0, 0, 9, 9, 0.3), (10, 10, 20, 20, 0.9), (5, 5, 8, 8, 0.6))
    crops = choose(result, CropsSpec(max_crops=2), FRAME)
    assert crops is not None
    assert crops.boxes.tolist() == [[10, 10, 20, 20], [5, 5, 8, 8]]
    np.testing.assert_allclose(crops.scores, [0.9, 0.6])


def test_scores_and_labels_leave_boxes_out():
    result = found(
        (0, 0, 9, 9, 0.3), (1, 1, 9, 9, 0.9), (2, 2, 9, 9, 0.8), labels=("car", "car", "cat")
    )
    crops = choose(result, CropsSpec(min_score=0.5, labels=("car",)), FRAME)
    assert crops is not None
    assert (crops.boxes.tolist(), crops.labels) == ([[1, 1, 9, 9]], ("car",))


def test_boxes_grow_by_the_margin_stay_inside_and_are_not_empty():
    result = found((0, 0, 10, 20, 0.9), (50, 30, 60, 40, 0.8), (70, 5, 90, 9, 0.7))
    crops = choose(result, CropsSpec(margin=0.1), FRAME)
    assert crops is not None
    assert crops.boxes.tolist() == [[0, 0, 11, 22], [49, 29, 60, 40]]


def test_a_place_with_text_is_cut_as_the_box_around_it():
    quads = np.asarray([[[3, 4], [12, 2], [13, 9], [4, 11]]], np.float32)
    result = TextRegions(quads, ("stop",), np.asarray([0.9], np.float32))
    crops = choose(result, CropsSpec(), FRAME)
    assert crops is not None
    assert (crops.boxes.tolist(), crops.labels) == ([[3, 2, 13, 11]], ("stop",))


def test_a_result_without_places_chooses_nothing_and_one_that_can_hold_none_says_so():
    crops = choose(found(), CropsSpec(), FRAME)
    assert crops is not None and len(crops) == 0
    empty = TextRegions(np.zeros((0, 4, 2), np.float32), (), np.zeros(0, np.float32))
    crops = choose(empty, CropsSpec(), FRAME)
    assert crops is not None and len(crops) == 0
    label = Classification(("cat",), np.ones(1, np.float32))
    assert choose(label, CropsSpec(), FRAME) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_boxes_that_are_no_numbers_are_left_out_without_a_warning(number: float):
    whole = (10, 10, 20, 20, 0.9)
    rows = [(*whole[:column], number, *whole[column + 1 :]) for column in range(5)]
    crops = choose(found((number,) * 5, *rows, whole), CropsSpec(margin=0.1), FRAME)
    assert crops is not None and crops.boxes.tolist() == [[9, 9, 21, 21]]
    quads = np.full((1, 4, 2), number, np.float32)
    crops = choose(TextRegions(quads, ("?",), np.ones(1, np.float32)), CropsSpec(), FRAME)
    assert crops is not None and len(crops) == 0


@pytest.mark.parametrize("resize", [ResizeMode.STRETCH, ResizeMode.LETTERBOX])
def test_each_part_is_brought_to_the_networks_size(resize):
    frame = np.zeros(FRAME, np.uint8)
    frame[10:20, 10:20], frame[20:30, 40:60] = 90, 200
    crops = choose(found((10, 10, 20, 20, 0.9), (40, 20, 60, 30, 0.8)), CropsSpec(), FRAME)
    assert crops is not None
    target = np.zeros((2, 8, 8, 3), np.uint8)
    cut(frame, crops, PreprocessSpec(size=(8, 8), resize=resize, pad=7), target)
    assert np.all(target[0] == 90)
    assert np.all(target[1, 2:6] == 200)
    assert np.all(target[1, :2] == (200 if resize is ResizeMode.STRETCH else 7))
