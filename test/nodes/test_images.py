from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.errors import InputError
from aegis_ros.nodes.cdr import HeaderView, ImageView
from aegis_ros.nodes.images import (
    ENCODINGS,
    color_shape,
    depth_shape,
    write_color,
    write_depth,
)

_HEADER = HeaderView(1, 2, "camera")
_DEPTH_ONLY = {"16UC1", "32FC1"}
_COLOR = [name for name in ENCODINGS if name not in _DEPTH_ONLY]
# Red, green, blue, white in quarters: large even areas, so that interpolation and chroma
# subsampling leave their inside alone.
_QUARTERS = np.zeros((32, 48, 3), np.uint8)
_QUARTERS[:16, :24] = (250, 10, 10)
_QUARTERS[:16, 24:] = (10, 250, 10)
_QUARTERS[16:, :24] = (10, 10, 250)
_QUARTERS[16:, 24:] = (240, 240, 240)
_INSIDE = [(8, 12), (8, 36), (24, 12), (24, 36)]


def view(
    pixels: np.ndarray, encoding: str, *, padding: int = 0, big: bool = False, height: int = 0
) -> ImageView:
    """Rows [rows, bytes] of an image as a message, with ``padding`` bytes after each row."""
    rows = pixels.reshape(pixels.shape[0], -1)
    if rows.dtype.itemsize > 1 and big:
        rows = rows.astype(rows.dtype.newbyteorder(">"))
    content = rows.view(np.uint8) if rows.dtype != np.uint8 else rows
    padded = np.full((content.shape[0], content.shape[1] + padding), 0xAA, np.uint8)
    padded[:, : content.shape[1]] = content
    return ImageView(
        _HEADER,
        height or pixels.shape[0],
        pixels.shape[1],
        encoding,
        big,
        padded.shape[1],
        memoryview(padded.tobytes()),
    )


def color(image: ImageView) -> np.ndarray:
    target = np.full(color_shape(image), 77, np.uint8)
    write_color(image, target)
    return target


def depth(image: ImageView) -> np.ndarray:
    target = np.full(depth_shape(image), -1.0, np.float32)
    write_depth(image, target)
    return target


def bayer(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """Sample a picture as a sensor with this pattern (first row's two, second row's two) does."""
    mosaic = np.zeros(rgb.shape[:2], np.uint8)
    for index, letter in enumerate(pattern):
        row, column = divmod(index, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, "rgb".index(letter)]
    return mosaic


def yuv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BT.601 with studio swing, written out (ITU-R BT.601-7)."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    return tuple(np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in (y, u, v))  # type: ignore[return-value]


@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("rgb8", (0, 1, 2)),
        ("bgr8", (2, 1, 0)),
        ("8UC3", (2, 1, 0)),
        ("rgba8", (0, 1, 2, 3)),
        ("bgra8", (2, 1, 0, 3)),
        ("8UC4", (2, 1, 0, 3)),
    ],
)
def test_colour_bytes_come_out_as_rgb(encoding: str, order: tuple[int, ...], padding: int) -> None:
    rng = np.random.default_rng(1)
    rgba = rng.integers(0, 256, (5, 7, 4), np.uint8)
    image = view(np.ascontiguousarray(rgba[:, :, list(order)]), encoding, padding=padding)
    np.testing.assert_array_equal(color(image), rgba[:, :, :3])


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_bytes_come_out_three_times(encoding: str, padding: int) -> None:
    grey = np.random.default_rng(2).integers(0, 256, (5, 7), np.uint8)
    np.testing.assert_array_equal(
        color(view(grey, encoding, padding=padding)), np.repeat(grey[:, :, None], 3, 2)
    )


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("big", [False, True])
def test_grey_words_are_scaled_to_bytes(big: bool, padding: int) -> None:
    words = np.array([[0, 257, 25700], [65535, 32896, 514]], np.uint16)
    expected = np.array([[0, 1, 100], [255, 128, 2]], np.uint8)
    out = color(view(words, "mono16", padding=padding, big=big))
    np.testing.assert_array_equal(out, np.repeat(expected[:, :, None], 3, 2))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_patterns_give_back_the_colours(pattern: str, bits: int) -> None:
    mosaic = bayer(_QUARTERS, pattern)
    if bits == 16:
        mosaic = mosaic.astype(np.uint16) * 257
    out = color(view(mosaic, f"bayer_{pattern}{bits}", padding=4))
    for row, column in _INSIDE:
        np.testing.assert_array_equal(out[row, column], _QUARTERS[row, column])


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv"), ("uyvy", "uyvy"), ("yuv422", "uyvy")],
)
@pytest.mark.parametrize("padding", [0, 6])
def test_packed_yuv_gives_back_the_colours(encoding: str, order: str, padding: int) -> None:
    y, u, v = yuv(_QUARTERS)
    packed = np.zeros((32, 48, 2), np.uint8)
    luma = order.index("y")
    packed[:, :, luma] = y
    packed[:, 0::2, 1 - luma] = u[:, 0::2]
    packed[:, 1::2, 1 - luma] = v[:, 0::2]
    out = color(view(packed, encoding, padding=padding))
    for row, column in _INSIDE:
        assert np.abs(out[row, column].astype(int) - _QUARTERS[row, column]).max() <= 4


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
@pytest.mark.parametrize("padding", [0, 16])
def test_planar_yuv_gives_back_the_colours(encoding: str, padding: int) -> None:
    y, u, v = yuv(_QUARTERS)
    chroma = np.zeros((16, 48), np.uint8)
    first, second = (u, v) if encoding == "nv12" else (v, u)
    chroma[:, 0::2], chroma[:, 1::2] = first[::2, ::2], second[::2, ::2]
    out = color(view(np.vstack([y, chroma]), encoding, padding=padding, height=32))
    for row, column in _INSIDE:
        assert np.abs(out[row, column].astype(int) - _QUARTERS[row, column]).max() <= 4


