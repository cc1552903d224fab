"""What detectors found becomes one sentence, whatever they found."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.decoders import Classification, Detections, Obstacles, TextRegions, to_json
from aegis_ros.demo.sight import sentence_of


def _detections(*labels: str) -> str:
    count = len(labels)
    boxes, scores = np.zeros((count, 4), np.float32), np.ones(count, np.float32)
    return to_json(Detections(boxes, scores, labels))


def _obstacles(*distances: float) -> str:
    count = len(distances)
    return to_json(
        Obstacles(
            boxes=np.zeros((count, 4), np.float32),
            heights=np.ones(count, np.float32),
            distances=np.array(distances, np.float32),
            mask=np.zeros((2, 2), np.uint8),
            origin=(0.0, 0.0),
            resolution=0.1,
        )
    )


def _text(*texts: str) -> str:
    quads = np.zeros((len(texts), 4, 2), np.float32)
    return to_json(TextRegions(quads, texts, np.ones(len(texts), np.float32)))


def _classes(*labels: str) -> str:
    return to_json(Classification(labels, np.linspace(1, 0, len(labels), dtype=np.float32)))


def test_all_that_was_found_stands_in_one_sentence() -> None:
    found = {
        "faces": _detections("face"),
        "obstacles": _obstacles(7.0, 3.24),
        "text_detector": _text("", "", ""),
        "text_reader": _text("Region-based", "segmentation"),
        "direction": _classes("upright", "upside down"),
    }
    assert sentence_of(found) == (
        "It sees 1 face, 2 obstacles (the nearest 3.2 m away), 3 lines of text, the words "
        '"Region-based segmentation" and that the direction is upright.'
    )


@pytest.mark.parametrize(
    ("decoded", "said"),
    [
        (_detections("car", "bus", "car", "bus", "person"), "2 cars, 2 buses and 1 person"),
        (_detections(), "nothing with its front camera"),
        (_obstacles(), "no obstacle"),
        (_text(), "no line of text"),
    ],
)
def test_many_and_none_are_counted(decoded: str, said: str) -> None:
    assert sentence_of({"front_camera": decoded}) == f"It sees {said}."


@pytest.mark.parametrize(
    "decoded",
    [
        "",
        "[]",
        "{",
        '{"kind": "raw", "tensors": []}',
        '{"kind": "detections", "items": 3}',
        '{"kind": "obstacles", "items": [{"distance_m": "near"}]}',
        _classes(),
        _classes("0", "90"),  # a number of which nobody knows what it means
    ],
)
def test_what_there_are_no_words_for_is_left_out(decoded: str) -> None:
    assert sentence_of({"one": decoded}) == ""
    both = {"one": decoded, "two": _detections("face")}
    assert sentence_of(both) == "It sees 1 face."


def test_what_stands_in_a_picture_cannot_fill_the_context() -> None:
    found = {
        "page": _text(*["word"] * 10_000),
        "boxes": _detections(*(f"{number} {'x' * 10_000}" for number in range(1_000))),
        "kind": _classes("y" * 10_000),
    }
    assert len(sentence_of(found)) < 600
