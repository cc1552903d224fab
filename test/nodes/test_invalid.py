"""What becomes of NaN and infinite numbers in frames, and how they are seen in results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.errors import InputError
from aegis_ros.nodes.invalid import Cleaner, not_finite
from aegis_ros.orchestrator import Stream
from aegis_ros.spec import FrameFormat, Invalid

NAN, INF = np.nan, np.inf


def cleaner(format_: FrameFormat, max_shape: tuple[int, ...], invalid: Invalid) -> Cleaner:
    return Cleaner(Stream("", "/a", "", "best_effort", format_, max_shape, invalid))


numbers = st.sampled_from([0.0, -1.5, 3.0, NAN, INF, -INF, float(np.finfo(np.float32).max)])


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=20))
def test_points_that_have_a_number_too_few_are_left_out_and_the_others_keep_their_order(
    rows: list[tuple[float, float, float, float]],
) -> None:
    cloud = np.array(rows, np.float32)
    whole = cloud[np.isfinite(cloud).all(axis=1)].copy()
    clean = cleaner(FrameFormat.POINTS4F, (32, 4), Invalid.DROP).clean
    if not len(whole):
        with pytest.raises(InputError, match="no point is left"):
            clean(cloud)
        return
    left, count = clean(cloud)
    np.testing.assert_array_equal(left, whole)
    assert count == len(cloud) - len(whole)
    assert np.shares_memory(left, cloud) and left.flags.c_contiguous


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=20))
def test_points_may_be_set_to_zero_or_kept_instead(
    rows: list[tuple[float, float, float, float]],
) -> None:
    cloud = np.array(rows, np.float32)
    whole = np.isfinite(cloud).all(axis=1)
    kept, count = cleaner(FrameFormat.POINTS4F, (32, 4), Invalid.KEEP).clean(cloud.copy())
    np.testing.assert_array_equal(kept, cloud)
    assert count == np.count_nonzero(~whole)
    zeroed, count = cleaner(FrameFormat.POINTS4F, (32, 4), Invalid.ZERO).clean(cloud.copy())
    np.testing.assert_array_equal(zeroed, np.where(whole[:, None], cloud, np.float32(0)))
    assert count == np.count_nonzero(~whole)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (12,)])
def test_pixels_and_plain_numbers_keep_their_places(shape: tuple[int, ...]) -> None:
    frame = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    frame.reshape(-1)[[1, 4, 7]] = NAN, INF, -INF
    wanted = np.where(np.isfinite(frame), frame, np.float32(0))
    zero = cleaner(FrameFormat.DEPTH32F, (4, 5), Invalid.ZERO)
    for _ in range(2):  # what was found in a frame is forgotten with the next
        given_, count = zero.clean(frame.copy())
        np.testing.assert_array_equal(given_, wanted)
        assert count == 3
    clean, count = zero.clean(wanted.copy())
    assert count == 0
    np.testing.assert_array_equal(clean, wanted)
    kept, count = cleaner(FrameFormat.TENSOR32F, (4, 5), Invalid.KEEP).clean(frame.copy())
    np.testing.assert_array_equal(kept, frame)
    assert count == 3


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_outputs_that_hold_no_numbers_are_named(dtype: type[np.floating]) -> None:
    good = np.full((2, 400), np.finfo(dtype).max, dtype)  # their sum overflows, and they do not
    bad, worse = good.copy(), good.copy()
    bad[1, 7], worse[0, 0] = NAN, -INF
    outputs = {"a": good, "b": bad, "c": worse, "ids": np.array([1, 2]), "none": good[:0]}
    assert not_finite(outputs) == ("b", "c")
    assert not_finite({"a": good}) == ()
