from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aegis_ros.decoders import (
    Classification,
    Decoded,
    Decoder,
    Detections,
    FrameInfo,
    Obstacles,
    RawTensors,
    SegmentationMask,
    TextRegions,
    create_decoder,
    decoder_names,
    draw,
    to_json,
)
from aegis_ros.decoders.registry import options_of
from aegis_ros.errors import AegisError, ConfigError, DecodeError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import PreprocessSpec, ResizeMode
from test.decoders.fitting import FITTING

pytestmark = pytest.mark.filterwarnings("error")
FRAME = FrameInfo(96, 128, 48, 64)
SPEC = PreprocessSpec(size=(48, 64))

NAMES = sorted(FITTING)


def made(name: str, **more: object) -> Decoder:
    options, shapes, metadata = FITTING[name]
    infos = [TensorInfo(output, "float32", shape) for output, shape in shapes.items()]
    return create_decoder(name, {**options, **more}, SPEC, infos, metadata=metadata)


def zeros(name: str) -> dict[str, np.ndarray]:
    return {output: np.zeros(shape, np.float32) for output, shape in FITTING[name][1].items()}


def test_every_decoder_of_the_house_is_tested_here() -> None:
    assert set(NAMES) == set(decoder_names())


@pytest.mark.parametrize("name", NAMES)
def test_outputs_of_zeros_are_decoded_published_and_drawn(name: str) -> None:
    decoded = made(name).decode(zeros(name), FRAME)
    assert json.loads(to_json(decoded))["kind"]
    picture = draw(decoded, np.zeros((96, 128, 3), np.uint8))
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3


@pytest.mark.parametrize("name", [name for name in NAMES if name != "raw"])
def test_nan_is_refused_and_names_the_tensor(name: str) -> None:
    outputs = zeros(name)
    for tensor in outputs:
        broken = {**outputs, tensor: outputs[tensor].copy()}
        broken[tensor].flat[-1] = np.nan
        with pytest.raises(DecodeError, match=rf"outputs\.{tensor}.*NaN"):
            made(name).decode(broken, FRAME)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "raw"])
def test_wrong_shapes_are_refused_and_name_the_one_expected(name: str) -> None:
    for tensor in FITTING[name][1]:
        for shape in ((), (3,), (2, 2, 2, 2, 2)):
            broken = {**zeros(name), tensor: np.zeros(shape, np.float32)}
            with pytest.raises(DecodeError, match=r"outputs\.\w+.*expected"):
                made(name).decode(broken, FRAME)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "raw"])
def test_absent_outputs_and_words_are_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="absent"):
        made(name).decode({}, FRAME)
    words = {key: np.full(array.shape, "x") for key, array in zeros(name).items()}
    with pytest.raises(DecodeError, match="numbers"):
        made(name).decode(words, FRAME)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_garbage_is_decoded_or_refused_and_nothing_else(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 10_000))
    scale = data.draw(st.sampled_from([1.0, 1e3, 1e30, np.inf]))
    generator = np.random.default_rng(seed)
    outputs = {
        key: (generator.normal(size=array.shape) * scale).astype(np.float32)
        for key, array in zeros(name).items()
    }
    try:
        decoded = made(name).decode(outputs, FRAME)
    except DecodeError:
        return
    json.loads(to_json(decoded))
    draw(decoded, np.zeros((96, 128, 3), np.uint8))
    if isinstance(decoded, Detections):
        assert np.isfinite(decoded.boxes).all()
        assert (decoded.boxes >= 0).all() and (decoded.boxes[:, 2] <= 128).all()


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no such option"):
        made(name, colour="red")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("raw",)])
def test_a_network_with_other_outputs_is_refused_at_registration(name: str) -> None:
    options, _, metadata = FITTING[name]
    for infos in ([], [TensorInfo("o", "float32", (1, 2, 3, 4, 5))]):
        with pytest.raises(AegisError):
            create_decoder(name, options, SPEC, infos, metadata=metadata)


