from __future__ import annotations

import json

import numpy as np
import pytest

from aegis_ros.decoders import DepthMap, FrameInfo, create_decoder, to_json
from aegis_ros.errors import ConfigError, DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec, ResizeMode

pytestmark = pytest.mark.filterwarnings("error")


def depth(values: np.ndarray, frame: FrameInfo, **options: object) -> np.ndarray:
    info = TensorInfo("o", str(values.dtype), values.shape)
    result = create_decoder("depth", options, PreprocessSpec(), [info]).decode({"o": values}, frame)
    assert isinstance(result, DepthMap) and result.metres.dtype == np.float32
    assert result.metres.shape == (frame.height, frame.width)
    return result.metres


SAME = FrameInfo(2, 3, 2, 3)
VALUES = np.asarray([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]], np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 2, 3), (1, 2, 3), (1, 2, 3, 1), (2, 3)])
def test_distances_are_read_in_each_layout(shape: tuple[int, ...]) -> None:
    assert np.array_equal(depth(VALUES.reshape(shape), SAME), VALUES)


def test_scale_and_shift_make_metres_of_relative_depth() -> None:
    assert np.array_equal(depth(VALUES[None], SAME, scale=0.5, shift=1.0), VALUES * 0.5 + 1)


def test_inverse_depth_of_zero_or_less_is_too_far() -> None:
    values = np.asarray([[[4.0, 1.0, 0.0], [-1.0, 0.5, 100.0]]], np.float32)
    made = depth(values, SAME, format="inverse", scale=2.0, max_m=10.0, min_m=0.1)
    assert made.tolist() == [[0.5, 2.0, np.inf], [np.inf, 4.0, -np.inf]]


def test_infinite_and_huge_values_are_bounded() -> None:
    values = np.asarray([[[np.inf, -np.inf, 3e38], [1.0, 1.0, 1.0]]], np.float32)
    for kind in ("depth", "inverse"):
        made = depth(values, SAME, format=kind, scale=1e6)
        assert not np.isnan(made).any()


def test_a_map_is_brought_to_the_frame_and_the_letterbox_left_out() -> None:
    frame = FrameInfo(8, 16, 16, 16, ResizeMode.LETTERBOX)  # 4 rows above and below
    values = np.full((1, 1, 8, 8), 99.0, np.float32)
    values[0, 0, 2:6] = 5.0
    assert set(np.unique(depth(values, frame, interpolation="nearest"))) == {5.0}


def test_nearest_leaves_nothing_between_a_thing_and_its_background() -> None:
    values = np.asarray([[[1.0, 9.0]]], np.float32)
    frame = FrameInfo(1, 8, 1, 2)
    assert set(np.unique(depth(values, frame, interpolation="nearest"))) == {1.0, 9.0}
    assert len(np.unique(depth(values, frame))) > 2


@pytest.mark.parametrize(
    ("shape", "options", "says"),
    [
        ((1, 3, 4, 4), {}, "one distance"),
        ((4,), {}, "rank"),
        ((1, 4, 4), {"min_m": 5.0, "max_m": 5.0}, "min_m"),
        ((1, 4, 4), {"scale": 0.0}, "scale"),
        ((1, 0, 4), {}, "empty"),
    ],
)
def test_what_cannot_be_read_is_refused(
    shape: tuple[int, ...], options: dict[str, object], says: str
) -> None:
    with pytest.raises((DecodeError, ConfigError), match=says):
        depth(np.zeros(shape, np.float32), SAME, **options)


def test_the_text_tells_how_far_things_are() -> None:
    metres = np.asarray([[1.0, np.inf], [3.0, np.nan]], np.float32)
    assert json.loads(to_json(DepthMap(metres))) == {
        "kind": "depth",
        "shape": [2, 2],
        "known": 0.5,
        "nearest_m": 1.0,
        "median_m": 2.0,
        "farthest_m": 3.0,
    }
    assert "nearest_m" not in json.loads(to_json(DepthMap(metres[:, 1:])))
