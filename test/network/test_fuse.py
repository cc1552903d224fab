from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.network.feed import Feed
from aegis_ros.network.graph import fuse, load_graph
from aegis_ros.network.reference import preprocess
from aegis_ros.spec import Color, Interpolation, Layout, PreprocessSpec, ResizeMode

from .builders import fused_output, identity_network, save, session

FRAMES = [(12, 16), (24, 32), (37, 91), (91, 37), (1, 1), (480, 640)]
IMAGE_SHAPE = {Layout.NCHW: (1, 3, 12, 16), Layout.NHWC: (1, 12, 16, 3)}


def photo(height: int, width: int) -> np.ndarray:
    """A smooth picture with some noise, as cameras give it."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).normal(0, 8, (height, width, 3))
    planes = [127 + 110 * np.sin(rows / 9 + k) * np.cos(columns / 13) for k in range(3)]
    return np.clip(np.stack(planes, axis=2) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("resize", [ResizeMode.STRETCH, ResizeMode.LETTERBOX])
def test_resizes_as_opencv_does_within_one_grey_level(
    tmp_path: Path, frame: tuple[int, int], resize: ResizeMode
) -> None:
    path = identity_network(tmp_path / "n.onnx")
    spec = PreprocessSpec(size=(12, 16), resize=resize)
    image = photo(*frame)
    ours, theirs = fused_output(path, spec, image), preprocess(image, spec)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1.0


@pytest.mark.parametrize("layout", [Layout.NCHW, Layout.NHWC])
@pytest.mark.parametrize("color", [Color.RGB, Color.BGR])
def test_orders_colours_and_axes_as_asked(tmp_path: Path, layout: Layout, color: Color) -> None:
    path = identity_network(tmp_path / "n.onnx", IMAGE_SHAPE[layout])
    spec = PreprocessSpec(size=(12, 16), color=color, layout=layout)
    image = photo(12, 16)
    assert np.array_equal(fused_output(path, spec, image), preprocess(image, spec))


def test_scales_subtracts_the_mean_and_divides_per_channel_of_the_networks_order(
    tmp_path: Path,
) -> None:
    path = identity_network(tmp_path / "n.onnx")
    spec = PreprocessSpec(
        size=(12, 16), color=Color.BGR, scale=1 / 255, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0)
    )
    image = np.zeros((12, 16, 3), np.uint8)
    image[...] = (255, 51, 0)  # red, green, blue
    blue, green, red = fused_output(path, spec, image)[0, :, 0, 0]
    assert (blue, green, red) == pytest.approx((-0.2, 0.0, 0.35), abs=1e-5)


def test_makes_grey_with_the_weights_of_opencv(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", (1, 1, 12, 16))
    spec = PreprocessSpec(size=(12, 16), color=Color.MONO, mean=(0.0,), std=(1.0,))
    image = photo(12, 16)
    assert np.abs(fused_output(path, spec, image) - preprocess(image, spec)).max() < 0.01


def test_letterbox_centres_the_frame_on_the_pad_value(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx")
    spec = PreprocessSpec(size=(12, 16), resize=ResizeMode.LETTERBOX, pad=114)
    image = np.full((8, 32, 3), 200, np.uint8)
    result = fused_output(path, spec, image)[0, 0]
    assert np.all(result[:4] == 114) and np.all(result[8:] == 114)
    assert np.all(result[4:8] == 200)


def test_nearest_takes_pixels_of_the_frame_only(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx")
    spec = PreprocessSpec(size=(12, 16), interpolation=Interpolation.NEAREST)
    image = np.where(photo(31, 47) > 127, 255, 0).astype(np.uint8)
    assert set(np.unique(fused_output(path, spec, image))) <= {0.0, 255.0}


def test_a_network_of_free_size_takes_the_size_that_is_asked(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", (1, 3, "h", "w"))
    result = fused_output(path, PreprocessSpec(size=(24, 32)), photo(50, 60))
    assert result.shape == (1, 3, 24, 32)


def test_frames_that_have_the_size_already_need_none(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx")
    spec = PreprocessSpec(resize=ResizeMode.NONE)
    image = photo(12, 16)
    assert np.array_equal(fused_output(path, spec, image), preprocess(image, spec))


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 18, 21])
def test_old_and_new_opsets_are_fused_alike(tmp_path: Path, opset: int) -> None:
    path = identity_network(tmp_path / "n.onnx", opset=opset)
    spec = PreprocessSpec(size=(12, 16), resize=ResizeMode.LETTERBOX, scale=1 / 255)
    image = photo(33, 21)
    assert np.abs(fused_output(path, spec, image) - preprocess(image, spec)).max() <= 1.01 / 255


def branching(path: Path) -> Path:
    """A network that uses the names ours would have, outside and inside the bodies of an If."""
    shape = (1, 3, 12, 16)

    def body(name: str, operator: str) -> onnx.GraphProto:
        nodes = [
            helper.make_node(operator, ["frame"], ["pre_const_0"], name="pre_end"),
            helper.make_node("Identity", ["pre_const_0"], ["pre_output"]),
        ]
        output = helper.make_tensor_value_info("pre_output", TensorProto.FLOAT, shape)
        return helper.make_graph(nodes, name, [], [output])

    nodes = [
        helper.make_node("ReduceMax", ["frame"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["bright"], to=TensorProto.BOOL),
        helper.make_node(
            "If",
            ["bright"],
            ["pre_0_unsqueeze"],
            then_branch=body("then", "Identity"),
            else_branch=body("else", "Neg"),
        ),
        helper.make_node("Identity", ["pre_0_unsqueeze"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "branching",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name in ("pre_0_unsqueeze", "output")
        ],
    )
    return save(graph, path)


def looping(path: Path, *, read: str, unread: str) -> Path:
    """A network that negates its input twice; names of two inputs of the body of its Loop."""
    shape = (1, 3, 12, 16)
    inside = [
        helper.make_node("Identity", ["go"], ["on_and_on"]),
        helper.make_node("Neg", [read], ["negated"]),
    ]
    body = helper.make_graph(
        inside,
        "body",
        [
            helper.make_tensor_value_info(unread, TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info(read, TensorProto.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info("on_and_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("negated", TensorProto.FLOAT, shape),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["twice", "on", "image"], ["output"], body=body)],
        "looping",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(np.array(2), "twice"),
            numpy_helper.from_array(np.array(True), "on"),
        ],
    )
    return save(graph, path)


def names_in(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.output
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from names_in(attribute.g)


def test_no_name_of_the_network_is_changed(tmp_path: Path) -> None:
    path = branching(tmp_path / "n.onnx")
    image = photo(12, 16)
    spec = PreprocessSpec(size=(12, 16))
    model = fuse(load_graph(path), [Feed(spec, (48, 64, 3))], {})
    assert [item.name for item in model.graph.output] == ["pre_0_unsqueeze", "output"]
    assert set(names_in(onnx.load_model(path).graph)) <= set(names_in(model.graph))
    (frame,) = (item.name for item in model.graph.input)
    results = session(model).run(["output"], {frame: image})
    assert np.array_equal(results[0], preprocess(image, spec))


@pytest.mark.parametrize(
    ("read", "unread"), [("frame", "round"), ("pre_const_0", "round"), ("value", "frame")]
)
def test_no_name_that_only_the_body_of_a_loop_uses_is_changed_or_hidden(
    tmp_path: Path, read: str, unread: str
) -> None:
    path = looping(tmp_path / "n.onnx", read=read, unread=unread)
    image = photo(12, 16)
    spec = PreprocessSpec(size=(12, 16))
    model = fuse(load_graph(path), [Feed(spec, (48, 64, 3))], {})
    (body,) = (node.attribute[0].g for node in model.graph.node if node.op_type == "Loop")
    assert [item.name for item in body.input] == [unread, "go", read]
    (frame,) = (item.name for item in model.graph.input)
    assert frame == "frame_1"
    ours = {name for node in model.graph.node for name in node.output if "pre" in name}
    assert ours and all(name.startswith("pre_1_") for name in ours)
    assert np.array_equal(session(model).run(None, {frame: image})[0], preprocess(image, spec))


def test_an_extent_of_the_network_keeps_its_name_to_itself(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", ("frame_points", 4))
    model = fuse(load_graph(path), [Feed(PreprocessSpec(layout=Layout.POINTS), (50, 4))], {})
    assert [item.name for item in model.graph.input] == ["frame_1"]


def test_an_input_that_is_an_output_keeps_its_name(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Neg", ["input"], ["output"])],
        "negative",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, 12, 16))],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 12, 16))
            for name in ("input", "output")
        ],
    )
    path = save(graph, tmp_path / "n.onnx")
    model = fuse(load_graph(path), [Feed(PreprocessSpec(size=(12, 16)), (48, 64, 3))], {})
    assert [item.name for item in model.graph.output] == ["input", "output"]
    one, other = session(model).run(None, {"frame": photo(12, 16)})
    assert np.array_equal(one, -other)


def test_float16_networks_get_float16(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", dtype=TensorProto.FLOAT16)
    spec = PreprocessSpec(size=(12, 16), scale=1 / 255, dtype="float16")
    image = photo(12, 16)
    result = fused_output(path, spec, image)
    assert result.dtype == np.float16
    assert np.allclose(result, preprocess(image, spec), atol=1e-3)


@pytest.mark.parametrize("dtype", ["float64", "uint8", "int8", "uint16", "int16", "int32", "int64"])
@pytest.mark.parametrize("color", [Color.RGB, Color.MONO, Color.DEPTH])
def test_inputs_of_every_element_type_are_fed(tmp_path: Path, dtype: str, color: Color) -> None:
    channels = 3 if color is Color.RGB else 1
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    path = identity_network(tmp_path / "n.onnx", (1, channels, 12, 16), dtype=kind)
    mean = (128.0,) * channels if dtype == "int8" else (0.0,) * channels
    spec = PreprocessSpec(size=(12, 16), color=color, dtype=dtype, mean=mean, std=(1.0,) * channels)
    frame = photo(12, 16)
    if color is Color.DEPTH:
        frame = frame[:, :, 0].astype(np.float32)
    result = fused_output(path, spec, frame)
    assert result.dtype == dtype
    expected = preprocess(frame, spec)
    off = np.abs(result.astype(np.float64) - expected.astype(np.float64)).max()
    assert off <= (1 if color is Color.MONO else 0)  # sums of three round one way or the other


@pytest.mark.parametrize(
    ("name", "given"), [("scale", 0.5), ("mean", (10.0, 20.0, 30.0)), ("std", (2.0, 1.0, 4.0))]
)
def test_each_of_scale_mean_and_std_counts_for_a_uint8_network(
    tmp_path: Path, name: str, given: object
) -> None:
    path = identity_network(tmp_path / "n.onnx", dtype=TensorProto.UINT8)
    spec = replace(PreprocessSpec(size=(12, 16), dtype="uint8"), **{name: given})
    made = fused_output(path, spec, np.full((12, 16, 3), 100, np.uint8))[0, :, 0, 0].tolist()
    each = {"scale": [50, 50, 50], "mean": [90, 80, 70], "std": [50, 100, 25]}
    assert made == each[name]


def test_uint8_networks_get_scaled_values_where_that_is_asked_for(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", (1, 12, 16, 3), dtype=TensorProto.UINT8)
    spec = PreprocessSpec(size=(12, 16), layout=Layout.NHWC, dtype="uint8", scale=0.5)
    image = photo(12, 16)
    assert np.array_equal(fused_output(path, spec, image)[0], np.rint(image * np.float32(0.5)))


def test_uint8_networks_get_the_cameras_own_values(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", (1, 12, 16, 3), dtype=TensorProto.UINT8)
    spec = PreprocessSpec(size=(12, 16), layout=Layout.NHWC, dtype="uint8")
    image = photo(12, 16)
    assert np.array_equal(fused_output(path, spec, image)[0], image)


def test_depth_stays_in_metres(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", (1, 1, 12, 16))
    spec = PreprocessSpec(size=(12, 16), color=Color.DEPTH)
    depth = np.full((24, 32), 2.5, np.float32)
    assert np.all(fused_output(path, spec, depth) == 2.5)


@pytest.mark.parametrize("shape", [("n", 4), (1, "n", 4)])
def test_points_pass_through_with_or_without_a_batch(
    tmp_path: Path, shape: tuple[int | str, ...]
) -> None:
    path = identity_network(tmp_path / "n.onnx", shape)
    points = np.random.default_rng(0).random((7, 4), np.float32)
    result = fused_output(path, PreprocessSpec(layout=Layout.POINTS), points)
    assert np.array_equal(result.reshape(7, 4), points)


def test_ranges_pass_through(tmp_path: Path) -> None:
    path = identity_network(tmp_path / "n.onnx", ("n",))
    ranges = np.linspace(0, 5, 360, dtype=np.float32)
    assert np.array_equal(fused_output(path, PreprocessSpec(layout=Layout.RANGES), ranges), ranges)
