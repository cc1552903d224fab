from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.decoders import FrameInfo
from aegis_ros.spec import PreprocessSpec, ResizeMode

extent = st.integers(2, 4000)


def test_stretching_maps_each_axis_on_its_own() -> None:
    frame = FrameInfo(1080, 1920, 480, 640)
    assert frame.to_source(np.asarray([[320.0, 240.0], [640.0, 480.0]])) == pytest.approx(
        np.asarray([[960.0, 540.0], [1920.0, 1080.0]])
    )


def test_letterbox_takes_its_borders_off() -> None:
    frame = FrameInfo(360, 640, 640, 640, ResizeMode.LETTERBOX)
    assert frame.inner == (140, 0, 360, 640)
    assert frame.to_source(np.asarray([[100.0, 240.0]])) == pytest.approx(
        np.asarray([[100.0, 100.0]])
    )


def test_what_lies_outside_the_frame_is_brought_to_its_edge() -> None:
    frame = FrameInfo(100, 200, 100, 200)
    assert frame.to_source(np.asarray([[-5.0, 1e9]])).tolist() == [[0.0, 100.0]]


@given(extent, extent, extent, extent, st.sampled_from(list(ResizeMode)))
def test_the_corners_of_the_frame_come_back_as_its_corners(
    height: int, width: int, input_height: int, input_width: int, resize: ResizeMode
) -> None:
    frame = FrameInfo(height, width, input_height, input_width, resize)
    top, left, inner_height, inner_width = frame.inner
    corners = np.asarray([[left, top], [left + inner_width, top + inner_height]], np.float64)
    assert np.allclose(frame.to_source(corners), [[0, 0], [width, height]], rtol=1e-5)


def test_it_is_made_from_a_frames_shape_and_the_preprocessing() -> None:
    spec = PreprocessSpec(size=(48, 64), resize=ResizeMode.LETTERBOX)
    assert FrameInfo.of((10, 20, 3), spec) == FrameInfo(10, 20, 48, 64, ResizeMode.LETTERBOX)
    assert FrameInfo.of((10, 20, 3), PreprocessSpec()).inner == (0, 0, 10, 20)
    assert FrameInfo.of((100,), PreprocessSpec()).height == 100
