from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.decoders.corners import to_corners
from aegis_ros.decoders.scores import best_class, sigmoid, softmax

pytestmark = pytest.mark.filterwarnings("error")
WILD = np.asarray([[-np.inf, 0.0, np.inf], [1e38, -1e38, 0.0]], np.float32)


def test_logits_become_probabilities() -> None:
    logits = np.asarray([[0.0, np.log(3.0)]], np.float32)
    assert softmax(logits) == pytest.approx(np.asarray([[0.25, 0.75]]))
    assert sigmoid(logits) == pytest.approx(np.asarray([[0.5, 0.75]]))


def test_whatever_the_logits_are_the_probabilities_are_finite() -> None:
    for made in (softmax(WILD), sigmoid(WILD)):
        assert np.isfinite(made).all() and (made >= 0).all() and (made <= 1).all()
    assert softmax(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_the_background_is_never_the_best_class() -> None:
    scores, classes = best_class(np.asarray([[0.9, 0.1, 0.2]], np.float32), 0)
    assert (scores.tolist(), classes.tolist()) == (pytest.approx([0.2]), [2])
    assert best_class(np.zeros((2, 0), np.float32))[1].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("kind", "box"),
    [
        ("xyxy", [1, 2, 5, 8]),
        ("yxyx", [2, 1, 8, 5]),
        ("cxcywh", [3, 5, 4, 6]),
        ("xywh", [1, 2, 4, 6]),
    ],
)
def test_boxes_are_brought_to_corners(kind: str, box: list[float]) -> None:
    made = to_corners(np.asarray([box], np.float32), kind)  # type: ignore[arg-type]
    assert made.tolist() == [[1.0, 2.0, 5.0, 8.0]]
    to_corners(np.full((1, 4), np.inf, np.float32), kind)  # type: ignore[arg-type]