def test_an_unknown_decoder_gets_the_likely_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'centerface'"):
        create_decoder("centreface", {}, SPEC, [])


def test_classification_ranks_and_softmaxes() -> None:
    decoder = made("classification", softmax=True, top=2)
    decoded = decoder.decode({"o": np.asarray([[0, 0, 5, 0, 4, 0, 0]], np.float32)}, FRAME)
    assert isinstance(decoded, Classification)
    assert decoded.labels == ("class 2", "class 4")
    assert decoded.scores[0] == pytest.approx(np.exp(5) / (np.exp(5) + np.exp(4) + 5), rel=1e-5)


def test_segmentation_takes_the_best_class_at_the_frames_size() -> None:
    scores = np.zeros((1, 3, 12, 16), np.float32)
    scores[0, 0] = 0.5
    scores[0, 2, :, 8:] = 1.0
    decoded = made("segmentation").decode({"o": scores}, FRAME)
    assert isinstance(decoded, SegmentationMask)
    assert decoded.mask.shape == (96, 128)
    assert np.all(decoded.mask[:, :64] == 0) and np.all(decoded.mask[:, 64:] == 2)


def test_segmentation_leaves_the_letterbox_out() -> None:
    frame = FrameInfo(32, 128, 64, 64, ResizeMode.LETTERBOX)  # 16 rows in the middle
    scores = np.zeros((1, 1, 64, 64), np.float32)
    scores[0, 0, 24:40] = 1.0
    decoder = create_decoder("segmentation", {}, SPEC, [TensorInfo("o", "float32", (1, 1, 64, 64))])
    decoded = decoder.decode({"o": scores}, frame)
    assert isinstance(decoded, SegmentationMask)
    assert np.all(decoded.mask == 1)


def test_segmentation_reads_class_numbers_and_channels_last() -> None:
    numbers = np.arange(12 * 16).reshape(1, 12, 16)
    info = TensorInfo("o", "int64", (1, 12, 16))
    decoded = create_decoder("segmentation", {"layout": "index"}, SPEC, [info]).decode(
        {"o": numbers}, FrameInfo(12, 16, 12, 16)
    )
    assert isinstance(decoded, SegmentationMask)
    assert np.array_equal(decoded.mask, numbers[0])


def test_text_drops_blanks_and_repetitions() -> None:
    steps = np.zeros((1, 9, 4), np.float32)
    for step, character in enumerate([1, 1, 0, 1, 2, 2, 0, 3, 3]):
        steps[0, step, character] = 0.9
    decoded = made("text").decode({"o": steps}, FRAME)
    assert isinstance(decoded, TextRegions)
    assert decoded.texts == ("aabc",)
    assert decoded.scores == pytest.approx([0.9])


def test_text_needs_the_characters_of_the_network() -> None:
    with pytest.raises(ConfigError, match="characters"):
        made("text", characters="")
    with pytest.raises(ConfigError, match="4 classes"):
        made("text", characters="abcdef")


def test_text_regions_surround_what_is_marked() -> None:
    probability = np.zeros((1, 1, 48, 64), np.float32)
    probability[0, 0, 20:26, 10:50] = 0.9
    decoded = made("text_regions").decode({"o": probability}, FRAME)
    assert isinstance(decoded, TextRegions)
    (quad,) = decoded.quads
    low, high = quad.min(axis=0), quad.max(axis=0)
    assert low[0] < 20 and low[1] < 40 and high[0] > 98 and high[1] > 50
    assert quad[0].tolist() == low.tolist() and quad[2].tolist() == high.tolist()


def test_obstacles_are_groups_of_cells_in_metres() -> None:
    outputs = {"o": np.zeros((20, 20), np.uint8), "h": np.zeros((20, 20), np.float32)}
    outputs["o"][12:15, 10:12] = 1
    outputs["h"][13, 11] = 1.5
    decoded = made("bev_obstacles", min_cells=2).decode(outputs, FRAME)
    assert isinstance(decoded, Obstacles)
    assert decoded.boxes.tolist() == [[2.0, 0.0, 5.0, 2.0]]
    assert decoded.heights.tolist() == [1.5]
    assert decoded.resolution == 1.0