@pytest.mark.parametrize("padding", [0, 2, 3])
@pytest.mark.parametrize("big", [False, True])
def test_depth_is_metres_whatever_the_encoding(big: bool, padding: int) -> None:
    millimetres = np.array([[0, 1000, 1], [65535, 2500, 3]], np.uint16)
    expected = millimetres.astype(np.float32) * np.float32(0.001)
    for encoding in ("16UC1", "mono16"):
        out = depth(view(millimetres, encoding, padding=padding, big=big))
        np.testing.assert_array_equal(out, expected)
    metres = np.array([[1.5, np.nan, np.inf], [0.25, 3.0, -np.inf]], np.float32)
    out = depth(view(metres, "32FC1", padding=padding, big=big))
    np.testing.assert_array_equal(out, metres)


def test_a_zero_size_image_is_refused() -> None:
    for height, width in ((0, 4), (4, 0), (0, 0), (2**32 - 1, 2**32 - 1)):
        image = ImageView(_HEADER, height, width, "rgb8", False, 12, memoryview(b""))
        for shape in (color_shape, depth_shape):
            with pytest.raises(InputError, match="impossible size"):
                shape(image)


def test_an_unknown_encoding_names_those_that_are_known() -> None:
    image = ImageView(_HEADER, 1, 1, "h264", False, 3, memoryview(bytes(3)))
    with pytest.raises(InputError, match=r"h264.*bgr8.*rgb8"):
        color_shape(image)
    with pytest.raises(InputError, match="32FC1"):
        depth_shape(image)


def test_a_step_shorter_than_a_row_is_refused() -> None:
    image = ImageView(_HEADER, 2, 4, "rgb8", False, 11, memoryview(bytes(24)))
    with pytest.raises(InputError, match="step"):
        color(image)


def test_less_data_than_rows_is_refused() -> None:
    image = ImageView(_HEADER, 2, 4, "rgb8", False, 12, memoryview(bytes(23)))
    with pytest.raises(InputError, match="cut short"):
        color(image)


def test_odd_sizes_of_subsampled_images_are_refused() -> None:
    for encoding in ("nv12", "yuv422_yuy2"):
        image = ImageView(_HEADER, 3, 3, encoding, False, 6, memoryview(bytes(64)))
        with pytest.raises(InputError, match="even"):
            color(image)


@given(
    st.sampled_from([*ENCODINGS, "", "h264"]),
    st.integers(0, 9) | st.integers(0, 2**32 - 1),
    st.integers(0, 9) | st.integers(0, 2**32 - 1),
    st.integers(0, 60) | st.integers(0, 2**32 - 1),
    st.booleans(),
    st.binary(max_size=300),
)
def test_any_image_is_converted_or_refused(
    encoding: str, height: int, width: int, step: int, big: bool, data: bytes
) -> None:
    image = ImageView(_HEADER, height, width, encoding, big, step, memoryview(data))
    for convert in (color, depth):
        if height * width > 10_000:
            continue  # a slot refuses it before anything is converted
        with suppress(InputError):
            convert(image)
