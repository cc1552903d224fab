"""The task that is suggested for a network: whatever it takes, the configuration accepts it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_ros.config import parse_config, parse_task
from aegis_ros.decoders.guessing import RECIPES, Guess
from aegis_ros.network import TensorInfo
from aegis_ros.planning.entry import entry, is_image, size_of, task_name
from aegis_ros.planning.entry_text import in_yaml
from aegis_ros.spec import Color, Layout, TaskSpec

RAW = Guess("raw", {}, "")
Extents = tuple[int | str, ...]


def task(*inputs: TensorInfo, guess: Guess = RAW) -> TaskSpec:
    sizes = {item.name: size_of(item, None, {}) for item in inputs if is_image(item)}
    return parse_task(entry("net", "/models/net.onnx", inputs, guess=guess, sizes=sizes))


def image(*shape: int | str, dtype: str = "float32") -> TensorInfo:
    return TensorInfo("image", dtype, shape)


@pytest.mark.parametrize("recipe", ["", *RECIPES])
@pytest.mark.parametrize(
    ("shape", "layout", "color", "size"),
    [
        ((1, 3, 320, 256), Layout.NCHW, Color.RGB, (320, 256)),
        (("n", 3, "h", "w"), Layout.NCHW, Color.RGB, (480, 640)),
        ((1, 224, 160, 3), Layout.NHWC, Color.RGB, (224, 160)),
        ((1, 1, 28, 28), Layout.NCHW, Color.MONO, (28, 28)),
        ((1, 3, "?", 640), Layout.NCHW, Color.RGB, (480, 640)),
    ],
)
def test_images_of_each_layout_are_fed_from_a_camera(
    shape: Extents, layout: Layout, color: Color, size: tuple[int, int], recipe: str
) -> None:
    spec = task(image(*shape), guess=Guess("raw", {}, "", recipe=recipe))
    assert spec.input is not None and spec.input.type == "sensor_msgs/msg/Image"
    assert (spec.preprocess.layout, spec.preprocess.size) == (layout, size)
    assert spec.preprocess.color is color or (color is Color.RGB and recipe)


def test_bytes_are_not_scaled() -> None:
    spec = task(image(1, 3, 64, 64, dtype="uint8"), guess=Guess("raw", {}, "", recipe="imagenet"))
    assert (spec.preprocess.dtype, spec.preprocess.scale) == ("uint8", 1.0)


@pytest.mark.parametrize("shape", [("points", 4), (1, "n", 4), (5000, 4)])
def test_points_are_fed_from_a_lidar(shape: Extents) -> None:
    spec = task(TensorInfo("points", "float32", shape))
    assert spec.input is not None and spec.input.type == "sensor_msgs/msg/PointCloud2"
    assert spec.preprocess.layout is Layout.POINTS


@pytest.mark.parametrize(
    ("info", "shape"),
    [
        (TensorInfo("state", "float32", (1, 6)), (6,)),
        (TensorInfo("tokens", "int64", ("batch", "length")), (1,)),
        (TensorInfo("x", "float32", (4, 5)), (4, 5)),
        (TensorInfo("x", "float32", (1, 8, 16, 16)), (8, 16, 16)),
        (TensorInfo("x", "float32", (1, 2, 3, 4, 5)), (2, 3, 4, 5)),
        (TensorInfo("x", "float64", ()), (1,)),
        (TensorInfo("x", "uint8", (1, 1, 28, 28)), (1, 28, 28)),
        (TensorInfo("x", "float32", (0, 10**9)), (1_000_000,)),
    ],
)
def test_everything_else_is_fed_with_plain_numbers(
    info: TensorInfo, shape: tuple[int, ...]
) -> None:
    spec = task(info)
    assert spec.input is not None and spec.input.shape == shape
    assert spec.preprocess.layout is Layout.TENSOR


def test_several_inputs_have_topics_of_their_own_and_a_tolerance() -> None:
    spec = task(image(1, 3, 64, 64), TensorInfo("state.0", "float32", (1, 6)))
    assert [source.topic for _, source, _ in spec.sources] == ["/net/image", "/net/state_0"]
    assert spec.sync is not None


def test_a_network_without_inputs_runs_by_a_timer() -> None:
    assert task().trigger is not None


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("YOLO11n", "yolo11n"),
        ("my net (v2)", "my_net_v2"),
        ("320x320", "net_320x320"),
        ("é", "net"),
    ],
)
def test_files_become_names_of_tasks(stem: str, name: str) -> None:
    assert task_name(stem) == name


def test_the_size_is_given_or_fixed_or_told_or_usual() -> None:
    free, fixed = image(1, 3, "h", "w"), image(1, 3, 320, 256)
    metadata = {"imgsz": "[416, 608]"}
    assert size_of(fixed, (100, 200), metadata) == (100, 200)
    assert size_of(fixed, None, metadata) == (320, 256)
    assert size_of(free, None, metadata) == (416, 608)
    assert size_of(free, None, {"imgsz": "[0, 99999]"}) == (480, 640)


_NAMES = st.text(min_size=1, max_size=20)
_EXTENTS = st.one_of(st.integers(0, 2**40), st.sampled_from([1, 3, 4, "n"]), st.text(max_size=5))
_INPUTS = st.lists(
    st.builds(
        TensorInfo,
        name=_NAMES,
        dtype=st.sampled_from(["float32", "uint8", "int64", "float64", "bool", "float16"]),
        shape=st.lists(_EXTENTS, max_size=7).map(tuple),
    ),
    max_size=8,
    unique_by=lambda item: item.name,
)


@given(_INPUTS, st.sampled_from(sorted(RECIPES)), st.text(max_size=10))
@settings(max_examples=200, deadline=None)
def test_whatever_a_network_takes_the_configuration_accepts_the_task(
    inputs: list[TensorInfo], recipe: str, stem: str
) -> None:
    sizes = {item.name: size_of(item, None, {}) for item in inputs if is_image(item)}
    options = {"labels": ["a: b", "#"], "format": "nms"}
    guess = Guess("boxes", options, "a # why: with signs", recipe=recipe)
    values = entry(task_name(stem), "/a b/c#d.onnx", inputs, guess=guess, sizes=sizes)
    spec = parse_task(values)
    (written,) = parse_config(in_yaml(values, {"output": guess.why}, roots=["/a b"])).tasks
    assert written == spec