@pytest.mark.parametrize("shape", [(0, 20), (20, 0), (0, 0)])
def test_a_grid_without_cells_is_refused(shape: tuple[int, int]) -> None:
    outputs = {"o": np.zeros(shape, np.float32), "h": np.zeros(shape, np.float32)}
    with pytest.raises(DecodeError, match=r"outputs\.o: the grid has no cells \(got \["):
        made("bev_obstacles").decode(outputs, FRAME)


def test_raw_passes_the_very_tensors_on() -> None:
    outputs = zeros("raw")
    decoded = made("raw").decode(outputs, FRAME)
    assert isinstance(decoded, RawTensors) and decoded.tensors["o"] is outputs["o"]


DETECTIONS = Detections(
    np.asarray([[10, 20, 60, 90]], np.float32),
    np.asarray([0.91234], np.float32),
    ("face",),
    np.asarray([[[20, 30], [40, 30]]], np.float32),
)


@pytest.mark.parametrize("score", [np.inf, 1e300])
def test_json_knows_no_infinity(score: float) -> None:
    outputs = {key: np.full(each.shape, score) for key, each in zeros("classification").items()}
    text = to_json(made("classification").decode(outputs, FRAME))
    read = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert {each["score"] for each in read["items"]} == {float(np.finfo(np.float32).max)}


def test_json_is_compact_and_keeps_other_scripts() -> None:
    assert json.loads(to_json(DETECTIONS))["items"] == [
        {
            "label": "face",
            "score": 0.912,
            "box": [10, 20, 60, 90],
            "landmarks": [[20, 30], [40, 30]],
        }
    ]
    quad = np.zeros((1, 4, 2), np.float32)
    text = to_json(TextRegions(quad, ("出口",), np.ones(1, np.float32)))
    assert "出口" in text and " " not in text


@pytest.mark.parametrize("shape", [(96, 128, 3), (1, 1, 3), (5, 400, 3)])
def test_drawing_changes_a_copy_and_never_the_frame(shape: tuple[int, ...]) -> None:
    frame = np.full(shape, 77, np.uint8)
    picture = draw(DETECTIONS, frame)
    assert picture.shape == shape
    assert np.all(frame == 77) and not np.array_equal(picture, frame)


def test_depth_frames_are_drawn_on_in_grey() -> None:
    depth = np.full((50, 60), 2.0, np.float32)
    depth[0, 0] = np.nan
    assert draw(Classification((), np.zeros(0, np.float32)), depth).shape == (50, 60, 3)


def test_points_are_drawn_behind_the_obstacles() -> None:
    decoded: Decoded = made("bev_obstacles").decode(zeros("bev_obstacles"), FRAME)
    points: Any = np.asarray([[5, 5, 0, 0], [np.nan, 0, 0, 0], [1e30, 0, 0, 0]], np.float32)
    with_points, without = draw(decoded, points), draw(decoded)
    assert with_points.shape == (800, 800, 3)
    assert not np.array_equal(with_points, without)


@pytest.mark.parametrize("name", [name for name in decoder_names() if options_of(name)])
def test_yes_and_no_are_no_numbers(name: str) -> None:
    """They would be taken as 1 and 0."""
    kind = options_of(name)
    assert kind is not None
    for option, field in kind.model_fields.items():
        if field.annotation in (int, float):
            with pytest.raises(ValidationError) as caught:
                kind.model_validate({option: True})
            said = {each["loc"]: each["msg"] for each in caught.value.errors()}
            assert said[option,] == "Value error, expected a number"


def test_an_option_that_is_no_number_is_named() -> None:
    outputs = (TensorInfo("scores", "float32", (1, 10)),)
    with pytest.raises(ConfigError, match=r"output.options.top: expected a number \(got True\)"):
        create_decoder("classification", {"top": True}, PreprocessSpec(), outputs)
