"""A run that OpenVINO gives up makes no result: not that of the frame before either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from aegis_ros.backends.openvino.marks import is_marked, mark
from aegis_ros.errors import BackendError
from test.backends.extras import needs
from test.backends.rare_frames import USUAL, loaded


@needs("openvino")
def test_a_frame_on_which_an_operator_fails_is_a_failed_job_that_says_why(tmp_path: Path) -> None:
    run = loaded(
        "openvino",
        [
            helper.make_node("Reshape", ["asked", "shape"], ["count"]),
            helper.make_node("TopK", ["table", "count"], ["found", "places"]),
        ],
        tmp_path,
        usual=np.int64(2),
        rare=np.int64(9),  # more than there are
        shape=np.array([1]),
        table=np.arange(8, dtype=np.float32),
    )
    for pixel in (USUAL[0], 137, 137, USUAL[1]):
        if pixel in USUAL:
            np.testing.assert_allclose(run(pixel), 7 + 6 + pixel, rtol=1e-5)
            continue
        with pytest.raises(BackendError, match="incompatible with provided dimensions"):
            run(pixel)


def test_a_mark_is_gone_with_the_first_number() -> None:
    for dtype in (np.float16, np.float32, np.float64, np.int64, np.bool_):
        output = np.zeros((1, 3), dtype)
        assert is_marked([mark(output)])
        output[:] = 1
        place = mark(output)
        output[0, 0] = 0
        assert not is_marked([place])


def test_a_few_whole_numbers_and_nothing_at_all_are_not_marked() -> None:
    small, nothing = np.array([3], np.uint8), np.zeros((0, 4), np.float32)
    assert not is_marked([mark(small), mark(nothing)])
    assert small == 3
