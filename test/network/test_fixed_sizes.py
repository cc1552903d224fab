"""Networks that take frames of one size only: what fits is known, and the rest is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, PreparedNetwork, prepare
from aegis_ros.network.reference import preprocess
from aegis_ros.spec import InputSpec, Layout, PreprocessSpec, ResizeMode
from test.network.builders import identity_network, save, session

pytestmark = pytest.mark.usefixtures("in_this_process")
USUAL = InputSpec("").max_points


def prepared(path: Path, feed: Feed, **more: Any) -> PreparedNetwork:
    return prepare(path, [feed], cache_dir=path.parent / "cache", **more)


def refusal(path: Path, feed: Feed, **more: Any) -> str:
    with pytest.raises(ModelError) as caught:
        prepared(path, feed, **more)
    return str(caught.value)


def rows(layout: Layout, number: int, resize: ResizeMode = ResizeMode.STRETCH) -> Feed:
    shape = (number, 4) if layout is Layout.POINTS else (number,)
    return Feed(PreprocessSpec(layout=layout, resize=resize, pad=0.0), shape)


def run(network: PreparedNetwork, frame: np.ndarray) -> np.ndarray:
    made: np.ndarray = session(network.path).run(None, {network.frame_input.name: frame})[0]
    return made


def test_a_scan_network_takes_exactly_the_number_it_states(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "scan.onnx", (1, 360))
    (fed,) = prepared(path, rows(Layout.RANGES, USUAL)).inputs
    assert fed.max_shape == fed.least == fed.most == (360,) == fed.tensor.shape
    assert fed.takes((360,)) and not fed.takes((361,)) and not fed.takes((300,))
    for number in (300, 361):
        said = refusal(path, rows(Layout.RANGES, number))
        assert "takes exactly 360 ranges" in said and f"(got {number}); expected 360" in said
        assert "preprocess.resize: crop (more), pad (fewer) or sample (either)" in said


def test_ranges_keep_their_middle_and_points_their_beginning(tmp_path: Path) -> None:
    scan = identity_network(tmp_path / "scan.onnx", (4,))
    cloud = identity_network(tmp_path / "cloud.onnx", (1, 4, 4))
    ranges = np.arange(1, 8, dtype=np.float32)
    points = np.repeat(ranges[:, None], 4, axis=1)

    def ways(resize: ResizeMode, least: int, number: int) -> tuple[list[float], list[float]]:
        made = []
        for path, layout, frame in (
            (scan, Layout.RANGES, ranges),
            (cloud, Layout.POINTS, points),
        ):
            network = prepared(path, rows(layout, 7 if resize is not ResizeMode.PAD else 4, resize))
            assert network.inputs[0].takes(frame[:number].shape)
            assert not least or not network.inputs[0].takes(frame[: least - 1].shape)
            made.append(run(network, frame[:number]).reshape(4, -1)[:, 0].tolist())
        return made[0], made[1]

    assert ways(ResizeMode.CROP, 4, 7) == ([2, 3, 4, 5], [1, 2, 3, 4])
    assert ways(ResizeMode.CROP, 4, 4) == ([1, 2, 3, 4], [1, 2, 3, 4])
    assert ways(ResizeMode.PAD, 0, 3) == ([1, 2, 3, 0], [1, 2, 3, 0])
    assert ways(ResizeMode.PAD, 0, 2) == ([0, 1, 2, 0], [1, 2, 0, 0])
    assert ways(ResizeMode.SAMPLE, 0, 7) == ([1, 2, 4, 6], [1, 2, 4, 6])
    assert ways(ResizeMode.SAMPLE, 0, 2) == ([1, 1, 2, 2], [1, 1, 2, 2])


def test_a_point_has_three_or_four_numbers(tmp_path: Path) -> None:
    three = identity_network(tmp_path / "three.onnx", ("n", 3))
    points = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(
        run(prepared(three, rows(Layout.POINTS, 5)), points), points[:, :3]
    )
    five = refusal(identity_network(tmp_path / "five.onnx", (100, 5)), rows(Layout.POINTS, 100))
    assert "takes 5 numbers of each point, and 4 (x, y, z, intensity) or 3" in five
    turned = identity_network(tmp_path / "turned.onnx", (1, 3, 1024))
    assert "transpose its input" in refusal(turned, rows(Layout.POINTS, 1024))
    batch = identity_network(tmp_path / "batch.onnx", (4, 100, 4))
    said = refusal(batch, rows(Layout.POINTS, 100))
    assert "takes exactly 4 clouds at once, and 1 comes at a time" in said


def test_numbers_have_the_shape_that_the_network_states(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "state.onnx", (1, 6))
    numbers = PreprocessSpec(layout=Layout.TENSOR)
    (fed,) = prepared(path, Feed(numbers, (6,))).inputs
    assert fed.takes((6,)) and not fed.takes((5,)) and not fed.takes((7,))
    for declared in ((7,), (2, 6), (6, 1)):
        said = refusal(path, Feed(numbers, declared))
        assert (
            f"input.shape: the network's input 'input' has shape [1, 6] (got {list(declared)}"
            in (said)
        )
    batch = identity_network(tmp_path / "batch.onnx", (4, 6))
    assert "has shape [4, 6]" in refusal(batch, Feed(numbers, (6,)))


def test_a_free_number_has_nothing_to_be_brought_to(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "free.onnx", ("n",))
    said = refusal(path, rows(Layout.RANGES, 10, ResizeMode.CROP))
    assert "preprocess.resize: the network takes any number of ranges (got crop)" in said
    bound = prepared(path, rows(Layout.RANGES, USUAL), dimensions={"n": 8})
    assert bound.inputs[0].least == (8,)


@pytest.mark.parametrize(
    ("resize", "size", "fits", "misfits"),
    [
        (ResizeMode.NONE, (12, 16), [(12, 16)], [(12, 17), (11, 16)]),
        (ResizeMode.CROP, (12, 16), [(12, 16), (15, 21)], [(11, 40)]),
        (ResizeMode.PAD, (12, 16), [(12, 16), (5, 7)], [(13, 16)]),
    ],
)
def test_images_are_cropped_and_padded_as_the_reference_says(
    tmp_path: Path,
    resize: ResizeMode,
    size: tuple[int, int],
    fits: list[tuple[int, int]],
    misfits: list[tuple[int, int]],
) -> None:
    spec = PreprocessSpec(size=size, resize=resize, pad=7.0)
    largest = (30, 40) if resize is ResizeMode.CROP else InputSpec("").max_size
    network = prepared(
        identity_network(tmp_path / "image.onnx", (1, 3, *size)), Feed(spec, (*largest, 3))
    )
    generator = np.random.default_rng(0)
    for extents in fits:
        frame = generator.integers(0, 256, (*extents, 3), np.uint8)
        assert network.inputs[0].takes(frame.shape)
        np.testing.assert_array_equal(run(network, frame), preprocess(frame, spec))
    assert not any(network.inputs[0].takes((*extents, 3)) for extents in misfits)


@pytest.mark.parametrize(
    ("resize", "declared"),
    [(ResizeMode.NONE, (24, 32)), (ResizeMode.PAD, (12, 17)), (ResizeMode.CROP, (12, 15))],
)
def test_a_declared_size_that_cannot_fit_is_refused_with_both(
    tmp_path: Path, resize: ResizeMode, declared: tuple[int, int]
) -> None:
    path = identity_network(tmp_path / "image.onnx", (1, 3, 12, 16))
    said = refusal(path, Feed(PreprocessSpec(size=(12, 16), resize=resize), (*declared, 3)))
    assert "takes 12 x 16" in said and "input.max_size" in said and str(list(declared)) in said


def _flattened(path: Path, batch: int, *, inside: bool) -> Path:
    """The mean of each image's channels; ``inside`` has the batch as a number in the graph."""
    shape = np.array([batch if inside else 0, -1] if inside else [0, -1], np.int64)
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["input", "shape"], ["flat"]),
            helper.make_node("ReduceMean", ["flat"], ["output"], axes=[1], keepdims=1),
        ],
        "flattened",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, 12, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, 1])],
        [numpy_helper.from_array(shape, "shape")],
    )
    return save(graph, path)


def test_a_batch_is_given_one_image_only_where_that_is_the_same(tmp_path: Path) -> None:
    feed = Feed(PreprocessSpec(size=(12, 16)), (12, 16, 3))
    network = prepared(_flattened(tmp_path / "any.onnx", 4, inside=False), feed)
    assert network.outputs[0].shape == (1, 1)
    said = refusal(_flattened(tmp_path / "inside.onnx", 4, inside=True), feed)
    assert "takes exactly 4 images at once, and 1 comes at a time" in said


def test_extents_that_no_input_has_are_refused(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "image.onnx", ("batch", 3, "h", "w"))
    feed = Feed(PreprocessSpec(size=(12, 16)), (12, 16, 3))
    assert prepared(path, feed, dimensions={"batch": 1, "h": 12})
    said = refusal(path, feed, dimensions={"bacth": 1})
    assert (
        "no input of the network has such an extent (got bacth)" in said and "batch, h, w" in said
    )
    assert "is 1 (got 4)" in refusal(path, feed, dimensions={"batch": 4})
    assert "is 16 (got 20)" in refusal(path, feed, dimensions={"w": 20})
    assert onnx.load(str(path)).graph.input
