"""Boxes in space against tensors worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from aegis_ros.decoders import Boxes3D, FrameInfo, create_decoder, to_json
from aegis_ros.errors import ConfigError, DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec

pytestmark = pytest.mark.filterwarnings("error")
SCAN = FrameInfo(1000, 4, 1000, 4)
CAR = [10.0, -2.0, 0.5, 4.0, 1.8, 1.5, 0.3]
Arrays = dict[str, np.ndarray]


def found(name: str, outputs: Arrays, **options: object) -> Boxes3D:
    infos = [TensorInfo(key, str(value.dtype), value.shape) for key, value in outputs.items()]
    result = create_decoder(name, options, PreprocessSpec(), infos).decode(outputs, SCAN)
    assert isinstance(result, Boxes3D) and result.boxes.dtype == np.float32
    return result


def rows(*each: list[float]) -> np.ndarray:
    return np.asarray([each], np.float32)


class TestRows:
    def test_reads_rows_with_score_and_class(self) -> None:
        result = found("boxes_3d", {"o": rows([*CAR, 0.9, 1.0])}, labels=["person", "car"])
        assert result.boxes == pytest.approx(np.asarray([CAR]))
        assert (result.labels, result.scores) == (("car",), pytest.approx([0.9]))
        assert result.velocities is None

    def test_reads_scores_and_classes_of_their_own(self) -> None:
        outputs = {
            "boxes": rows(CAR, CAR),
            "scores": np.asarray([[0.2, 0.9]], np.float32),
            "labels": np.asarray([[1, 3]]),
        }
        result = found("boxes_3d", outputs, first_class=1)
        assert (result.labels, result.scores) == (("class 2",), pytest.approx([0.9]))

    def test_takes_the_best_of_the_class_scores(self) -> None:
        outputs = {"b": rows(CAR), "s": np.asarray([[[0.1, 0.8, 0.2]]], np.float32)}
        result = found("boxes_3d", outputs, labels=["a", "b", "c"])
        assert (result.labels, result.scores) == (("b",), pytest.approx([0.8]))

    def test_columns_say_what_the_numbers_are(self) -> None:
        names = ["class", "score", "x", "y", "z", "width", "length", "height", "yaw", "vx", "vy"]
        row = [2, 0.9, 10, -2, -0.25, 1.8, 4.0, 1.5, 0.3, 3.0, -1.0]
        result = found("boxes_3d", {"o": rows(row)}, columns=names, z="bottom")
        assert result.boxes == pytest.approx(np.asarray([CAR]))
        assert result.velocities is not None and result.velocities.tolist() == [[3.0, -1.0]]
        assert result.labels == ("class 2",)

    def test_yaw_is_brought_to_ours_and_into_one_turn(self) -> None:
        clockwise: dict[str, Any] = {"yaw": "clockwise", "yaw_offset": -np.pi / 2}
        for yaw in (0.25, 0.25 + 4 * np.pi):
            row = [*CAR[:6], yaw, 0.9, 0]
            (box,) = found("boxes_3d", {"o": rows(row)}, **clockwise).boxes
            assert box[6] == pytest.approx(-0.25 - np.pi / 2, abs=1e-5)

    def test_of_boxes_too_close_the_best_of_each_class_stays(self) -> None:
        near = [10.3, *CAR[1:]]
        far = [11.0, *CAR[1:]]
        outputs = {"o": rows([*CAR, 0.6, 0], [*near, 0.9, 0], [*near, 0.5, 1], [*far, 0.4, 0])}
        result = found("boxes_3d", outputs, min_distance_m=0.5)
        assert result.scores == pytest.approx([0.9, 0.5, 0.4])
        assert len(found("boxes_3d", outputs).boxes) == 4

    @pytest.mark.parametrize("wrong", [np.inf, -np.inf, 1e30])
    def test_boxes_that_are_no_boxes_are_left_out(self, wrong: float) -> None:
        bad = [[wrong, *CAR[1:]], [*CAR[:3], 0.0, 1, 1, 0], [*CAR[:3], -1, 1, 1, 0]]
        outputs = {"o": rows(*([*box, 0.9, wrong] for box in bad))}
        assert not len(found("boxes_3d", outputs).boxes)

    @pytest.mark.parametrize(
        ("shape", "options", "says"),
        [
            ((1, 9, 8), {}, "8 numbers"),
            ((1, 9, 7), {}, "output number 1"),
            ((1, 9, 9), {"columns": ["x", "y"]}, "z is missing"),
            ((1, 9, 9), {"columns": ["x", "x", "y", "z"]}, "columns"),
            ((1, 9, 9), {"columns": ["depth"]}, "columns"),
        ],
    )
    def test_other_rows_are_refused(
        self, shape: tuple[int, ...], options: dict[str, object], says: str
    ) -> None:
        with pytest.raises((DecodeError, ConfigError), match=says):
            found("boxes_3d", {"o": np.zeros(shape, np.float32)}, **options)


PLACE: dict[str, Any] = {"origin_m": [-8.0, -4.0], "cell_m": [0.5, 0.5]}


class TestCenterPoint:
    def heads(self) -> Arrays:
        shapes = {"heatmap": 2, "reg": 2, "height": 1, "dim": 3, "rot": 2, "vel": 2}
        heads = {name: np.zeros((1, count, 16, 32), np.float32) for name, count in shapes.items()}
        heads["heatmap"] -= 9.0
        heads["heatmap"][0, 1, 4, 20] = np.log(0.8 / 0.2)
        heads["reg"][0, :, 4, 20] = [0.5, 0.25]
        heads["height"][0, 0, 4, 20] = -0.75
        heads["dim"][0, :, 4, 20] = np.log([4.0, 1.8, 1.5])
        heads["rot"][0, :, 4, 20] = [np.sin(0.3), np.cos(0.3)]
        heads["vel"][0, :, 4, 20] = [3.0, -1.0]
        return heads

    EXPECTED = ((20.5 * 0.5 - 8, 4.25 * 0.5 - 4, -0.75, 4.0, 1.8, 1.5, 0.3),)

    def test_reads_peaks_with_what_each_head_says_of_them(self) -> None:
        result = found("centerpoint", self.heads(), **PLACE, labels=["person", "car"])
        assert result.boxes == pytest.approx(np.asarray(self.EXPECTED), abs=1e-5)
        assert (result.labels, result.scores) == (("car",), pytest.approx([0.8]))
        assert result.velocities is not None and result.velocities.tolist() == [[3.0, -1.0]]

    def test_heads_without_names_come_in_the_usual_order(self) -> None:
        heads = {f"o{index}": head for index, head in enumerate(self.heads().values())}
        heads.pop("o5")
        result = found("centerpoint", heads, **PLACE)
        assert result.boxes == pytest.approx(np.asarray(self.EXPECTED), abs=1e-5)
        assert result.velocities is None

    def test_heads_may_be_named_and_sizes_be_plain_and_turned(self) -> None:
        heads = self.heads()
        heads["dim"] = np.exp(heads["dim"])[:, [1, 0, 2]]
        turned = dict(reversed(heads.items()))
        options: dict[str, Any] = {"size_order": "wlh", "log_size": False}
        result = found("centerpoint", turned, **PLACE, **options, heads={"size": "dim"})
        assert result.boxes == pytest.approx(np.asarray(self.EXPECTED), abs=1e-5)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({}, "origin_m"),
            ({**PLACE, "heads": {"wings": "dim"}}, "wings"),
            ({**PLACE, "heads": {"z": "dim"}}, "channels"),
            ({**PLACE, "cell_m": [0.5, 0.0]}, "cell_m"),
            ({**PLACE, "labels": ["one"]}, "1 labels"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, options: dict[str, Any], says: str) -> None:
        with pytest.raises((DecodeError, ConfigError), match=says):
            found("centerpoint", self.heads(), **options)


def test_the_text_tells_places_sizes_and_velocities() -> None:
    text = to_json(
        Boxes3D(
            np.asarray([CAR], np.float32),
            np.asarray([0.9], np.float32),
            ("car",),
            np.asarray([[3.0, -1.0]], np.float32),
        )
    )
    assert json.loads(text) == {
        "kind": "boxes_3d",
        "items": [
            {
                "label": "car",
                "score": 0.9,
                "center_m": [10.0, -2.0, 0.5],
                "size_m": [4.0, 1.8, 1.5],
                "yaw": 0.3,
                "velocity": [3.0, -1.0],
            }
        ],
    }
