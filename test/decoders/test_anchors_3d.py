"""Boxes of PointPillars' heads, against their published definition written out in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aegis_ros.decoders import Boxes3D, FrameInfo, create_decoder
from aegis_ros.errors import ConfigError, DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec

pytestmark = pytest.mark.filterwarnings("error")
SCAN = FrameInfo(1000, 4, 1000, 4)
RANGE = (0.0, -8.0, 16.0, 8.0)
ANCHORS = [[0.8, 0.6, 1.7, -0.6], [3.9, 1.6, 1.5, -1.8]]
TURNS = (0.0, math.pi / 2)
HIGH, WIDE, CLASSES = 5, 6, 2
EACH = len(ANCHORS) * len(TURNS)


def heads(seed: int) -> dict[str, np.ndarray]:
    """Heads [1, Y, X, A * n], of which a few anchors are likely."""
    generator = np.random.default_rng(seed)
    return {
        "cls_preds": generator.normal(-3, 2, (1, HIGH, WIDE, EACH * CLASSES)).astype(np.float32),
        "box_preds": generator.normal(0, 0.3, (1, HIGH, WIDE, EACH * 7)).astype(np.float32),
        "dir_cls_preds": generator.normal(0, 1, (1, HIGH, WIDE, EACH * 2)).astype(np.float32),
    }


def decoded(outputs: dict[str, np.ndarray], **options: object) -> Boxes3D:
    infos = [TensorInfo(name, "float32", each.shape) for name, each in outputs.items()]
    given = {"range_m": list(RANGE), "anchors": ANCHORS, "min_distance_m": 0.0} | options
    found = create_decoder("anchors_3d", given, PreprocessSpec(), infos).decode(outputs, SCAN)
    assert isinstance(found, Boxes3D)
    return found


def reference(
    outputs: dict[str, np.ndarray], *, centred: bool = False, order: str = "lwh"
) -> list[tuple[float, int, list[float]]]:
    """Score, class and box of all anchors above 0.3, best first, as OpenPCDet has them.

    Anchors by AnchorGenerator (edges on the range, or centres of cells), boxes by ResidualCoder,
    headings by the direction classifier with ``dir_offset`` 0.78539 and ``dir_limit_offset`` 0.
    """
    found = []
    for y in range(HIGH):
        for x in range(WIDE):
            number = 0
            for length, width, height, bottom in ANCHORS:
                for turn in TURNS:
                    logits = outputs["cls_preds"][0, y, x, number * CLASSES :][:CLASSES]
                    change = [
                        float(each) for each in outputs["box_preds"][0, y, x, number * 7 :][:7]
                    ]
                    towards = outputs["dir_cls_preds"][0, y, x, number * 2 :][:2]
                    number += 1
                    score = max(1 / (1 + math.exp(-float(each))) for each in logits)
                    if score < 0.3:
                        continue
                    if centred:
                        at_x = RANGE[0] + (x + 0.5) * (RANGE[2] - RANGE[0]) / WIDE
                        at_y = RANGE[1] + (y + 0.5) * (RANGE[3] - RANGE[1]) / HIGH
                    else:
                        at_x = RANGE[0] + x * (RANGE[2] - RANGE[0]) / (WIDE - 1)
                        at_y = RANGE[1] + y * (RANGE[3] - RANGE[1]) / (HIGH - 1)
                    diagonal = math.sqrt(length**2 + width**2)
                    dl, dw = (change[3], change[4]) if order == "lwh" else (change[4], change[3])
                    heading = change[6] + turn
                    value = heading - math.pi / 4
                    heading = value - math.floor(value / math.pi + 0.0) * math.pi
                    heading += math.pi / 4 + math.pi * int(towards.argmax())
                    box = [
                        change[0] * diagonal + at_x,
                        change[1] * diagonal + at_y,
                        change[2] * height + bottom + height / 2,
                        math.exp(dl) * length,
                        math.exp(dw) * width,
                        math.exp(change[5]) * height,
                        heading,
                    ]
                    found.append((score, int(logits.argmax()), box))
    return sorted(found, key=lambda each: -each[0])


def same(found: Boxes3D, wanted: list[tuple[float, int, list[float]]]) -> None:
    assert 5 < len(wanted) < EACH * HIGH * WIDE
    assert found.scores == pytest.approx([score for score, *_ in wanted], abs=1e-5)
    assert found.labels == tuple(("person", "car")[index] for _, index, _ in wanted)
    boxes = np.asarray([box for *_, box in wanted])
    assert found.boxes[:, :6] == pytest.approx(boxes[:, :6], abs=1e-4)
    turns = (found.boxes[:, 6] - boxes[:, 6]) / (2 * math.pi)
    assert turns == pytest.approx(np.round(turns), abs=1e-5)
    assert np.abs(found.boxes[:, 6]).max() <= math.pi + 1e-6


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("order", ["lwh", "wlh"])
@pytest.mark.parametrize("last", [True, False])
def test_anchors_become_what_the_definition_says(centred: bool, order: str, last: bool) -> None:
    outputs = heads(5)
    wanted = reference(outputs, centred=centred, order=order)
    if not last:
        outputs = {
            name: np.ascontiguousarray(each.transpose(0, 3, 1, 2)) for name, each in outputs.items()
        }
    options = {"align_center": centred, "size_order": order, "labels": ["person", "car"]}
    same(decoded(outputs, **options), wanted)


def test_heads_are_found_whatever_their_order_and_names() -> None:
    first = heads(5)
    names = {"cls_preds": "a", "box_preds": "b", "dir_cls_preds": "c"}
    wanted = decoded(first).boxes
    backwards = dict(reversed(first.items()))
    np.testing.assert_array_equal(decoded(backwards).boxes, wanted)
    strange = {names[name]: each for name, each in backwards.items()}
    given = {"scores": "a", "boxes": "b", "directions": "c"}
    np.testing.assert_array_equal(decoded(strange, heads=given).boxes, wanted)


def test_without_directions_the_heading_is_that_of_the_box() -> None:
    outputs = {name: each for name, each in heads(5).items() if not name.startswith("dir")}
    assert len(decoded(outputs).boxes) == len(reference(heads(5)))


def test_of_boxes_that_are_close_the_best_stays() -> None:
    outputs = heads(5)
    near = decoded(outputs, min_distance_m=3.0)
    assert 0 < len(near.boxes) < len(decoded(outputs).boxes)


def test_numbers_without_bound_are_left_out() -> None:
    outputs = heads(5)
    outputs["box_preds"][...] = 1e30
    assert len(decoded(outputs).boxes) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"anchors": ANCHORS[:1]}, "a multiple of|: 1 anchors in 2 rotations"),
        ({"rotations": [0.0]}, "2 anchors in 1 rotations"),
        ({"heads": {"size": "a"}}, "no head 'size'"),
    ],
)
def test_heads_of_another_network_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        decoded(heads(5), **options)


@pytest.mark.parametrize(
    "options", [{"range_m": [0, 0, 0, 8]}, {"anchors": [[0.0, 1.0, 1.0, 0.0]]}, {"rotations": []}]
)
def test_options_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        decoded(heads(5), **options)
