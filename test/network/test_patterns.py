"""Frames that networks are tried on where none of a robot are at hand."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.network.patterns import PATTERNS, patterns


@pytest.mark.parametrize("shape", [(), (7,), (9, 4), (40, 60, 3), (2, 30, 20, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_there_are_frames_of_every_rank_that_differ(shape: tuple[int, ...], dtype: str) -> None:
    frames = list(patterns(shape, dtype))
    assert len(frames) == PATTERNS
    assert all(frame.shape == shape and frame.dtype == dtype for frame in frames)
    assert all(frame.flags.c_contiguous for frame in frames)
    different = len({frame.tobytes() for frame in frames})
    assert different >= (9 if len(shape) > 2 else 3)


def test_a_frame_is_the_same_whichever_others_are_made() -> None:
    shape = (9, 7, 3)
    frames = list(patterns(shape, "uint8"))
    for number in range(PATTERNS):
        (alone,) = patterns(shape, "uint8", [number])
        assert np.array_equal(alone, frames[number])
    assert [each.tobytes() for each in patterns(shape, "uint8", {1, 5})] == [
        frames[number].tobytes() for number in (1, 5)
    ]
